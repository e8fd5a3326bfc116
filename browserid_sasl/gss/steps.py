"""Steps of an exchange that stop where a store is needed.

Between what a step verifies and what it answers, the assertion goes into the stores; before it, a
ticket may have to come out of them. That is where logins wait, and those that wait together can be
written down together. So a step is a generator: it yields what it needs done, and goes on with what
came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from browserid_sasl.errors import StoreError
from browserid_sasl.gss.ports import Admission, Entry, Outcome

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recording:
    """What has to be recorded before a step goes on.

    :param entry: it.
    :param admission: records it, and others along with it.
    :param waits: whether that goes over the network, and takes its time.
    """

    entry: Entry
    admission: Admission
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Errand:
    """What has to be asked of the ticket store before a step goes on.

    :param ask: asks, and waits for the answer; may raise `StoreError`.
    :param waits: whether that goes over the network, and takes its time.
    """

    ask: Callable[[], Any]
    waits: bool = False


Steps = Generator[Recording | Errand, Any, _T]
"""A step that comes to `_T`.

It is sent the `Outcome` of a `Recording`, and of an `Errand` what was answered or a `StoreError`.
"""


def recorded(recording: Recording) -> Steps[Outcome]:
    """Have something recorded."""
    outcome: Outcome = yield recording
    return outcome


def asked(ask: Callable[[], _T], *, waits: bool) -> Steps[_T]:
    """Have something asked of the ticket store, see `Errand`.

    :raises StoreError: it could not be.
    """
    answer: _T | StoreError = yield Errand(ask, waits)
    if isinstance(answer, StoreError):
        raise answer
    return answer


def at_once(steps: Steps[_T]) -> _T:
    """Make a step to its end, with what it needs done when it needs it."""
    try:
        needed = next(steps)
        while True:
            needed = steps.send(done(needed))
    except StopIteration as end:
        result: _T = end.value
        return result


def done(needed: Recording | Errand) -> object:
    """Do what a step needs; what to send it."""
    if isinstance(needed, Recording):
        [outcome] = needed.admission((needed.entry,))
        return outcome
    try:
        answer: object = needed.ask()
    except StoreError as error:
        return error
    return answer
