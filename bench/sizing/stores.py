"""One acceptor in front of each kind of store, with what tells how much both have used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.sizing.meters import Meter, nothing, redis_pids, redis_traffic
from bench.sizing.relay import relay
from browserid_sasl.jose.keys import PrivateKey
from tests.support.acceptor import Host, running
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.redis_server import RedisServer, redis_cluster, redis_server
from tests.support.services import folder_for_all
from tests.support.several_hosts import SeveralHosts, several_hosts

AS_DOCUMENTED: Final = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
"""Of docs/several-hosts.md."""

IN_EARNEST: Final = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB")
"""What the tests' own PostgreSQL does not do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """An acceptor with one worker.

    :param host: its host.
    :param meter: reads what it and its store use.
    :param forget: has its store not know since when it remembers everything; None where that
        cannot be.
    """

    host: Host
    meter: Meter
    forget: Callable[[], object] | None = None


@contextmanager
def on_this_host(options: str = "") -> Iterator[Stage]:
    """With a store of its own: SQLite, or what `options` of [store] say."""
    with folder_for_all() as folder:
        host = Host(folder, PrivateKey.generate("ES256"))
        host.configure(workers=1)
        text = host.config_file.read_text()
        host.config_file.write_text(text.replace("[store]\n", f"[store]\n{options}\n", 1))
        with running(host.config_file, host.output) as daemon:
            yield Stage(host, Meter(daemon.workers(), list, nothing))


@contextmanager
def on_redis() -> Iterator[Stage]:
    """With Redis as the page on several hosts has it."""
    with redis_server(*AS_DOCUMENTED) as server:
        yield from _with_redis(server.url, [server])


@contextmanager
def on_cluster() -> Iterator[Stage]:
    """With a cluster of three."""
    with redis_cluster(3, *AS_DOCUMENTED) as nodes:
        yield from _with_redis(f"redis+cluster://127.0.0.1:{nodes[0].port}", nodes)


@contextmanager
def on_postgresql() -> Iterator[Stage]:
    """With PostgreSQL, by a way that counts."""
    with postgresql_server(*IN_EARNEST) as server, relay(server.port) as way:
        url = server.uri().replace(f":{server.port}/", f":{way.port}/")
        with several_hosts(url, PrivateKey.generate("ES256"), count=1) as hosts:
            pids, traffic = partial(backends, server), lambda: (way.round_trips, way.octets)
            yield _stage(hosts, pids, traffic)


def _with_redis(url: str, servers: Sequence[RedisServer]) -> Iterator[Stage]:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client) for server in servers]
        hosts = stack.enter_context(several_hosts(url, PrivateKey.generate("ES256"), count=1))
        pids = redis_pids(clients)
        yield _stage(hosts, lambda: pids, partial(redis_traffic, clients))


def _stage(
    hosts: SeveralHosts,
    pids: Callable[[], Iterable[int]],
    traffic: Callable[[], tuple[float, float]],
) -> Stage:
    meter = Meter(hosts.daemons[0].workers(), pids, traffic)
    return Stage(hosts.hosts[0], meter, hosts.site.engine().drop_marks)


def backends(server: PostgresqlServer) -> list[int]:
    """The processes of a PostgreSQL server that work for it just now."""
    return [int(each) for each in server.sql("postgres", _BACKENDS).split()]


_BACKENDS: Final = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"

STORES: Final[dict[str, Callable[[], AbstractContextManager[Stage]]]] = {
    "memory": partial(on_this_host, 'backend = "memory"'),
    "SQLite": on_this_host,
    "Redis": on_redis,
    "Redis cluster": on_cluster,
    "PostgreSQL": on_postgresql,
}
"""By the names that the page has for them."""
