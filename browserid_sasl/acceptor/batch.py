"""Logins that wait for the stores at the same time, and are written down together.

What a transaction costs by itself is most of what an assertion and its ticket cost, and it is paid
once for all that a worker has verified in one turn of its loop. Nobody is answered before the
transaction is over. If it fails, it fails for all of them, as a failure that passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import Admission, Entry, Outcome
from browserid_sasl.gss.steps import Recording
from browserid_sasl.sasl.results import describe_surprise

_Waiting = tuple[Entry, Callable[[Outcome], None]]


class Batch:
    """Entries that are still to be recorded, and who waits for each."""

    def __init__(self) -> None:
        self._waiting: dict[Admission, list[_Waiting]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        """Have an entry recorded with the others.

        :param proceed: is called with what came of it.
        """
        self._waiting.setdefault(recording.admission, []).append((recording.entry, proceed))
        self._size += 1

    def record(self) -> None:
        """Record them, and let those go on who wait."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        for admission, those in waiting.items():
            outcomes = _outcomes(admission, [entry for entry, _ in those])
            for (_, proceed), outcome in zip(those, outcomes, strict=True):
                proceed(outcome)


def _outcomes(admission: Admission, entries: Sequence[Entry]) -> Sequence[Outcome]:
    try:
        return admission(entries)
    except Exception as error:
        # A mistake of ours, which nobody is let in by, and which ends no worker.
        failure = StoreError(Code.CACHE_ERROR, describe_surprise(error)[1])
        return [failure] * len(entries)
