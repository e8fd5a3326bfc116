"""Admission to stores that cannot be written to as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from browserid_sasl.errors import StoreError
from browserid_sasl.gss.ports import AcceptorTicketStore, Entry, Outcome, ReplayStore


@dataclass(frozen=True, slots=True)
class OneByOne:
    """An `Admission` that writes each entry's assertion, and then its ticket.

    :param replay: takes the assertions.
    :param tickets: takes the tickets; None takes none.
    """

    replay: ReplayStore
    tickets: AcceptorTicketStore | None

    def __call__(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Record the entries."""
        return [self._record(entry) for entry in entries]

    def _record(self, entry: Entry) -> Outcome:
        try:
            inserted = self.replay.insert(entry.digest, entry.not_after)
            if not inserted or entry.ticket is None or self.tickets is None:
                return inserted, False
            return True, self.tickets.put(entry.ticket)
        except StoreError as error:
            return error
