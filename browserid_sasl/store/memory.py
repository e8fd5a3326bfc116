"""The stores in memory: for tests, and for programs that need nothing to outlive them.

Safe for threads, and no use to a second process. They are bounded like the others; what has expired
goes when `purge` is called, or when the room is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Final, Generic, TypeVar

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.identity.ports import CachedDocument, IdentityRecord
from browserid_sasl.store.base import (
    REPLAY_GRACE,
    AcceptorStores,
    InitiatorStores,
    system_clock,
    too_many_documents,
)

#: The most entries each store keeps.
MAX_REPLAY_ENTRIES: Final = 1_000_000
MAX_TICKETS: Final = 100_000
MAX_AUTHORITIES: Final = 1_000

_K = TypeVar("_K", bytes, str, tuple[str, str, str])
_V = TypeVar("_V")


class _ExpiringTable(Generic[_K, _V]):
    """A dictionary that knows which of its entries expires next. Its user does the locking."""

    def __init__(self) -> None:
        self._entries: dict[_K, tuple[int, _V]] = {}
        # A heap. What was deleted or replaced stays in it until it comes up or outweighs the rest.
        self._queue: list[tuple[int, _K]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: _K) -> bool:
        return key in self._entries

    def put(self, key: _K, value: _V, expires: int) -> None:
        self._entries[key] = (expires, value)
        heapq.heappush(self._queue, (expires, key))
        if len(self._queue) > 2 * len(self._entries) + 64:
            self._queue = [(when, name) for name, (when, _) in self._entries.items()]
            heapq.heapify(self._queue)

    def get(self, key: _K, now: int) -> _V | None:
        """The value of this key, None if there is none or it expired at a time."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > now else None

    def delete(self, key: _K) -> bool:
        return self._entries.pop(key, None) is not None

    def items(self) -> Iterator[tuple[_K, _V]]:
        for key, (_, value) in self._entries.items():
            yield key, value

    def live(self, now: int) -> Iterator[tuple[_K, _V]]:
        """Keys and values of what has not expired at a time, in the order of their arrival."""
        for key, (expires, value) in self._entries.items():
            if expires > now:
                yield key, value

    def keys(self) -> list[_K]:
        """All keys, in the order of their arrival."""
        return list(self._entries)

    def purge(self, before: int) -> int:
        """Remove what expires before a time; how many went."""
        count = len(self._entries)
        while self._queue and self._queue[0][0] < before:
            self._remove_next()
        return count - len(self._entries)

    def trim(self, size: int) -> None:
        """Remove what expires soonest, until no more than `size` are left."""
        while len(self._entries) > size:
            self._remove_next()

    def _remove_next(self) -> None:
        expires, key = heapq.heappop(self._queue)
        if self._entries.get(key, (None,))[0] == expires:
            del self._entries[key]


class MemoryReplayStore:
    """A `ReplayStore` that forgets everything when the process ends.

    :param grace: ms after `not_after` that an entry is kept. At least the largest clock skew
        permitted by any verifier that uses the store.
    :param max_entries: the most to keep; one more assertion is refused with a `StoreError`.
    :param clock: the time in ms, to make room when there is none.
    """

    def __init__(
        self,
        *,
        grace: int = REPLAY_GRACE,
        max_entries: int = MAX_REPLAY_ENTRIES,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._table: _ExpiringTable[bytes, None] = _ExpiringTable()
        self._lock = Lock()
        self._grace = grace
        self._max_entries = max_entries
        self._clock = clock

    def insert(self, digest: bytes, not_after: int) -> bool:
        with self._lock:
            if digest in self._table:
                return False
            if len(self._table) >= self._max_entries:
                self._make_room()
            self._table.put(digest, None, not_after)
            return True

    def purge(self, now: int) -> int:
        with self._lock:
            return self._table.purge(now - self._grace)

    def _make_room(self) -> None:
        if not self._table.purge(self._clock() - self._grace):
            raise StoreError(
                Code.CACHE_ERROR,
                f"the replay store has its maximum of {self._max_entries} assertions "
                "that have not expired",
                "logins work again as they expire; the store in SQLite has room for more",
            )


class MemoryAcceptorTicketStore:
    """An `AcceptorTicketStore` that forgets everything when the process ends.

    :param max_entries: the most to keep; of more, those that expire soonest are dropped.
    """

    def __init__(self, *, max_entries: int = MAX_TICKETS) -> None:
        self._table: _ExpiringTable[str, AcceptorTicket] = _ExpiringTable()
        self._lock = Lock()
        self._max_entries = max_entries

    def put(self, ticket: AcceptorTicket) -> bool:
        with self._lock:
            if ticket.tid in self._table:
                return False
            self._table.put(ticket.tid, ticket, ticket.expires)
            self._table.trim(self._max_entries)
            return True

    def get(self, tid: str, now: int) -> AcceptorTicket | None:
        with self._lock:
            return self._table.get(tid, now)

    def delete(self, tid: str) -> bool:
        with self._lock:
            return self._table.delete(tid)

    def all(self, now: int) -> Iterable[AcceptorTicket]:
        with self._lock:
            tickets = [ticket for _, ticket in self._table.live(now)]
        tickets.reverse()  # of tickets of one time, the one stored last is the newest
        return sorted(tickets, key=lambda ticket: ticket.issued_at, reverse=True)

    def purge(self, now: int) -> int:
        with self._lock:
            return self._table.purge(now)


class MemoryInitiatorTicketStore:
    """An `InitiatorTicketStore` that forgets everything when the process ends.

    :param max_entries: the most to keep; of more, those that expire soonest are dropped.
    """

    def __init__(self, *, max_entries: int = MAX_TICKETS) -> None:
        self._table: _ExpiringTable[tuple[str, str, str], InitiatorTicket] = _ExpiringTable()
        self._lock = Lock()
        self._max_entries = max_entries

    def put(self, ticket: InitiatorTicket) -> None:
        key = (ticket.identity, ticket.audience, ticket.curve)
        with self._lock:
            self._table.put(key, ticket, ticket.expires)
            self._table.trim(self._max_entries)

    def get(self, identity: str, audience: str, curve: str, now: int) -> InitiatorTicket | None:
        with self._lock:
            return self._table.get((identity, audience, curve), now)

    def delete(self, identity: str, audience: str, tid: str) -> bool:
        wanted = (identity, audience, tid)
        with self._lock:
            keys = [
                key
                for key, ticket in self._table.items()
                if (ticket.identity, ticket.audience, ticket.tid) == wanted
            ]
            for key in keys:
                self._table.delete(key)
            return bool(keys)

    def all(self, now: int) -> Iterable[InitiatorTicket]:
        with self._lock:
            return [ticket for _, ticket in sorted(self._table.live(now), key=_first)]

    def purge(self, now: int) -> int:
        with self._lock:
            return self._table.purge(now)


class MemoryIdentityStore:
    """An `IdentityStore` that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._records: dict[str, IdentityRecord] = {}
        self._lock = Lock()

    def put(self, record: IdentityRecord) -> None:
        with self._lock:
            self._records[record.identity] = record

    def get(self, identity: str) -> IdentityRecord | None:
        with self._lock:
            return self._records.get(identity)

    def delete(self, identity: str) -> bool:
        with self._lock:
            return self._records.pop(identity, None) is not None

    def all(self) -> Iterable[IdentityRecord]:
        with self._lock:
            return [record for _, record in sorted(self._records.items(), key=_first)]


class MemoryAuthorityCache:
    """An `AuthorityCache` that forgets everything when the process ends.

    :param max_entries: the most to keep; of more, those go that `base.too_many_documents` says.
    """

    def __init__(self, *, max_entries: int = MAX_AUTHORITIES) -> None:
        self._table: _ExpiringTable[str, CachedDocument] = _ExpiringTable()
        self._lock = Lock()
        self._max_entries = max_entries

    def get(self, domain: str, now: int) -> CachedDocument | None:
        with self._lock:
            return self._table.get(domain, now)

    def put(self, domain: str, document: CachedDocument) -> None:
        with self._lock:
            self._table.delete(domain)
            self._table.put(domain, document, document.expires)
            if len(self._table) > self._max_entries:
                for key in too_many_documents(self._table.keys(), self._max_entries):
                    self._table.delete(key)

    def delete(self, domain: str) -> bool:
        with self._lock:
            return self._table.delete(domain)

    def all(self, now: int) -> Iterable[tuple[str, CachedDocument]]:
        with self._lock:
            return sorted(self._table.live(now), key=_first)


def memory_acceptor(
    *, grace: int = REPLAY_GRACE, clock: Callable[[], int] = system_clock
) -> AcceptorStores:
    """The stores of an acceptor in memory.

    :param grace: ms that assertions are remembered beyond their expiry, see `MemoryReplayStore`.
    :param clock: the time in ms, for the removal of what has expired.
    """
    return AcceptorStores(
        replay=MemoryReplayStore(grace=grace, clock=clock),
        tickets=MemoryAcceptorTicketStore(),
        authorities=MemoryAuthorityCache(),
        close=_nothing_to_close,
    )


def memory_initiator() -> InitiatorStores:
    """The stores of an initiator in memory."""
    return InitiatorStores(
        tickets=MemoryInitiatorTicketStore(),
        identities=MemoryIdentityStore(),
        authorities=MemoryAuthorityCache(),
        close=_nothing_to_close,
    )


def _first(item: tuple[_K, _V]) -> _K:
    return item[0]


def _nothing_to_close() -> None:
    pass
