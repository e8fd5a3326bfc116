"""Hosts of one site: an acceptor on each, one store behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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


class SeveralHosts:
    """Three hosts, or as many as there are folders.

    :param folders: empty ones that everybody can read.
    :param site: whose store they share.
    :param clocks: what is wrong with the clock of each, ``+4m``; empty for nothing.
    :param timeout: s, of their store.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        site: SharedSite,
        provider_key: PrivateKey,
        *,
        clocks: Sequence[str] = (),
        timeout: int = 10,
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
                f'realm = "{site.realm}"\ntimeout = {timeout}\n'
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

        :returns: of each message, what it came to at each host: ``OK``, ``CONT`` for a proof that
            it is fresh, or the code of the refusal.
        """
        with ExitStack() as stack:
            programs = [stack.enter_context(Program(self.hosts[at].socket)) for at in hosts]
            answers: list[list[str]] = []
            for start in range(0, len(messages), IN_FLIGHT):
                batch = messages[start : start + IN_FLIGHT]
                for id, message in enumerate(batch, start=start + 1):
                    for program in programs:
                        program.begin(id, AES128, message, bid="1")
                replies = [_replies(program, len(batch)) for program in programs]
                answers += [[each[id] for each in replies] for id in sorted(replies[0])]
            return answers


def _replies(program: Program, count: int) -> dict[int, str]:
    found: dict[int, str] = {}
    while len(found) < count:
        reply = program.reply()
        failed = reply.verb == "FAIL"
        if reply.verb == "CONT":
            program.send(f"CANCEL\t{reply.id}")
        found[reply.id] = reply.parameters["bid_code"] if failed else reply.verb
    return found


@contextmanager
def several_hosts(
    url: str,
    provider_key: PrivateKey,
    *,
    clocks: Sequence[str] = (),
    timeout: int = 10,
    count: int = 3,
) -> Iterator[SeveralHosts]:
    """Hosts with their acceptors running, and a store that is as if it had always been there."""
    with ExitStack() as stack:
        folders = [stack.enter_context(folder_for_all()) for _ in range(count)]
        site = SharedSite(url, folders[0] / "site-key")
        site.has_been_there_for_ever()
        hosts = SeveralHosts(folders, site, provider_key, clocks=clocks, timeout=timeout)
        hosts.start(stack)
        yield hosts
