"""Every kind of store there is, behind one face, so that one contract can be put to all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from browserid_sasl.gss.ports import AcceptorTicketStore, InitiatorTicketStore, ReplayStore
from browserid_sasl.identity.ports import AuthorityCache, IdentityStore
from browserid_sasl.store import base, memory, sqlite
from browserid_sasl.store.database import SqliteDatabase
from tests.support.tickets import NOW


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Kind:
    """How one kind of store is made; each factory takes the class's own options."""

    replay: Callable[..., ReplayStore]
    acceptor_tickets: Callable[..., AcceptorTicketStore]
    initiator_tickets: Callable[..., InitiatorTicketStore]
    identities: Callable[[], IdentityStore]
    authorities: Callable[..., AuthorityCache]
    acceptor: Callable[[], base.AcceptorStores]
    initiator: Callable[[], base.InitiatorStores]
    clock: Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Kind]:
    yield from {"memory": _memory, "sqlite": _sqlite}[request.param](folder, clock)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a store may be made; it is not there yet."""
    return tmp_path / "stores"


@pytest.fixture
def database(folder: Path) -> Iterator[SqliteDatabase]:
    """An acceptor's file."""
    database = SqliteDatabase(folder / "server.db", sqlite.ACCEPTOR_SCHEMA)
    yield database
    database.close()


def _memory(folder: Path, clock: Clock) -> Iterator[Kind]:
    del folder
    yield Kind(
        replay=lambda **options: memory.MemoryReplayStore(clock=clock, **options),
        acceptor_tickets=memory.MemoryAcceptorTicketStore,
        initiator_tickets=memory.MemoryInitiatorTicketStore,
        identities=memory.MemoryIdentityStore,
        authorities=memory.MemoryAuthorityCache,
        acceptor=lambda: memory.memory_acceptor(clock=clock),
        initiator=memory.memory_initiator,
        clock=clock,
    )


def _sqlite(folder: Path, clock: Clock) -> Iterator[Kind]:
    server = SqliteDatabase(folder / "server.db", sqlite.ACCEPTOR_SCHEMA)
    client = SqliteDatabase(folder / "client.db", sqlite.INITIATOR_SCHEMA)
    yield Kind(
        replay=lambda **options: sqlite.SqliteReplayStore(server, clock=clock, **options),
        acceptor_tickets=lambda **options: sqlite.SqliteAcceptorTicketStore(
            server, clock=clock, **options
        ),
        initiator_tickets=lambda **options: sqlite.SqliteInitiatorTicketStore(
            client, clock=clock, **options
        ),
        identities=lambda: sqlite.SqliteIdentityStore(client),
        authorities=lambda **options: sqlite.SqliteAuthorityCache(client, **options),
        acceptor=lambda: sqlite.open_acceptor(folder / "server.db", clock=clock),
        initiator=lambda: sqlite.open_initiator(folder / "client.db", clock=clock),
        clock=clock,
    )
    server.close()
    client.close()
