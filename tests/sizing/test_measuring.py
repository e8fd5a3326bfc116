"""How capacity is measured, at small sizes, on real acceptors, providers and databases."""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench import capacity
from bench.measure import ahead_of_others
from bench.sizing import entries, logins, provider, trial
from bench.sizing.figures import FILE, Entries, Figures
from bench.sizing.kinds import ASSERTION, DOUBT, TICKET, TOGETHER
from bench.sizing.meters import thread_times
from browserid_sasl.gss.ports import Entry
from browserid_sasl.store import open_acceptor
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.engine import Table
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_site import SharedSite
from tests.support.tickets import acceptor_ticket

COUNT = 4_000


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_logins_on_redis() -> None:
    costs = logins.measured(["Redis"], logins=32, warm_up=16)["Redis"]
    # One to record the assertion, one for the ticket; one to look up the ticket that is shown.
    alone = [costs[kind].round_trips for kind in (ASSERTION, TICKET, DOUBT)]
    assert alone == pytest.approx([2, 3, 2], abs=0.3)
    # What comes together may be written down together; the ticket is looked up for each.
    assert 0 < costs[f"{ASSERTION}x{TOGETHER}"].round_trips < 2.3
    assert 1 < costs[f"{TICKET}x{TOGETHER}"].round_trips < 3.3
    for cost in costs.values():
        assert min(cost.loop, cost.threads, cost.store, cost.octets) > 0


def test_entries_are_as_large_as_those_of_acceptors_in_redis(
    server: RedisServer, tmp_path: Path
) -> None:
    site = SharedSite(server.url, tmp_path / "key")
    site.has_been_there_for_ever()
    stores = site.stores()
    assert stores.admission is not None
    with server.client as client:
        before = used(client.info("memory"))
        now = system_clock()
        admitted = stores.admission(
            [Entry(os.urandom(32), now + 300_000, acceptor_ticket(now), now) for _ in range(COUNT)]
        )
        assert set(admitted) == {(True, True)}
        both = (used(client.info("memory")) - before) / COUNT
    sizes = entries.of_each_kind(entries.in_redis, (COUNT,)).values()
    # A table of Redis's grows by its double, once for both and once for each.
    assert sum(size for [size] in sizes) == pytest.approx(both, rel=0.1)


def used(info: dict[str, int]) -> int:
    return info["used_memory"]


def test_entries_are_as_large_as_those_of_acceptors_in_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "server" / "server.db"
    now = system_clock()
    with closing(open_acceptor(path)) as stores:
        assert stores.admission is not None
        for start in range(0, COUNT, 500):
            stores.admission(
                [
                    # As logins come in, one after the other, each with its ticket.
                    Entry(os.urandom(32), now + each, acceptor_ticket(now + each), now)
                    for each in range(start, start + 500)
                ]
            )
    with closing(sqlite3.connect(path)) as connection:
        both = entries.octets_of(connection) / COUNT
    sizes = entries.of_each_kind(entries.in_sqlite, (COUNT,)).values()
    assert sum(size for [size] in sizes) == pytest.approx(both, rel=0.15)


def test_no_more_is_put_into_redis_than_there_is_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="have to be free"):
        entries.in_redis(tmp_path, Table.TICKET, (10**12,))


def test_certificates() -> None:
    found = provider.measured(people=50, count=3, warm_up=1)
    for kinds in found.requests.values():
        first, renewal = kinds[provider.CODE], kinds[provider.RENEWAL]
        assert first.statements > renewal.statements > 2
        assert min(first.cpu, renewal.cpu, first.held, renewal.held) > 0
        assert min(first.log, renewal.log) > 100
    of_postgresql = found.requests["PostgreSQL"]
    assert of_postgresql[provider.RENEWAL].round_trips > of_postgresql[provider.RENEWAL].statements
    assert min(found.account, found.machine, found.password) > 0


def test_three_hosts_under_load_beside_the_model() -> None:
    found = trial.measured(seconds=0.5, most=120, shares=(0.3,), rounds=1)
    # How near they are is for `make capacity` to say: here the machine is not its own.
    assert min(found.most) > 0
    [load] = found.loads
    assert load.rate == pytest.approx(0.3 * found.most[0])
    assert 0 < load.p50[0] <= load.p99[0]
    assert 0 < load.p50[1] <= load.p99[1]
    assert found.services.loop[ASSERTION].work > 0
    assert gc.isenabled()


def test_what_is_measured_runs_before_others_and_no_longer_than_that() -> None:
    before = os.sched_getscheduler(0)
    with ahead_of_others():
        assert os.sched_getscheduler(0) in (os.SCHED_RR, before)
    assert os.sched_getscheduler(0) == before


def test_parts_are_measured_anew_and_the_others_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    file.write_bytes(FILE.read_bytes())
    monkeypatch.setitem(capacity.PARTS, "entries", lambda: Entries((7,), {}))
    capacity.measure(["entries"], file)
    found, kept = Figures.load(file), Figures.load()
    assert list(found.entries.counts) == [7]
    assert (found.logins, found.trial, found.provider) == (kept.logins, kept.trial, kept.provider)


def test_processes_that_are_gone_have_used_nothing() -> None:
    assert thread_times([2**22 + 1]) == {}
    assert thread_times([os.getpid()])[os.getpid()] > 0
