"""Redis servers of the tests' own, as another account where this is root's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import redis

from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens

PROGRAM: Final = os.environ.get("REDIS_SERVER", "redis-server")
"""What runs: Redis, or Valkey where `make debian13` asks for it."""

CLI: Final = PROGRAM.replace("-server", "-cli")

_TO_THE_BUS: Final = 10_000
"""How far above a node's port is that at which the other nodes of its cluster find it."""

_ACCOUNT: Final = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


class RedisServer:
    """A process of redis-server, which can be killed and started again.

    :param options: of its command line, beside those that every one of these has.
    :param sentinel: whether it is a sentinel.
    """

    def __init__(self, *options: str, port: int | None = None, sentinel: bool = False) -> None:
        self.folder = Path(mkdtemp(prefix="rd"))
        self.port = free_port() if port is None else port
        self._options = options
        self._sentinel = sentinel
        self._file: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")

    def use(self, file: Path) -> None:
        """Have it start with a configuration file and nothing else."""
        self._file = file

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def client(self) -> redis.Redis:
        """A client of its own that looks at it."""
        return redis.Redis(port=self.port, socket_timeout=10)

    def start(self) -> None:
        plain = "0" if "--tls-port" in self._options else str(self.port)
        usual = ("--port", plain, "--bind", "127.0.0.1", "--dir", str(self.folder))
        told = (
            (str(self._file), "--dir", str(self.folder))
            if self._file
            else (
                *self._files(),
                *usual,
                *self._options,
            )
        )
        self._process = subprocess.Popen(
            [*_as_nobody(), PROGRAM, *told],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, PROGRAM)

    def _files(self) -> Sequence[str]:
        if not self._sentinel:
            return ("--save", "", "--appendonly", "no")
        file = self.folder / "sentinel.conf"
        file.touch()
        if os.geteuid() == 0:
            shutil.chown(file, "nobody", "nogroup")
        return (str(file), "--sentinel")

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=1) as client:
                return client.ping() is True
        except redis.exceptions.AuthenticationError:
            return True
        except (redis.exceptions.RedisError, OSError):
            # With TLS, by who has the authority.
            return "--tls-port" in self._options and listens(self.port)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, with whatever it has not written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        """End it, and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.folder)


def _as_nobody() -> Sequence[str]:
    return _ACCOUNT if os.geteuid() == 0 else ()


@contextmanager
def redis_server(*options: str, port: int | None = None) -> Iterator[RedisServer]:
    """A server, running, for the block."""
    server = RedisServer(*options, port=port)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _node(*options: str) -> AbstractContextManager[RedisServer]:
    """A server that may be a part of a cluster, whose others it listens to at a second port."""
    usual = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    return redis_server(*usual, *options, port=free_port(_TO_THE_BUS))


@contextmanager
def redis_cluster(count: int, *options: str) -> Iterator[list[RedisServer]]:
    """A cluster of so many primaries, three at least, for the block."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(*options)) for _ in range(count)]
        _cluster("create", *map(_address, nodes), "--cluster-yes")
        wait_until(lambda: all(map(_sees_all, nodes)), "the cluster")
        yield nodes


@contextmanager
def cluster_replica(primary: RedisServer) -> Iterator[RedisServer]:
    """A further node of a cluster, which follows one that is there."""
    with _node() as replica:
        its_id = primary.client.execute_command("CLUSTER", "MYID")  # type: ignore[no-untyped-call]
        follows = ("--cluster-slave", "--cluster-master-id", its_id.decode())
        _cluster("add-node", _address(replica), _address(primary), *follows)
        wait_until(
            lambda: replica.client.info("replication").get("master_link_status") == "up",
            "the replica",
        )
        yield replica


def _cluster(*words: str) -> None:
    subprocess.run(
        [CLI, "--cluster", *words], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE
    )


def _address(node: RedisServer) -> str:
    return f"127.0.0.1:{node.port}"


def _sees_all(node: RedisServer) -> bool:
    told = node.client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
    return "cluster_state:ok" in str(told)


class WatchedRedis:
    """A primary, its replica, and a sentinel that has the replica take over when it dies.

    :param primary: it.
    :param replica: the other.
    :param sentinel: watches them.
    """

    def __init__(self, primary: RedisServer, replica: RedisServer, sentinel: RedisServer) -> None:
        self.primary = primary
        self.replica = replica
        self._watch = sentinel.client
        self.url = f"redis+sentinel://127.0.0.1:{sentinel.port}/site"

    def begin(self) -> None:
        """Have the sentinel watch, and wait until it knows both."""
        self._watch.sentinel_monitor("site", "127.0.0.1", self.primary.port, 1)
        self._watch.sentinel_set("site", "down-after-milliseconds", "500")
        self._watch.sentinel_set("site", "failover-timeout", "3000")
        wait_until(
            lambda: len(self._watch.sentinel_slaves("site")) == 1, "the sentinel sees the replica"
        )

    def caught_up(self) -> bool:
        """Whether the replica has as many entries as the primary."""
        return self.replica.client.dbsize() == self.primary.client.dbsize()


@contextmanager
def watched_redis() -> Iterator[WatchedRedis]:
    """Redis with a replica and a sentinel, running, for the block."""
    with ExitStack() as stack:
        primary = stack.enter_context(redis_server())
        of_primary = ("--replicaof", "127.0.0.1", str(primary.port))
        replica = stack.enter_context(redis_server(*of_primary, "--replica-read-only", "no"))
        sentinel = RedisServer(sentinel=True)
        stack.callback(sentinel.remove)
        sentinel.start()
        watched = WatchedRedis(primary, replica, sentinel)
        watched.begin()
        yield watched
