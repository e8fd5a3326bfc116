"""What a login costs, in counts: they are the same on every machine. `make bench` has the times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from browserid_sasl.gss.acceptor import ExchangeStores
from browserid_sasl.gss.states import AcceptorState
from browserid_sasl.identity.support import parse_support_document
from browserid_sasl.store import AcceptorStores, open_acceptor
from browserid_sasl.store import database as database_module
from browserid_sasl.store.base import system_clock
from tests.support.world import HOUR, Clock, World, exchange, key, support_document


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[AcceptorStores]:
    folder = tmp_path / "stores"
    stores = open_acceptor(folder / "server.db")
    stores.replay.purge(0)  # which opens the file
    yield stores
    stores.close()


@pytest.fixture
def statements(stores: AcceptorStores, tmp_path: Path) -> list[str]:
    """What SQLite is asked to do on the connection to the stores."""
    asked: list[str] = []
    [session] = [
        session
        for database in list(database_module._databases)
        if database.path.is_relative_to(tmp_path)
        for session in list(database._sessions)
        if session.connection is not None
    ]
    assert session.connection is not None
    session.connection.set_trace_callback(asked.append)
    return asked


@pytest.fixture
def world(stores: AcceptorStores) -> World:
    world = World(clock=Clock(system_clock()))
    world.stores = ExchangeStores(stores.replay, stores.tickets, stores.admission)
    return world


def log_in(world: World, *, with_ticket: bool) -> None:
    acceptor = world.acceptor()
    tickets = {} if with_ticket else {"tickets": None}
    acceptor.step(world.initiator(**tickets).step() or b"")
    assert acceptor.state is AcceptorState.ESTABLISHED, acceptor.failure


def asked_by_a_login(world: World, statements: list[str], *, with_ticket: bool) -> float:
    """By most logins: one in many tidies up as well.

    What a trigger does is reported as its statement again, and as what is no statement.
    """
    counts = []
    for _ in range(9):
        statements.clear()
        log_in(world, with_ticket=with_ticket)
        counts.append(len({each for each in statements if not each.startswith("--")}))
    return median(counts)


def test_statements_of_an_initial_login(world: World, statements: list[str]) -> None:
    assert 1 <= asked_by_a_login(world, statements, with_ticket=False) <= 5


def test_statements_of_a_login_by_ticket(world: World, statements: list[str]) -> None:
    exchange(world.initiator(), world.acceptor())
    assert 2 <= asked_by_a_login(world, statements, with_ticket=True) <= 6


def test_a_providers_keys_are_parsed_once_for_each_version_of_its_document() -> None:
    world = World()
    parse_support_document.cache_clear()
    for _ in range(3):
        log_in(world, with_ticket=False)
        world.clock.now += HOUR // 2 + 1  # past what is remembered, and at times what is cached
    assert len(world.provider.fetched) == 2
    assert parse_support_document.cache_info().misses == 1
    world.provider.documents["idp.test"] = support_document(key("idp"), key("another"))
    world.clock.now += HOUR
    for _ in range(2):
        log_in(world, with_ticket=False)
    assert parse_support_document.cache_info().misses == 2
