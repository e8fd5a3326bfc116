"""Somebody with a mail account, whose agent really runs and whose server is of the tests' own."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browserid_sasl.api import Server
from browserid_sasl.config import load
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service, make_password
from tests.support.agent import Answer, Line, Person
from tests.support.mailbox_server import HOST, MailboxServer, Talk, imap
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import ALICE, DOMAIN, Realm

MOST_GROWTH = 8.0
"""MB: windows, and what an allocator takes at once."""


class MailPerson(Person):
    """Alice.

    :param folder: an empty one, with a short name: sockets are in it.
    :param talk: what her server does with a connection.
    """

    def __init__(
        self,
        folder: Path,
        provider_key: PrivateKey,
        talk: Talk = imap,
        *,
        kind: Kind = Kind.IMAP,
        security: Security = Security.TLS,
    ) -> None:
        self.realm = Realm(folder, provider_key, f'[server]\nallow = ["{DOMAIN}"]')
        ca_file = f'[discovery]\nca_file = "{folder}/ca.pem"'
        super().__init__(folder / "alice", f"{self.realm.config_file.read_text()}\n{ca_file}\n")
        service = Server(load(self.realm.config_file), kind.sasl_service, HOST)
        self.server = MailboxServer(folder, service, talk, implicit=security is Security.TLS)
        self.port = free_port()
        self.password = make_password()
        services = (Service(kind, HOST, self.server.port, security, self.port),)
        self.accounts = Accounts(folder / "client")
        self.accounts.add(Account(ALICE, ALICE, "", services), self.password)

    @contextmanager
    def serving(self, *, signed_in: bool = True) -> Iterator[MailPerson]:
        """Her agent, from when mail programs are greeted until the end of the block."""
        if signed_in:
            self.realm.sign_in()
        with self.agent() as process:
            self.agent_process = process.pid
            wait_until(lambda: listens(self.port), "the listener")
            yield self

    def connect(self) -> imaplib.IMAP4:
        """A mail program that has been greeted."""
        return imaplib.IMAP4("127.0.0.1", self.port, PATIENCE)

    def log_in(self) -> imaplib.IMAP4:
        """A mail program that has logged in."""
        connection = self.connect()
        connection.login(ALICE, self.password)
        return connection

    def state(self) -> dict[str, str]:
        """What `MAIL` says of the service."""
        with Line(self.socket) as line:
            told = line.ask("MAIL\t1")
            assert told.word == "*", told.fields
            assert Answer(line.read()).word == "OK"
        return dict(told.values)

    @contextmanager
    def holding_little(self) -> Iterator[None]:
        """In this block the agent's memory does not grow by more than a few MB."""
        # Has the kernel forget the most there has been (proc(5)).
        Path(f"/proc/{self.agent_process}/clear_refs").write_text("5")
        before = self.most_memory()
        yield
        assert self.most_memory() - before < MOST_GROWTH

    def most_memory(self) -> float:
        """What the agent has had at the most, in MB."""
        status = Path(f"/proc/{self.agent_process}/status").read_text()
        [line] = [each for each in status.splitlines() if each.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
