"""How large an entry is in each store: an assertion that was presented, and a ticket.

They are made by the databases themselves, which takes a minute for many millions, in the form in
which acceptors put them there: names and sealed values look like chance, and are as chance here, of
the same lengths. Tests compare them with what acceptors have put in.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import redis

from bench.sizing.figures import Entries
from bench.sizing.stores import IN_EARNEST
from bench.store import filled_with
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.engine import Table
from browserid_sasl.store.shared import SharedStores
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.redis_server import redis_server
from tests.support.shared_site import SharedSite
from tests.support.tickets import acceptor_ticket

SIZES: Final = (1_000_000, 10_000_000)
_AT_ONCE: Final = 10_000
_ROWS_AT_ONCE: Final = 200_000
_LIFE: Final = 36_000_000
_ROOM: Final = 1.5
"""So many times what Redis is to take has to be free."""

_EXPECTED: Final = 700
"""Octets of an entry at the most, for `_ROOM`."""


def measured(counts: tuple[int, ...] = SIZES) -> Entries:
    """Fill each store with so many entries of one kind, and then of the other.

    :param counts: in rising order.
    :raises RuntimeError: this machine has not the memory for that.
    """
    ways = {"Redis": in_redis, "SQLite": in_sqlite, "PostgreSQL": in_postgresql}
    return Entries(counts, {name: of_each_kind(way, counts) for name, way in ways.items()})


Way = Callable[[Path, Table, tuple[int, ...]], list[float]]
"""Octets of an entry when there are so many, in a store in a folder."""


def of_each_kind(way: Way, counts: tuple[int, ...]) -> dict[str, list[float]]:
    """Octets of an entry of each kind, in a store that has nothing else."""
    found = {}
    for table in Table:
        with TemporaryDirectory(prefix="browserid-capacity-") as name:
            found[table.name.lower()] = way(Path(name), table, counts)
    return found


def free_memory() -> int:
    """Octets that programs can have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kilobytes) * 1024


def _check_memory(entries: int) -> None:
    needed = entries * _EXPECTED * _ROOM
    if free_memory() < needed:
        raise RuntimeError(f"{needed / 2**30:.0f} GiB have to be free for {entries:,} entries")


def sealed_size(stores: SharedStores) -> int:
    """Octets of a ticket as an acceptor seals it."""
    ticket = acceptor_ticket(system_clock())
    stores.tickets.put(ticket)
    [item] = stores.engine.all(Table.TICKET)
    stores.tickets.delete(ticket.tid)
    return len(item.value)


# In each of the stores


def in_redis(folder: Path, table: Table, counts: tuple[int, ...]) -> list[float]:
    """See `Way`. Each kind has a server of its own: to empty one of many millions takes long."""
    _check_memory(counts[-1])
    with redis_server("--maxmemory-policy", "noeviction") as server, server.client as client:
        site = SharedSite(server.url, folder / "key")
        length = sealed_size(site.stores()) if table is Table.TICKET else 0
        client.flushall()
        empty, there, found = _used(client), 0, []
        for count in counts:
            fill_redis(client, site.realm, table, range(there, count), length)
            there = count
            found.append((_used(client) - empty) / client.dbsize())
    return found


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


_FILL_REDIS: Final = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
    local name = struct.pack('>I8I8', number, math.random(0, 2^30))
    redis.call('SET', KEYS[1] .. name, ARGV[3], 'NX', 'PXAT', ARGV[4] + number)
end
"""


def fill_redis(client: redis.Redis, realm: str, table: Table, numbers: range, length: int) -> None:
    """Have a Redis server keep so many entries more, as `RedisEngine` has them.

    :param numbers: of the entries.
    :param length: of a value, in octets.
    """
    prefix = b"{browserid:%s:0}%s" % (realm.encode(), table.value.encode())
    until = system_clock() + _LIFE
    for start in range(numbers.start, numbers.stop, _AT_ONCE):
        end = min(start + _AT_ONCE, numbers.stop)
        client.eval(_FILL_REDIS, 1, prefix, start, end, os.urandom(length), until)


def in_postgresql(folder: Path, table: Table, counts: tuple[int, ...]) -> list[float]:
    """See `Way`."""
    with postgresql_server(*IN_EARNEST, "shared_buffers=1GB", "max_wal_size=4GB") as server:
        site = SharedSite(server.uri(), folder / "key")
        # Which makes the tables, too.
        sealed = sealed_size(site.stores())
        relation = f"{site.realm}_{table.name.lower()}"
        there, found = 0, []
        for count in counts:
            length = sealed if table is Table.TICKET else 0
            fill_postgresql(server, relation, range(there, count), length)
            there = count
            size = server.sql("postgres", f"SELECT pg_total_relation_size('{relation}')")
            found.append(int(size) / count)
    return found


def fill_postgresql(server: PostgresqlServer, relation: str, numbers: range, length: int) -> None:
    """Have a PostgreSQL server keep so many entries more, as `PostgresqlEngine` has them.

    :param relation: its table.
    :param numbers: of the entries.
    :param length: of a value, in octets; 0 for a table that has none.
    """
    until = system_clock() + _LIFE
    chance = "decode(md5(random()::text || number), 'hex')"
    value = f", substr(decode(repeat(md5(random()::text), {length // 16 + 1}), 'hex'), 1, {length})"
    for start in range(numbers.start, numbers.stop, _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, numbers.stop)
        server.sql(
            "postgres",
            f"INSERT INTO {relation}"  # noqa: S608 - nobody else's words
            f" SELECT {chance}, {until} + number{value if length else ''}"
            f" FROM generate_series({start}, {end - 1}) AS number",
        )


def in_sqlite(folder: Path, table: Table, counts: tuple[int, ...]) -> list[float]:
    """See `Way`."""
    return [_size_in_sqlite(folder / f"{table.value}{count}", table, count) for count in counts]


def _size_in_sqlite(folder: Path, table: Table, count: int) -> float:
    path = folder / "server.db"
    filled_with(path, *((count, 0) if table is Table.ASSERTION else (0, count))).close()
    with closing(sqlite3.connect(path)) as connection:
        size = octets_of(connection)
    shutil.rmtree(folder)
    return size / count


def octets_of(connection: sqlite3.Connection) -> int:
    """What a database of SQLite takes."""
    [[pages], [size]] = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    return int(pages * size)
