"""What the way to the acceptor costs, and what its workers admit together.

Both beside one `Server` in this process on the same stores, with messages that were made
beforehand, in turns. The program at the other end of the socket is tests/plugin/driver.c for the
cost: libsasl2 with the plugin, as imapd has it. For the rate it is this process, which does no
more than write lines and read lines.
"""

from __future__ import annotations

import base64
import re
import selectors
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.measure import verdict
from browserid_sasl import config
from browserid_sasl.api import Server
from tests.support.acceptor import Program
from tests.support.sample_programs import DOMAIN
from tests.support.services import AES128, HOST, Site, build_driver, installed_site

ROUNDS: Final = 15
LOGINS: Final = 200
"""In each turn of a round."""

CONNECTIONS: Final = 8
"""Each waits for an answer before it asks again, as an imapd does."""

PARAMETERS: Final = {"bid": "1", "bid_host": HOST, "bid_opt.allow": DOMAIN}
"""What the plugin says of a program."""

SOCKET_TARGET: Final = 0.15
"""CPU ms of a login, both ends together."""
WORKERS_TARGET: Final = 1.4
"""Logins a second of two workers, times those of one `Server`."""

TICKET: Final = "by ticket"
ASSERTION: Final = "new assertion"


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with installed_site() as site:
        site.configure("driver")
        people = Messages(site)
        server = _server(site)
        return [
            *_socket(site, server, people),
            *(
                line
                for kind, make in ((TICKET, people.by_ticket), (ASSERTION, people.with_assertion))
                for line in _rate(site, server, kind, make)
            ),
        ]


class Messages:
    """First messages of a person to a site's service, none of them sent twice."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._person = site.realm.person()
        self._client = site.client("imap", self._person)
        login = self._client.start_with(AES128)
        with Program(site.socket) as program:
            program.begin(1, AES128, login.step(None), **PARAMETERS)
            reply = program.reply()
        login.step(reply.final)
        if reply.verb != "OK":
            raise RuntimeError(str(reply))

    def by_ticket(self) -> bytes:
        """One that presents the ticket."""
        return self._client.start_with(AES128).step(None)

    def with_assertion(self) -> bytes:
        """One that presents the certificate."""
        return self._site.mechanism("imap", person=self._person).step(None)


def _server(site: Site) -> Server:
    return Server(config.load(site.config_file).allowing((DOMAIN,)), "imap", HOST)


def _admit(server: Server, messages: list[bytes]) -> None:
    for message in messages:
        login = server.start(AES128, success_data=True)
        login.step(message)
        if not login.complete:
            raise RuntimeError(f"a login was refused: {login.failure}")


# What the socket costs


def _socket(site: Site, server: Server, people: Messages) -> list[str]:
    driver = build_driver(site.folder)
    here, client, worker = [], [], []
    for _ in range(ROUNDS):
        ours, theirs = ([people.by_ticket() for _ in range(LOGINS)] for _ in range(2))
        start = time.process_time()
        _admit(server, ours)
        here.append(time.process_time() - start)
        before = _workers_cpu(site)
        client.append(_drive(site, driver, theirs))
        worker.append(_workers_cpu(site) - before)
    in_process, at_client, at_worker = (
        median(seconds) / LOGINS * 1000 for seconds in (here, client, worker)
    )
    cost = at_client + at_worker - in_process
    return [
        "a login by ticket, CPU time",
        f"{'  `Server` in process':<42} {in_process:>8.3f} ms",
        f"{'  worker':<42} {at_worker:>8.3f} ms",
        f"{'  program, libsasl2 included':<42} {at_client:>8.3f} ms",
        verdict(
            "  the socket, both ends",
            f"{cost:.3f} ms",
            f"{SOCKET_TARGET} ms at most",
            met=cost <= SOCKET_TARGET,
        ),
    ]


def _drive(site: Site, driver: Path, messages: list[bytes]) -> float:
    """Have the driver take messages; its CPU time in s."""
    given = site.folder / "messages"
    given.write_bytes(b"".join(struct.pack(">I", len(each)) + each for each in messages))
    done = site.run(driver, "-g", given)
    match = re.search(rf"^cpu (\d+)\nok {len(messages)} failed 0 ", done.stdout, re.MULTILINE)
    if not match:
        raise RuntimeError(done.stdout[-1000:])
    return int(match[1]) / 1e6


def _workers_cpu(site: Site) -> float:
    """CPU time that the workers have had, in s."""
    threads = (thread for pid in site.workers() for thread in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


# What two workers admit


def _rate(site: Site, server: Server, kind: str, make: Callable[[], bytes]) -> list[str]:
    one, two = [], []
    for _ in range(ROUNDS):
        ours, theirs = ([make() for _ in range(LOGINS)] for _ in range(2))
        start = time.perf_counter()
        _admit(server, ours)
        one.append(time.perf_counter() - start)
        crowd = Crowd(site)
        start = time.perf_counter()
        crowd.log_in(theirs)
        two.append(time.perf_counter() - start)
        crowd.close()
    ratio = median(one) / median(two)
    return [
        f"{kind}, logins a second",
        f"{'  one `Server` in process':<42} {LOGINS / median(one):>8.0f}",
        f"{f'  {len(site.workers())} workers':<42} {LOGINS / median(two):>8.0f}",
        verdict(
            "  ratio",
            f"{ratio:.2f}",
            f"{WORKERS_TARGET} at least",
            met=ratio >= WORKERS_TARGET,
        ),
    ]


@dataclass
class Line:
    """A connection and the messages that are still to be sent on it."""

    program: Program
    requests: Iterator[bytes]

    def ask(self) -> bool:
        """Send the next one; False if there is none."""
        request = next(self.requests, None)
        if request is not None:
            self.program.socket.sendall(request)
        return request is not None

    def hear(self) -> None:
        """Read an answer."""
        answer = self.program.line()
        if not answer.startswith("OK\t"):
            raise RuntimeError(answer)


class Crowd:
    """Programs that log people in at the same time."""

    def __init__(self, site: Site) -> None:
        self._programs = [Program(site.socket) for _ in range(CONNECTIONS)]
        workers = {program.worker for program in self._programs}
        if workers != set(site.workers()):
            raise RuntimeError("the connections are not with all workers")

    def log_in(self, messages: list[bytes]) -> None:
        """Have all of them logged in."""
        requests = [_request(number, message) for number, message in enumerate(messages, 1)]
        share = len(requests) // len(self._programs)
        with selectors.DefaultSelector() as selector:
            for number, program in enumerate(self._programs):
                own = Line(program, iter(requests[number * share : (number + 1) * share]))
                own.ask()
                selector.register(program.socket, selectors.EVENT_READ, own)
            while selector.get_map():
                for key, _ in selector.select():
                    key.data.hear()
                    if not key.data.ask():
                        selector.unregister(key.fileobj)

    def close(self) -> None:
        """Hang up."""
        for program in self._programs:
            program.socket.close()


def _request(number: int, message: bytes) -> bytes:
    resp = base64.b64encode(message).decode()
    parameters = "\t".join(f"{name}={value}" for name, value in PARAMETERS.items())
    return f"AUTH\t{number}\t{AES128}\tservice=imap\t{parameters}\tresp={resp}\n".encode()


if __name__ == "__main__":
    print("\n".join(run()))
