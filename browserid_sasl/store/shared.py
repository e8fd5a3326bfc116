"""An acceptor's stores in a database that several hosts share.

Theory of operation
-------------------
*Who is believed.* Names and values are made by `sealing`. So who reads the database learns nothing
of people, and who writes to it can make nobody's ticket and move none. They can delete, and an
assertion that is deleted is new again: where the database's operators are not trusted with that,
`extra_round_trip` asks for no replay store at all.

*What may be lost.* A database that is started again, or replaced by its replica, can have lost what
it confirmed. So there is a *mark* in it, signed with the site's key, that names the run of the
database and since when it has forgotten nothing. An assertion is recorded and the mark is read in
one step. If the mark is gone, or names another run, it is made anew with the present time. An
assertion that was made after the mark's time, with all that clocks may differ, has not been
presented before it. Any other is in doubt, and is admitted by the extra round trip only, which
needs no memory (PROTOCOL.md section 5.1). The same goes for a database that is used for the first
time. A mark that is signed with another key is an error: hosts with different keys would give the
same assertion different names, and each admit it.

*Clocks.* An assertion is kept by the database's clock until no host can admit it whose clock agrees
with that one within `CLOCKS_AGREE`; on a host whose clock does not, nobody is admitted.

*Tickets* are never in the database alone: what one says counts, as it is sealed. One that is lost
costs a signature.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Final

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import Doubt, Entry, Outcome
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.store.base import (
    MAX_ATTRIBUTES_SIZE,
    REPLAY_GRACE,
    AcceptorStores,
    attributes_too_long,
    system_clock,
)
from browserid_sasl.store.engine import Admitted, Engine, Gone, Item, Table
from browserid_sasl.store.memory import MemoryAuthorityCache
from browserid_sasl.store.sealing import SiteKeyFile, SiteKeys

CLOCKS_AGREE: Final = 300_000
"""How far (ms) the clock of a host and that of the database may differ."""

_DAY: Final = 86_400_000
"""Who does not say when an assertion was made says nothing better than that it is this old (ms)."""

_FORMAT: Final = 1
"""Of a ticket's value; another is not understood here."""


Tell = Callable[[str], None]


def unheard(text: str) -> None:
    """For who has nobody to tell."""
    del text


class Memory:
    """What the database remembers of assertions, and how far back it can be relied on.

    :param engine: the database.
    :param keys: the site's.
    :param realm: the site's name in the database.
    :param grace: ms beyond its expiry for which an assertion may still be presented, by a clock
        that is right.
    :param clock: the host's, ms.
    :param tell: is told when the database may have lost something.
    """

    def __init__(
        self,
        engine: Engine,
        keys: SiteKeyFile,
        realm: str,
        *,
        grace: int = REPLAY_GRACE,
        clock: Callable[[], int] = system_clock,
        tell: Tell = unheard,
    ) -> None:
        self.grace = grace + CLOCKS_AGREE
        self._engine = engine
        self._keys = keys
        self._realm = realm
        self._clock = clock
        self._tell = tell

    def record(self, entries: Sequence[Entry]) -> list[bool | Doubt | StoreError]:
        """Record assertions; of each, whether it is new."""
        keys = self._keys.keys()
        items = [
            Item(keys.name(self._realm, "assertion", each.digest), each.not_after + self.grace)
            for each in entries
        ]
        found: dict[int, bool | Doubt | StoreError] = {}
        for shard, places in self._by_shard(items).items():
            told = self._record_in(shard, [items[at] for at in places], keys)
            for at, new in zip(places, told, strict=True):
                found[at] = new(entries[at].issued_at)
        return [found[at] for at in range(len(entries))]

    def reliable_since(self, shard: int) -> int | None:
        """Since when (ms) a part of the database has forgotten nothing, None if it is not known.

        :raises StoreError: it cannot be asked, or its mark is another site's.
        """
        admitted = self._engine.look(shard)
        self._check_clock(admitted.now)
        return self._since(self._keys.keys(), admitted)

    def presented(self) -> Iterator[tuple[bytes, int]]:
        """Every assertion that is kept: its name in the database, and until when it was valid (ms).

        :raises StoreError: they cannot be read.
        """
        for item in self._engine.all(Table.ASSERTION):
            yield item.name, item.until - self.grace

    def _by_shard(self, items: Sequence[Item]) -> dict[int, list[int]]:
        places: dict[int, list[int]] = {}
        for at, item in enumerate(items):
            places.setdefault(shard_of(self._engine, item.name), []).append(at)
        return places

    def _record_in(
        self, shard: int, items: Sequence[Item], keys: SiteKeys
    ) -> list[Callable[[int], bool | Doubt | StoreError]]:
        try:
            admitted, unsure = self._admit(shard, items)
            self._check_clock(admitted.now)
            since = self._reliable(shard, keys, admitted)
        except StoreError as error:
            return [partial(_same, error)] * len(items)
        return [partial(self._judge, new, unsure, since) for new in admitted.new]

    def _admit(self, shard: int, items: Sequence[Item]) -> tuple[Admitted, bool]:
        """Record, and once more where a connection was found to be broken.

        :returns: what came of it, and whether what is there may be from the first attempt.
        """
        try:
            return self._engine.admit(shard, items), False
        except Gone:
            return self._engine.admit(shard, items), True

    def _judge(
        self, new: bool, unsure: bool, since: int, issued_at: int
    ) -> bool | Doubt | StoreError:
        if not new:
            return _undecided() if unsure else False
        # Whoever admitted it before the mark had a clock within `CLOCKS_AGREE` of the database's
        # of then, and this one's is as far from the one of now; `grace` has the verifier's skew.
        margin = self.grace + CLOCKS_AGREE
        return True if issued_at > since + margin else Doubt.MAY_BE_FORGOTTEN

    def _check_clock(self, now: int) -> None:
        apart = self._clock() - now
        if abs(apart) > CLOCKS_AGREE:
            raise StoreError(
                Code.UNAVAILABLE,
                f"the clock of this host is {abs(apart) // 1000} s "
                f"{'ahead of' if apart > 0 else 'behind'} that of the shared store",
                "set both by NTP; nobody is admitted here until they agree within five minutes",
            )

    def _since(self, keys: SiteKeys, admitted: Admitted) -> int | None:
        if admitted.mark is None:
            return None
        text = keys.signed(self._realm, admitted.mark)
        if text is None:
            raise StoreError(
                Code.CACHE_ERROR,
                "the mark in the shared store is signed with another key than this host has, or"
                " somebody has altered it",
                "give all hosts the same key file; after a change of all keys, run"
                " `bidtool reset --acceptor` once",
            )
        since, run = json.loads(text)
        return since if run == admitted.run else None

    def _reliable(self, shard: int, keys: SiteKeys, admitted: Admitted) -> int:
        since = self._since(keys, admitted)
        if since is not None:
            return since
        self._tell(
            "the shared store is new, was started again, or another took its place: it may have"
            " lost assertions, so those made before now are admitted by an extra round trip only"
        )
        mark = json.dumps([admitted.now, admitted.run]).encode()
        self._engine.set_mark(shard, keys.sign(self._realm, mark))
        return admitted.now


def _same(error: StoreError, issued_at: int) -> StoreError:
    del issued_at
    return error


def _undecided() -> StoreError:
    return StoreError(
        Code.UNAVAILABLE,
        "the connection to the shared store broke while an assertion was recorded",
        "log in again",
    )


def shard_of(engine: Engine, name: bytes) -> int:
    """The part of a database that an entry is in."""
    return name[0] % engine.shards


class SharedReplayStore:
    """A `ReplayStore` in a shared database. The database removes what has expired by itself.

    :param memory: of assertions.
    :param engine: the database.
    :param clock: the host's, ms.
    """

    def __init__(
        self, memory: Memory, engine: Engine, *, clock: Callable[[], int] = system_clock
    ) -> None:
        self._memory = memory
        self._engine = engine
        self._clock = clock

    def insert(self, digest: bytes, not_after: int) -> bool:
        entry = Entry(digest, not_after, issued_at=self._clock() - _DAY)
        [new] = self._memory.record([entry])
        if isinstance(new, StoreError):
            raise new
        if isinstance(new, Doubt):
            raise StoreError(
                Code.UNAVAILABLE,
                f"an assertion is not taken: {new.value}",
                "try again a day after the shared store was started",
            )
        return new

    def purge(self, now: int) -> int:
        if now > self._clock() + CLOCKS_AGREE:
            # What could still be presented goes too: from here on it is in doubt.
            self._engine.drop_marks()
        return self._engine.purge(Table.ASSERTION, now)


class SharedTicketStore:
    """An `AcceptorTicketStore` in a shared database.

    :param engine: the database.
    :param keys: the site's.
    :param realm: the site's name in the database.
    """

    def __init__(self, engine: Engine, keys: SiteKeyFile, realm: str) -> None:
        self._engine = engine
        self._keys = keys
        self._realm = realm

    def put(self, ticket: AcceptorTicket) -> bool:
        return self.put_all([ticket])[0]

    def put_all(self, tickets: Sequence[AcceptorTicket]) -> list[bool]:
        """Store tickets; of each, whether its identifier was not there.

        :raises StoreError: they cannot be stored.
        """
        return list(self._engine.add(Table.TICKET, [*map(self._item, tickets)])) if tickets else []

    def get(self, tid: str, now: int) -> AcceptorTicket | None:
        name = self._name(tid)
        sealed = self._engine.get(Table.TICKET, name)
        opened = None if sealed is None else self._opened(name, sealed)
        return opened[1] if opened is not None and opened[1].expires > now else None

    def delete(self, tid: str) -> bool:
        return self._engine.delete(Table.TICKET, self._name(tid))

    def all(self, now: int) -> Iterable[AcceptorTicket]:
        opened = (self._opened(item.name, item.value) for item in self._engine.all(Table.TICKET))
        live = [each for each in opened if each is not None and each[1].expires > now]
        live.sort(key=lambda each: (each[1].issued_at, each[0]), reverse=True)
        return [ticket for _, ticket in live]

    def purge(self, now: int) -> int:
        return self._engine.purge(Table.TICKET, now + CLOCKS_AGREE)

    def _name(self, tid: str) -> bytes:
        return self._keys.keys().name(self._realm, "ticket", tid.encode("utf-8", "surrogatepass"))

    def _item(self, ticket: AcceptorTicket) -> Item:
        name = self._name(ticket.tid)
        value = self._keys.keys().seal(name, _written(ticket))
        return Item(name, ticket.expires + CLOCKS_AGREE, value)

    def _opened(self, name: bytes, sealed: bytes) -> tuple[int, AcceptorTicket] | None:
        """When a ticket was stored, in ns, and it; None for what this host cannot open."""
        text = self._keys.keys().open(name, sealed)
        if text is None:
            return None
        format, stored, *values = json.loads(text)
        if format != _FORMAT:
            return None
        ticket = dict(zip(_TICKET_FIELDS, values, strict=True))
        ticket["ark"] = bytes.fromhex(ticket["ark"])
        return stored, AcceptorTicket(**ticket)


_TICKET_FIELDS: Final = tuple(each.name for each in fields(AcceptorTicket))


def check_size(ticket: AcceptorTicket) -> None:
    """See that a ticket is not too long to be kept.

    :raises StoreError: buffer-too-long.
    """
    size = len(json.dumps(dict(ticket.attributes))) if ticket.attributes else 0
    if size > MAX_ATTRIBUTES_SIZE:
        raise attributes_too_long(size)


def _written(ticket: AcceptorTicket) -> bytes:
    check_size(ticket)
    values = {name: getattr(ticket, name) for name in _TICKET_FIELDS}
    values |= {"ark": ticket.ark.hex(), "attributes": dict(ticket.attributes)}
    listed = [_FORMAT, time.time_ns(), *values.values()]
    return json.dumps(listed, separators=(",", ":")).encode()


class SharedAdmission:
    """An `Admission` to stores in a shared database.

    :param memory: of assertions.
    :param tickets: the ticket store.
    """

    def __init__(self, memory: Memory, tickets: SharedTicketStore) -> None:
        self._memory = memory
        self._tickets = tickets

    def __call__(self, entries: Sequence[Entry]) -> list[Outcome]:
        try:
            for entry in entries:
                if entry.ticket is not None:
                    check_size(entry.ticket)
            news = self._memory.record(entries)
        except StoreError as error:
            # Of several, one that cannot be kept is no fault of the others.
            return [error] if len(entries) == 1 else [self((entry,))[0] for entry in entries]
        # In this order: no ticket for an assertion that was presented before.
        kept = [
            entry.ticket
            for entry, new in zip(entries, news, strict=True)
            if new is True and entry.ticket is not None
        ]
        stored = iter(self._stored(kept))
        return [
            new
            if isinstance(new, Doubt | StoreError)
            else (True, False)
            if new and entry.ticket is None
            else next(stored)
            if new
            else (False, False)
            for entry, new in zip(entries, news, strict=True)
        ]

    def _stored(self, tickets: Sequence[AcceptorTicket]) -> list[Outcome]:
        try:
            return [(True, stored) for stored in self._tickets.put_all(tickets)]
        except StoreError as error:
            return [error] * len(tickets)


@dataclass(frozen=True, slots=True)
class SharedStores(AcceptorStores):
    """What an acceptor remembers in a shared database.

    :param engine: the database.
    :param memory: what it remembers of assertions.
    """

    engine: Engine = field(kw_only=True)
    memory: Memory = field(kw_only=True)


def shared_acceptor(
    engine: Engine,
    keys: SiteKeyFile,
    realm: str,
    *,
    grace: int = REPLAY_GRACE,
    clock: Callable[[], int] = system_clock,
    tell: Tell = unheard,
) -> SharedStores:
    """The stores of an acceptor in a shared database; see `Memory` for the parameters.

    Identity providers' documents are kept in the process: they are public, and each host believes
    what it has got itself.
    """
    memory = Memory(engine, keys, realm, grace=grace, clock=clock, tell=tell)
    tickets = SharedTicketStore(engine, keys, realm)
    return SharedStores(
        replay=SharedReplayStore(memory, engine, clock=clock),
        tickets=tickets,
        authorities=MemoryAuthorityCache(),
        close=engine.close,
        admission=SharedAdmission(memory, tickets),
        waits=True,
        engine=engine,
        memory=memory,
    )
