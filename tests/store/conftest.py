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
from browserid_sasl.store.shared import CLOCKS_AGREE
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_site import SharedSite
from tests.support.tickets import NOW


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Kind:
    """How one kind of store is made; each factory takes the class's own options.

    :param doubts: whether it takes nothing more where what it had was purged ahead of its time.
    """

    replay: Callable[..., ReplayStore]
    acceptor_tickets: Callable[..., AcceptorTicketStore]
    initiator_tickets: Callable[..., InitiatorTicketStore]
    identities: Callable[[], IdentityStore]
    authorities: Callable[..., AuthorityCache]
    acceptor: Callable[[], base.AcceptorStores]
    initiator: Callable[[], base.InitiatorStores]
    clock: Clock
    doubts: bool = False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "redis", "postgresql"])
def kind(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Kind]:
    if request.param in ("redis", "postgresql"):
        yield from _shared(request.getfixturevalue(f"{request.param}_site"), clock)
    else:
        yield from {"memory": _memory, "sqlite": _sqlite}[request.param](folder, clock)


@pytest.fixture(params=["memory", "sqlite"])
def bounded(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Kind]:
    """Kinds that have a bound of their own; a shared database has the administrator's."""
    yield from {"memory": _memory, "sqlite": _sqlite}[request.param](folder, clock)


@pytest.fixture(scope="session")
def redis_store() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_store() -> Iterator[PostgresqlServer]:
    with postgresql_server("fsync=on") as server:
        yield server


@pytest.fixture
def redis_site(redis_store: RedisServer, tmp_path: Path) -> SharedSite:
    return SharedSite(redis_store.url, tmp_path / "key")


@pytest.fixture
def postgresql_site(postgresql_store: PostgresqlServer, tmp_path: Path) -> SharedSite:
    return SharedSite(postgresql_store.uri(), tmp_path / "key")


@pytest.fixture(params=["redis", "postgresql"])
def site(request: pytest.FixtureRequest) -> SharedSite:
    """A site of each kind of database, which has been there for long."""
    site: SharedSite = request.getfixturevalue(f"{request.param}_site")
    return site


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


def _shared(site: SharedSite, clock: Clock) -> Iterator[Kind]:
    site.has_been_there_for_ever()
    stores = site.stores()

    def replay(grace: int = base.REPLAY_GRACE) -> ReplayStore:
        # What it adds for clocks that differ, it would need another clock for.
        return site.stores(grace=grace - CLOCKS_AGREE).replay

    yield Kind(
        replay=replay,
        acceptor_tickets=lambda: stores.tickets,
        initiator_tickets=memory.MemoryInitiatorTicketStore,
        identities=memory.MemoryIdentityStore,
        authorities=memory.MemoryAuthorityCache,
        acceptor=site.stores,
        initiator=memory.memory_initiator,
        clock=clock,
        doubts=True,
    )
    site.close()


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
