"""What the mail proxy costs: a large message, a login and a NOOP, beside the same without it.

On one core, server, agent and mail program together, in turns. Directly the program has the TLS and
the login of its own; through the proxy it has neither, and the agent has both.
"""

from __future__ import annotations

import imaplib
import multiprocessing
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.measure import verdict
from browserid_sasl.adapters import imaplib_login
from browserid_sasl.api import Client
from browserid_sasl.config import load
from browserid_sasl.jose.keys import PrivateKey
from tests.support.mail_person import MailPerson
from tests.support.mailbox_server import HOST, MailboxServer
from tests.support.patience import wait_until
from tests.support.ports import listens

SIZE: Final = 200_000_000
FETCHES: Final = 5
LOGINS: Final = 40
NOOPS: Final = 400
IDLE: Final = 200

THROUGHPUT_TARGET: Final = 0.5
MEMORY_TARGET: Final = 60.0
"""MB of the agent's process."""

_BLOCK: Final = 1_048_576


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with on_one_core(), TemporaryDirectory(prefix="mail-") as folder:
        person = MailPerson(Path(folder), PrivateKey.generate("ES256"))
        with in_a_process(person.server), person.serving():
            lines = [_memory_of_idle(person, IDLE), *_throughput(Ways(person), SIZE)]
            return [*lines, *_latency(Ways(person)), _memory(person)]


class Ways:
    """To the server, with the proxy and without."""

    def __init__(self, person: MailPerson) -> None:
        self._person = person
        self._client = Client(load(person.realm.config_file), "imap", HOST)
        self._tls = ssl.create_default_context(cafile=person.server.ca_file)

    def direct(self) -> imaplib.IMAP4:
        """A program that logs in with an identity itself."""
        port = self._person.server.port
        connection = imaplib.IMAP4_SSL(HOST, port, ssl_context=self._tls)
        imaplib_login(connection, self._client)
        return connection

    def proxied(self) -> imaplib.IMAP4:
        """A program that knows a password."""
        return self._person.log_in()


def throughput(ways: Ways, size: int, rounds: int) -> float:
    """How fast a message of a size comes through the proxy, times how fast it comes directly."""
    with ways.direct() as direct, ways.proxied() as proxied:
        times = _in_turns((lambda: fetch(direct, size), lambda: fetch(proxied, size)), rounds)
    return times[0] / times[1]


def _throughput(ways: Ways, size: int) -> list[str]:
    ratio = throughput(ways, size, FETCHES)
    met = ratio >= THROUGHPUT_TARGET
    what = f"fetch of {size // 1_000_000} MB, rate to direct"
    return [verdict(what, f"{ratio:.2f}", f">= {THROUGHPUT_TARGET}", met=met)]


def _latency(ways: Ways) -> Iterator[str]:
    def log_in(way: Callable[[], imaplib.IMAP4]) -> None:
        way().logout()

    direct, proxied = _in_turns((lambda: log_in(ways.direct), lambda: log_in(ways.proxied)), LOGINS)
    yield f"connect, log in by ticket and out, to direct{proxied / direct:>10.2f}"
    with ways.direct() as near, ways.proxied() as far:
        direct, proxied = _in_turns((near.noop, far.noop), NOOPS)
    yield f"NOOP, to direct{proxied / direct:>39.2f}"


@contextmanager
def idle(person: MailPerson, count: int) -> Iterator[None]:
    """So many mail programs that have logged in, and say nothing in this block."""
    with ExitStack() as stack, ThreadPoolExecutor(20) as pool:
        for each in pool.map(lambda _: person.log_in(), range(count)):
            stack.callback(each.shutdown)
        yield


def _memory_of_idle(person: MailPerson, count: int) -> str:
    with idle(person, count):
        return _memory(person, f" with {count} idle")


def _memory(person: MailPerson, when: str = "") -> str:
    most = person.most_memory()
    met = most < MEMORY_TARGET
    return verdict(f"memory of the agent{when}, MB", f"{most:.1f}", f"< {MEMORY_TARGET:g}", met=met)


def fetch(connection: imaplib.IMAP4, size: int) -> None:
    """Have a message of a size, and keep none of it."""
    connection.send(b"f FETCH %d\r\n" % size)
    connection.readline()
    while size:
        size -= len(connection.read(min(size, _BLOCK)))
    for _ in range(2):
        connection.readline()


def _in_turns(actions: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """Medians in s; the first round does not count."""
    times: list[list[float]] = [[] for _ in actions]
    for number in range(rounds + 1):
        for taken, action in zip(times, actions, strict=True):
            start = time.perf_counter()
            action()
            if number:
                taken.append(time.perf_counter() - start)
    return list(map(median, times))


@contextmanager
def on_one_core() -> Iterator[None]:
    """This process, and those that it starts."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def in_a_process(server: MailboxServer) -> Iterator[None]:
    """A server, in a process of its own."""

    def serve() -> None:
        with server.running():
            threading.Event().wait()

    process = multiprocessing.get_context("fork").Process(target=serve, daemon=True)
    process.start()
    try:
        wait_until(lambda: listens(server.port), "the server")
        yield
    finally:
        process.kill()
        process.join()
