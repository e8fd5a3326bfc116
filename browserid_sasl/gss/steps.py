"""Steps of an exchange that stop where something has to be recorded.

Between what a step verifies and what it answers, the assertion goes into the stores. That is where
logins wait, and those that wait together can be written down together. So a step is a generator:
it yields a `Recording`, and goes on with the `Outcome` that it is sent.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from browserid_sasl.gss.ports import Admission, Entry, Outcome

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recording:
    """What has to be recorded before a step goes on.

    :param entry: it.
    :param admission: records it, and others along with it.
    """

    entry: Entry
    admission: Admission


Steps = Generator[Recording, Outcome, _T]
"""A step that comes to `_T`."""


def at_once(steps: Steps[_T]) -> _T:
    """Make a step to its end, with what it wants recorded when it wants it."""
    try:
        recording = next(steps)
        while True:
            [outcome] = recording.admission((recording.entry,))
            recording = steps.send(outcome)
    except StopIteration as end:
        result: _T = end.value
        return result
