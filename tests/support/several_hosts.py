"""Hosts of one site: an acceptor on each, one store behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from browserid_sasl.api import Client
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.acceptor import Daemon, Host, Program, Reply, running
from tests.support.sample_programs import Person
from tests.support.services import AES128, folder_for_all
from tests.support.shared_site import SharedSite

FAKETIME: Final = "/usr/$LIB/faketime/libfaketime.so.1"
IN_FLIGHT: Final = 16
GONE: Final = "gone"
"""What a host says that is no more."""


class SeveralHosts:
    """Three hosts, or as many as there are folders.

    :param folders: empty ones that everybody can read.
    :param site: whose store they share.
    :param clocks: what is wrong with the clock of each, ``+4m``; empty for nothing.
    :param timeout: s, of their store.
    :param further: lines of [store].
    """

    def __init__(
        self,
        folders: Sequence[Path],
        site: SharedSite,
        provider_key: PrivateKey,
        *,
        clocks: Sequence[str] = (),
        timeout: int = 10,
        further: str = "",
    ) -> None:
        self.site = site
        self.hosts = [Host(folder, provider_key) for folder in folders]
        self._clocks = clocks or [""] * len(folders)
        self.daemons: list[Daemon] = []
        for host in self.hosts:
            host.configure(workers=1)
            text = host.config_file.read_text()
            lines = (
                f'[store]\nurl = "{site.url}"\nkey_file = "{site.key_file}"\n'
                f'realm = "{site.realm}"\ntimeout = {timeout}\n{further}'
            )
            host.config_file.write_text(text.replace("[store]\n", lines, 1))

    def start(self, stack: ExitStack) -> None:
        """Start the acceptors."""
        for host, clock in zip(self.hosts, self._clocks, strict=True):
            faked = {"LD_PRELOAD": FAKETIME, "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1"}
            self.daemons.append(
                stack.enter_context(
                    running(host.config_file, host.output, environment=faked if clock else {})
                )
            )

    def client(self) -> Client:
        """Somebody who logs in to any of them, and keeps tickets."""
        return self.hosts[0].client()

    def mechanism(self, person: Person | None = None) -> ClientMechanism:
        """One login without a ticket."""
        return self.hosts[0].mechanism(person=person)

    def log_in(self, at: int, mechanism: ClientMechanism) -> Reply:
        """Log in at one of them."""
        with Program(self.hosts[at].socket) as program:
            return program.log_in(mechanism, bid="1")

    def present(self, at: int, message: bytes) -> Reply:
        """Present a first message at one of them; what is answered first."""
        with Program(self.hosts[at].socket) as program:
            program.begin(1, AES128, message, bid="1")
            return program.reply()

    def messages(self, count: int) -> list[bytes]:
        """First messages of so many logins of one person."""
        client = self.hosts[0].client(person=self.hosts[0].realm.person())
        first = (client.start_with(AES128).step(None) for _ in range(count))
        return [message for message in first if message is not None]

    def present_everywhere(
        self, messages: Sequence[bytes], hosts: Sequence[int] = (0, 1, 2)
    ) -> list[list[str]]:
        """Present each message at all these hosts at the same time.

        :returns: of each message, what it came to at each host; see `Presented`.
        """
        presented = self.present_all([(message, hosts) for message in messages])
        return [[each.answers[at] for at in hosts] for each in presented]

    def present_all(
        self, plan: Sequence[tuple[bytes, Sequence[int]]], *, lasting: float = 0
    ) -> Iterator[Presented]:
        """Present messages, a few at a time, each at its hosts at the same time.

        :param lasting: s that they are spread over at least.
        """
        pause = lasting * IN_FLIGHT / max(len(plan), 1)
        with ExitStack() as stack:
            everybody = {at for _, hosts in plan for at in hosts}
            programs = {at: _Asking(self.hosts[at].socket, stack) for at in everybody}
            for start in range(0, len(plan), IN_FLIGHT):
                batch = [
                    Presented(id, tuple(hosts), message)
                    for id, (message, hosts) in enumerate(plan[start : start + IN_FLIGHT], start=1)
                ]
                for each in batch:
                    each.present(programs)
                for at, program in programs.items():
                    program.hear([each for each in batch if at in each.hosts], at)
                yield from batch
                time.sleep(pause)


class Presented:
    """A message that was presented at some hosts, and what came of it.

    :param id: its number among those on the way.
    :param answers: by host, ``OK``, ``CONT`` for a proof that it is fresh, the code of the refusal,
        or ``gone`` where the host is no more.
    :param since: when it was sent first, by the monotonic clock, s.
    :param apart: between first and last host, s.
    :param took: until the last answer, s.
    """

    def __init__(self, id: int, hosts: Sequence[int], message: bytes) -> None:
        self.id = id
        self.hosts = hosts
        self.message = message
        self.answers: dict[int, str] = {}
        self.since = self.apart = self.took = 0.0

    def present(self, programs: Mapping[int, _Asking]) -> None:
        """Send it to its hosts."""
        self.since = time.monotonic()
        for at in self.hosts:
            programs[at].ask(self)
        self.apart = time.monotonic() - self.since

    def answer(self, at: int, text: str) -> None:
        """Take what a host says."""
        self.answers[at] = text
        self.took = time.monotonic() - self.since


class _Asking:
    """A program that asks a host, which may die meanwhile."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._program = stack.enter_context(Program(path))

    def ask(self, what: Presented) -> None:
        """Present a message."""
        with suppress(ConnectionError):
            self._program.begin(what.id, AES128, what.message, bid="1")

    def hear(self, asked: Sequence[Presented], at: int) -> None:
        """Wait for the answers to what was asked."""
        waiting = {each.id: each for each in asked}
        with suppress(ConnectionError):
            while waiting:
                reply = self._program.reply()
                waiting.pop(reply.id).answer(at, self._outcome(reply))
        for each in waiting.values():
            each.answer(at, GONE)

    def _outcome(self, reply: Reply) -> str:
        if reply.verb == "CONT":
            self._program.send(f"CANCEL\t{reply.id}")
        return reply.parameters["bid_code"] if reply.verb == "FAIL" else reply.verb


@contextmanager
def several_hosts(
    url: str,
    provider_key: PrivateKey,
    *,
    clocks: Sequence[str] = (),
    timeout: int = 10,
    count: int = 3,
    further: str = "",
) -> Iterator[SeveralHosts]:
    """Hosts with their acceptors running, and a store that is as if it had always been there."""
    with ExitStack() as stack:
        folders = [stack.enter_context(folder_for_all()) for _ in range(count)]
        site = SharedSite(url, folders[0] / "site-key")
        site.has_been_there_for_ever()
        hosts = SeveralHosts(
            folders, site, provider_key, clocks=clocks, timeout=timeout, further=further
        )
        hosts.start(stack)
        yield hosts
