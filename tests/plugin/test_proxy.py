"""Mail programs that know passwords only, through the agent, at real servers."""

from __future__ import annotations

import imaplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service, make_password
from tests.plugin.test_adapters import Tls, make_tls, with_mailbox
from tests.support.agent import Line, Person
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import ALICE
from tests.support.services import HOST, Imapd, Site, Syslog


class Mail(Person):
    """Alice, who has signed in, her agent and her mail account.

    :param site: whose provider and authority her machine knows.
    """

    def __init__(self, site: Site, tls: Tls, services: dict[Kind, int]) -> None:
        authority = site.folder / "mail-ca.pem"
        tls.authority.cert_pem.write_to_path(str(authority))
        configuration = site.config_file.read_text()
        super().__init__(
            site.folder / "alice", f'{configuration}\n[discovery]\nca_file = "{authority}"\n'
        )
        self.ports = {kind: free_port() for kind in services}
        self.password = make_password()
        self.account = Account(
            ALICE,
            ALICE,
            "",
            tuple(
                Service(kind, HOST, port, Security.STARTTLS, self.ports[kind])
                for kind, port in services.items()
            ),
        )
        Accounts(site.folder / "client").add(self.account, self.password)

    @contextmanager
    def serving(self) -> Iterator[Mail]:
        with self.agent():
            wait_until(lambda: all(map(listens, self.ports.values())), "the listeners")
            yield self


class TestCyrus:
    @pytest.fixture
    def site(self, new_site: Callable[[str], Site]) -> Site:
        return new_site("cyrus")

    @pytest.fixture
    def tls(self, site: Site) -> Tls:
        return make_tls(site)

    @pytest.fixture
    def imapd(self, site: Site, tls: Tls, syslog: Syslog) -> Iterator[Imapd]:
        with Imapd(site, tls=tls.files).running() as imapd:
            with_mailbox(imapd)
            yield imapd

    @pytest.fixture
    def mail(self, site: Site, tls: Tls, imapd: Imapd) -> Iterator[Mail]:
        site.realm.sign_in()
        with Mail(site, tls, {Kind.IMAP: imapd.port}).serving() as mail:
            yield mail

    def test_imaplib_logs_in_with_a_password_and_the_server_sees_a_bound_identity(
        self, mail: Mail, syslog: Syslog
    ) -> None:
        mark = syslog.mark()
        with imaplib.IMAP4("127.0.0.1", mail.ports[Kind.IMAP], PATIENCE) as connection:
            assert "AUTH=PLAIN" in connection.capabilities
            assert not [each for each in connection.capabilities if "BROWSERID" in each]
            assert connection.login(ALICE, mail.password)[0] == "OK"
            assert connection.append("INBOX", "", "", b"Subject: hello\r\n\r\nworld\r\n")[0] == "OK"
            connection.select("INBOX")
            [part, *_] = connection.fetch("1", "(BODY[TEXT])")[1]
            assert isinstance(part, tuple)
            assert b"world" in part[1]
        syslog.wait_for(r"alice BROWSERID-AES128(-PLUS)?\+TLS User logged in", mark)

    def test_a_tunnel_begins_logged_in(self, mail: Mail, imapd: Imapd) -> None:
        with Line(mail.socket) as line:
            target = f"host={HOST}\tport={imapd.port}\tsecurity=starttls\tname={ALICE}"
            assert line.ask(f"PIPE\t1\timap\t{target}").word == "OK"
            assert line.read().startswith("* PREAUTH [CAPABILITY IMAP4rev1 ")
            line.send("a NOOP\r")
            assert line.read().startswith("a OK ")
            line.send("a LOGOUT\r")
            assert line.read().startswith("* BYE ")

    def test_trying_an_account(self, mail: Mail) -> None:
        with Line(mail.socket) as line:
            assert line.ask(f"TRY\t1\taccount={ALICE}\tkind=imap").word == "OK"
            listed = line.ask("MAIL\t2")
            assert (listed.word, listed.values["state"]) == ("*", "listening")
            assert Path(listed.values["socket"]).is_socket()
