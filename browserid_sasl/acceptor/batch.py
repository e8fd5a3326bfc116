"""Logins that wait for the stores at the same time, and are written down together.

What a transaction costs by itself is most of what an assertion and its ticket cost, and it is paid
once for all that a worker has verified in one turn of its loop. Nobody is answered before the
transaction is over. If it fails, it fails for all of them, as a failure that passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import Admission, Entry, Outcome
from browserid_sasl.gss.steps import Errand, Recording, done
from browserid_sasl.sasl.results import describe_surprise

_Waiting = tuple[Entry, Callable[[Outcome], None]]

Elsewhere = Callable[
    [Callable[[], Sequence[Outcome]], int, Callable[[Sequence[Outcome]], None]], None
]
"""Has that many entries recorded by other means than waiting for it, and then goes on."""


class Batch:
    """Entries that are still to be recorded, and who waits for each.

    :param elsewhere: has those recorded that take their time; None if nobody minds waiting.
    """

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self._waiting: dict[tuple[Admission, bool], list[_Waiting]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        """Have an entry recorded with the others.

        :param proceed: is called with what came of it.
        """
        key = recording.admission, recording.waits
        self._waiting.setdefault(key, []).append((recording.entry, proceed))
        self._size += 1

    def record(self) -> None:
        """Record them, and let those go on who wait."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        for (admission, waits), those in waiting.items():
            record = partial(_outcomes, admission, [entry for entry, _ in those])
            if waits and self._elsewhere is not None:
                self._elsewhere(record, len(those), partial(_go_on, those))
            else:
                _go_on(those, record())


def _go_on(those: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    for (_, proceed), outcome in zip(those, outcomes, strict=True):
        proceed(outcome)


def _outcomes(admission: Admission, entries: Sequence[Entry]) -> Sequence[Outcome]:
    try:
        return admission(entries)
    except Exception as error:
        return [_failure(error)] * len(entries)


def answer_to(errand: Errand) -> object:
    """What is answered when something is asked, or the `StoreError` that says why nothing is."""
    try:
        return done(errand)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> StoreError:
    # A mistake of ours, which nobody is let in by, and which ends no worker.
    return StoreError(Code.CACHE_ERROR, describe_surprise(error)[1])
