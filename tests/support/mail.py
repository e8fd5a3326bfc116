"""The mail servers of one domain, whose logins one acceptor decides: Cyrus imapd, Dovecot, Postfix;
and a person whose mail programs reach them through her agent.

Nobody has a password at any of these servers, and nobody logs in without TLS.
"""

from __future__ import annotations

import imaplib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service, make_password
from tests.support import dovecot, submission
from tests.support.agent import Answer, Line, Person
from tests.support.dovecot import Dovecot
from tests.support.granting import GrantingProvider, fake_browser
from tests.support.household import Authority
from tests.support.mail_programs import Loopback
from tests.support.patience import wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import ADMIN, AES128, HOST, Imapd, Installation, Site

BOB: Final = f"bob@{DOMAIN}"

_DOVECOT: Final = """
ssl = required
mail_max_userip_connections = 300
service imap-login {
  service_count = 0
  client_limit = 400
}
service imap {
  process_limit = 400
}
"""
"""Room for two hundred connections of one person."""

Places = Mapping[Kind, tuple[int, Security]]
"""The ports of a server."""


class MailServers:
    """What a domain has: two servers that keep mail, and one that takes it and hands it to Cyrus's.

    :param folder: an empty one that every user can read.
    :param key: of the domain's identity provider.
    """

    def __init__(self, installation: Installation, folder: Path, key: PrivateKey) -> None:
        self.authority = Authority(folder / "authority")
        chain, private = self.authority.certificate(HOST)
        private.chmod(0o644)  # Cyrus's servers read it as their own account.
        self.postfix = submission.Postfix(folder)
        self.site = Site(installation, folder, "cyrus", key)
        self._dovecot_socket = folder / "acceptor-dovecot"
        with self.site.config_file.open("a") as file:
            file.write(self._listeners())
        options = {"allowplaintext": "no", "popminpoll": "0", "maxmessagesize": "400000000"}
        options |= {"imapidlepoll": "1"}
        self.cyrus = Imapd(self.site, tls=(chain, private), options=options)
        self.dovecot = Dovecot(
            self.site,
            tls=(chain, private),
            socket=self._dovecot_socket,
            settings=_DOVECOT,
        )
        self.postfix.configure(self._main(chain, private))

    def _listeners(self) -> str:
        return f"""
            [server]
            allow = {json.dumps([DOMAIN])}
            [listeners."{self._dovecot_socket}"]
            owner = "{dovecot.ACCOUNT}"
            [listeners."{self.postfix.socket}"]
            group = "postfix"
            services = ["smtp"]
            """

    def _main(self, chain: Path, private: Path) -> str:
        return f"""
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {private}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/browserid
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 300
message_size_limit = 400000000
mailbox_size_limit = 0
local_transport = lmtp:unix:{self.cyrus.lmtp}
local_recipient_maps =
smtputf8_enable = yes
mydestination = {DOMAIN}
"""

    @contextmanager
    def running(self) -> Iterator[MailServers]:
        """All of them, with a mailbox for Alice and for Bob, until the end of the block."""
        with self.site.accepting():
            assert self.site.acceptor
            with self.cyrus.running(), self.dovecot.running(), self.postfix.running():
                with self.inbox(ADMIN) as admin:
                    for name in ("alice", "bob"):
                        assert admin.create(f"user/{name}")[0] == "OK"
                        admin.setacl(f"user/{name}", "anyone", "p")
                yield self

    @contextmanager
    def inbox(self, person: str = ALICE) -> Iterator[imaplib.IMAP4]:
        """Somebody's connection to Cyrus imapd, past the proxy."""
        mechanism = self.site.mechanism("imap", person=self.site.realm.person(person))
        with imaplib.IMAP4("127.0.0.1", self.cyrus.port, 60) as connection:
            connection.authenticate(AES128, mechanism.step)
            connection.select("INBOX")
            yield connection

    def deliver(self, subject: str, text: str) -> None:
        """Put a message into Alice's inbox at either server."""
        message = (
            f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: {subject}\r\n"
            f"Message-Id: <{subject}@{DOMAIN}>\r\n\r\n{text}\r\n"
        )
        with self.inbox() as inbox:
            assert inbox.append("INBOX", "", "", message.encode())[0] == "OK"
        folder = self.dovecot.folder / "mail" / ALICE
        for place in (folder, *(folder / name for name in ("cur", "new", "tmp"))):
            place.mkdir(exist_ok=True)
            shutil.chown(place, "mail", "mail")
        (folder / "tmp" / subject).write_bytes(message.replace("\r\n", "\n").encode())
        shutil.chown(folder / "tmp" / subject, "mail", "mail")
        (folder / "tmp" / subject).rename(folder / "new" / subject)

    def wait_for_delivery(self, subject: str, person: str = ALICE) -> bytes:
        """Wait for a message with a subject in somebody's inbox; the message."""
        with self.inbox(person) as inbox:

            def found() -> bytes:
                inbox.noop()
                numbers: bytes = inbox.search(None, "SUBJECT", f'"{subject}"')[1][0]
                return numbers

            wait_until(found, f"the delivery of {subject}")
            [part, *_] = inbox.fetch(found().split()[-1].decode(), "(BODY.PEEK[])")[1]
            assert isinstance(part, tuple)
            text: bytes = part[1]
            return text

    def empty(self) -> None:
        """Remove all messages."""
        for person in (ALICE, BOB):
            with self.inbox(person) as inbox:
                inbox.store("1:*", "+FLAGS", r"\Deleted")
                inbox.expunge()
        for file in (self.dovecot.folder / "mail").rglob("*"):
            if file.parent.name in ("cur", "new"):
                file.unlink()

    @property
    def of_cyrus(self) -> Places:
        """Cyrus's ports, and Postfix's."""
        return {
            Kind.IMAP: (self.cyrus.port, Security.STARTTLS),
            Kind.POP: (self.cyrus.pop3s_port, Security.TLS),
            Kind.SUBMISSION: (self.postfix.port, Security.STARTTLS),
            Kind.SIEVE: (self.cyrus.sieve_port, Security.STARTTLS),
        }

    @property
    def of_dovecot(self) -> Places:
        """Dovecot's ports, and Postfix's."""
        return {
            Kind.IMAP: (self.dovecot.tls_port, Security.TLS),
            Kind.POP: (self.dovecot.pop3_port, Security.STARTTLS),
            Kind.SUBMISSION: (self.postfix.port, Security.STARTTLS),
            Kind.SIEVE: (self.dovecot.sieve_port, Security.STARTTLS),
        }


class Correspondent(Person):
    """Alice: her agent, her mail accounts, and a browser in which she signs in at once.

    :param folder: an empty one with a short name, which has sockets in it.
    :param authority: of the mail servers' certificates.
    """

    def __init__(self, folder: Path, provider: GrantingProvider, authority: Authority) -> None:
        browser, self._notes = fake_browser(folder / "bin", follows=True, ca_file=provider.ca_file)
        super().__init__(
            folder / "home",
            f'[client]\nidentity = "{ALICE}"\nsign_in = "browser"\nbrowser = ["{browser}"]\n'
            f'[store]\ndirectory = "{folder}/keys"\n'
            f'[discovery]\nca_file = "{authority.file}"\n{provider.configuration}',
        )
        self._keys = folder / "keys"
        self.accounts = Accounts(self._keys)

    def add(self, name: str, places: Places, host: str = HOST) -> Loopback:
        """Add a mail account; what its mail programs are told."""
        services = tuple(
            Service(kind, host, port, security, free_port())
            for kind, (port, security) in places.items()
        )
        password = make_password()
        self.accounts.add(Account(name, ALICE, "", services), password)
        return Loopback(name, password, {each.kind: each.local_port for each in services})

    @contextmanager
    def logged_in(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Her session on a desktop: the agent, listening for the programs of all accounts."""
        with self.agent(DISPLAY=":0", **variables) as process:
            ports = [each.local_port for every in self.accounts.read() for each in every.services]
            wait_until(lambda: all(map(listens, ports)), "the listeners")
            yield process

    @property
    def pages(self) -> list[str]:
        """The pages that were opened."""
        return self._notes.read_text().splitlines()

    def expire(self) -> None:
        """Have the certificate expired."""
        identities = store.open_initiator(self._keys / CLIENT_DATABASE).identities
        record = identities.get(ALICE)
        assert record is not None
        identities.put(replace(record, expires=1))

    def forget_tickets(self) -> None:
        """Have the next login be one with a certificate."""
        tickets = store.open_initiator(self._keys / CLIENT_DATABASE).tickets
        for each in tickets.all(0):
            tickets.delete(each.identity, each.audience, each.tid)

    def states(self) -> list[Mapping[str, str]]:
        """What the agent says of each service."""
        with Line(self.socket) as line:
            answers = [line.ask("MAIL\t1")]
            while answers[-1].word == "*":
                answers.append(Answer(line.read()))
            assert answers[-1].word == "OK", answers[-1].fields
        return [each.values for each in answers[:-1]]

    def connections(self) -> int:
        """How many connections of mail programs the agent has."""
        return sum(int(each["connections"]) for each in self.states())


def descriptors(process: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


class Memory:
    """What a process has in memory, from now on.

    :param process: whose first moment this is, for the peak.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        Path(f"/proc/{process}/clear_refs").write_text("5")
        self._before = self._of("VmRSS")

    def _of(self, name: str) -> int:
        status = Path(f"/proc/{self._process}/status").read_text()
        return int(re.findall(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[0])

    @property
    def peak(self) -> int:
        """The most that there was at a time, in KiB."""
        return self._of("VmHWM")

    @property
    def growth(self) -> int:
        """How much more there was at the worst moment than at the first, in KiB."""
        return self.peak - self._before
