"""What a login costs on each store, as ratios to memory, and how large an entry is.

Time on the clock, of one login after the other and of batches of 64, with the databases of Debian
on this machine: their own work is in it, and that of the network is not. A login by ticket is
measured as a whole as well, on the clock and by the acceptor's CPU, and how much of it is to look
the ticket up: no more than that could be saved by remembering tickets that were looked up before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from bench.login import Service
from browserid_sasl.gss.admission import OneByOne
from browserid_sasl.gss.ports import Entry
from browserid_sasl.store import AcceptorStores, memory_acceptor, open_acceptor
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.engine import Table
from tests.support.postgresql import postgresql_server
from tests.support.redis_server import redis_server
from tests.support.shared_site import SharedSite
from tests.support.tickets import acceptor_ticket

_T = TypeVar("_T")

ROUNDS: Final = 5
SINGLE: Final = 200
BATCH: Final = 64
BATCHES: Final = 10
ENTRIES: Final = 50_000
_COUNT: Final = "SELECT count(*) FROM"


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        redis = stack.enter_context(redis_server())
        postgresql = stack.enter_context(postgresql_server("fsync=on"))
        sites = {
            "Redis": SharedSite(redis.url, folder / "redis-key"),
            "PostgreSQL": SharedSite(postgresql.uri(), folder / "postgresql-key"),
        }
        for site in sites.values():
            site.has_been_there_for_ever()
        stores: dict[str, AcceptorStores] = {
            "memory": memory_acceptor(),
            "SQLite": open_acceptor(folder / "server" / "server.db"),
            **{name: site.stores() for name, site in sites.items()},
        }
        times = {name: _times(each) for name, each in stores.items()}
        lines = [*_table(times)]
        lines += [_by_ticket(name, each) for name, each in stores.items()]
        before = int(redis.client.info("memory")["used_memory"])
        _fill(stores["Redis"])
        grown = int(redis.client.info("memory")["used_memory"]) - before
        lines.append(f"Redis: {grown / ENTRIES:,.0f} octets for an assertion and a ticket")
        _fill(stores["PostgreSQL"])
        for table, name in ((Table.ASSERTION, "assertion"), (Table.TICKET, "ticket")):
            relation = f"{sites['PostgreSQL'].realm}_{name}"
            size = int(postgresql.sql("postgres", f"SELECT pg_total_relation_size('{relation}')"))
            rows = int(postgresql.sql("postgres", f"{_COUNT} {relation}"))
            lines.append(f"PostgreSQL: {size / rows:,.0f} octets for each {table.name.lower()}")
        return lines


def _table(times: dict[str, dict[str, float]]) -> Iterator[str]:
    yield f"{'us a login':<12}" + "".join(f"{name:>18}" for name in times)
    for kind in times["memory"]:
        basis = times["memory"][kind]
        shown = (f"{each[kind]:,.0f} ({each[kind] / basis:,.0f})" for each in times.values())
        yield f"{kind:<12}" + "".join(f"{text:>18}" for text in shown)
    yield "In brackets, as a ratio to memory."


def _times(stores: AcceptorStores) -> dict[str, float]:
    admit = stores.admission or OneByOne(stores.replay, stores.tickets)
    found: dict[str, list[float]] = {"one by one": [], "64 at once": [], "ticket": []}
    for _ in range(ROUNDS):
        entries = [[_entry()] for _ in range(SINGLE)]
        found["one by one"].append(_time(admit, entries, SINGLE))
        batches = [[_entry() for _ in range(BATCH)] for _ in range(BATCHES)]
        found["64 at once"].append(_time(admit, batches, BATCH * BATCHES))
        tids = [each.ticket.tid for [each] in entries if each.ticket]
        get = partial(stores.tickets.get, now=system_clock())
        found["ticket"].append(_time(get, tids, SINGLE))
    return {name: median(values) for name, values in found.items()}


def _by_ticket(name: str, stores: AcceptorStores) -> str:
    """What a whole login by ticket takes, and how much of it is to look the ticket up."""
    accept = Service(stores).reauthentications()
    kept = next(iter(stores.tickets.all(system_clock())))
    whole = _clock_and_cpu(accept)
    lookup = _clock_and_cpu(lambda: stores.tickets.get(kept.tid, system_clock()))
    shares = [100 * part / all for part, all in zip(lookup, whole, strict=True)]
    return (
        f"{name}: a login by ticket {whole[0]:,.0f} us, {whole[1]:,.0f} of them CPU;"
        f" looking it up is {shares[0]:.0f} % and {shares[1]:.0f} % of that"
    )


def _clock_and_cpu(action: Callable[[], object]) -> tuple[float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    for _ in range(SINGLE):
        action()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return clock / SINGLE * 1e6, cpu / SINGLE * 1e6


def _time(action: Callable[[_T], object], values: Sequence[_T], count: int) -> float:
    start = time.perf_counter()
    for value in values:
        action(value)
    return (time.perf_counter() - start) / count * 1e6


def _entry() -> Entry:
    now = system_clock()
    return Entry(os.urandom(32), now + 3_600_000, acceptor_ticket(), now)


def _fill(stores: AcceptorStores) -> None:
    admit = stores.admission or OneByOne(stores.replay, stores.tickets)
    for _ in range(ENTRIES // 500):
        admit([_entry() for _ in range(500)])
