"""Mail programs that know passwords only, through the agent, at real servers."""

from __future__ import annotations

import base64
import imaplib
import poplib
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy.accounts import Account, Accounts, Kind, Security, Service, make_password
from tests.plugin.test_adapters import make_tls, with_mailbox
from tests.support.agent import Answer, Line, Person
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import ALICE
from tests.support.services import (
    HOST,
    Imapd,
    Installation,
    Postfix,
    Site,
    Syslog,
    folder_for_all,
)


class Mail(Person):
    """Alice, who has signed in, her agent and her mail account.

    :param site: whose provider and authority (`ca.pem`) her machine knows.
    """

    def __init__(self, site: Site, services: dict[Kind, int]) -> None:
        authority = site.folder / "ca.pem"
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

    def listed(self) -> list[dict[str, str]]:
        """What `MAIL` says of each service."""
        with Line(self.socket) as line:
            answers = [line.ask("MAIL\t1")]
            while answers[-1].word == "*":
                answers.append(Answer(line.read()))
            assert answers[-1].word == "OK", answers[-1].fields
        return [dict(each.values) for each in answers[:-1]]

    def imap(self, password: str | None = None) -> imaplib.IMAP4:
        """A mail program that has logged in."""
        connection = imaplib.IMAP4("127.0.0.1", self.ports[Kind.IMAP], PATIENCE)
        connection.login(ALICE, self.password if password is None else password)
        return connection


@contextmanager
def site_for(installation: Installation, key: PrivateKey, user: str) -> Iterator[Site]:
    with folder_for_all() as folder:
        (folder / user).mkdir()
        with Site(installation, folder / user, user, key).accepting() as site:
            site.realm.sign_in()
            yield site


@pytest.fixture(scope="module")
def imapd(installation: Installation, provider_key: PrivateKey, syslog: Syslog) -> Iterator[Imapd]:
    with site_for(installation, provider_key, "cyrus") as site:
        tls = make_tls(site)
        with Imapd(site, tls=tls.files).running() as imapd:
            with_mailbox(imapd)
            yield imapd


@pytest.fixture(scope="module")
def mail(imapd: Imapd) -> Iterator[Mail]:
    services = {
        Kind.IMAP: imapd.port,
        Kind.POP: imapd.pop3_port,
        Kind.SIEVE: imapd.sieve_port,
    }
    with Mail(imapd.site, services).serving() as mail:
        yield mail


class TestCyrus:
    """One server and one agent for all of them."""

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
        syslog.wait_for(r"alice BROWSERID-AES128-PLUS\+TLS User logged in", mark)

    def test_poplib(self, mail: Mail) -> None:
        connection = poplib.POP3("127.0.0.1", mail.ports[Kind.POP], PATIENCE)
        assert connection.capa()["SASL"] == ["PLAIN"]
        connection.user(ALICE)
        connection.pass_(mail.password)
        assert connection.stat()[0] >= 0
        connection.quit()

    def test_managesieve(self, mail: Mail) -> None:
        message = base64.b64encode(f"\0{ALICE}\0{mail.password}".encode()).decode()
        with socket.create_connection(("127.0.0.1", mail.ports[Kind.SIEVE]), PATIENCE) as client:
            lines = client.makefile("rb")
            capabilities = list(iter(lines.readline, b"OK\r\n"))
            assert b'"SASL" "PLAIN"\r\n' in capabilities
            assert not [each for each in capabilities if b"STARTTLS" in each]
            # Pipelined: what follows the login is the server's.
            client.sendall(f'AUTHENTICATE "PLAIN" "{message}"\r\nLISTSCRIPTS\r\n'.encode())
            assert lines.readline().startswith(b"OK")
            assert lines.readline().startswith(b"OK")

    def test_a_unix_socket_asks_for_no_password(self, mail: Mail) -> None:
        sockets = {each["kind"]: each["socket"] for each in mail.listed()}
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(sockets["imap"])
            lines = client.makefile("rb")
            assert lines.readline().startswith(b"* PREAUTH [CAPABILITY ")
            client.sendall(b"a LOGOUT\r\n")
            assert lines.readline().startswith(b"* BYE")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(sockets["pop"])
            lines = client.makefile("rb")
            client.sendall(b"USER anybody\r\nPASS anything\r\nSTAT\r\n")
            assert [lines.readline()[:3] for _ in range(4)] == [b"+OK"] * 4

    def test_a_tunnel_begins_logged_in(self, mail: Mail, imapd: Imapd) -> None:
        with Line(mail.socket) as line:
            target = f"host={HOST}\tport={imapd.port}\tsecurity=starttls\tname={ALICE}"
            assert line.ask(f"PIPE\t1\timap\t{target}").word == "OK"
            assert line.read().startswith("* PREAUTH [CAPABILITY IMAP4rev1 ")
            line.send("a NOOP\r")
            assert line.read().startswith("a OK ")
            line.send("a LOGOUT\r")
            assert line.read().startswith("* BYE ")

    def test_a_tunnel_to_nowhere_is_refused(self, mail: Mail) -> None:
        with Line(mail.socket) as line:
            for target in ("host=x/y\tport=1\tsecurity=tls", "host=a.test\tport=1\tsecurity=no"):
                assert line.ask(f"PIPE\t1\timap\t{target}").values["code"] == "invalid-parameter"

    def test_trying_an_account(self, mail: Mail) -> None:
        with Line(mail.socket) as line:
            assert line.ask(f"TRY\t1\taccount={ALICE}\tkind=imap").word == "OK"
            said = line.ask(f"TRY\t2\taccount={ALICE}\tkind=submission")
            assert said.values["code"] == "invalid-parameter"
        for each in mail.listed():
            assert each["state"] == "listening"
            assert Path(each["socket"]).is_socket()

    def test_a_wrong_password_is_refused_slowly_and_nothing_else_is_asked(
        self, mail: Mail, syslog: Syslog
    ) -> None:
        mark, began = syslog.mark(), time.monotonic()
        for wrong in ("", "guess", mail.password + "x"):
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                mail.imap(wrong)
        assert time.monotonic() - began > 3
        # The right one does not wait for it, and is still the right one.
        mail.imap().logout()
        assert syslog.text(mark).count("badlogin") == 0

    def test_another_account_of_the_machine_is_not_greeted(self, mail: Mail) -> None:
        caller = (
            "import socket, sys\n"
            "with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60) as caller:\n"
            "    sys.exit(1 if caller.recv(1) else 0)\n"
        )
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for kind in mail.ports:
            done = subprocess.run(
                (*nobody, "/usr/bin/python3", "-c", caller, str(mail.ports[kind])),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 0 or "ConnectionResetError" in done.stderr, done.stderr

    def test_sixty_at_once(self, mail: Mail) -> None:
        """`test_200_at_once` in tests/proxy has as many as there may be, at a server of its own."""
        with ThreadPoolExecutor(60) as pool:
            connections = list(pool.map(lambda _: mail.imap(), range(60)))
            assert {each.noop()[0] for each in connections} == {"OK"}
            list(pool.map(lambda each: each.logout(), connections))

    def test_the_server_goes_and_comes_back(self, mail: Mail, imapd: Imapd) -> None:
        open_one = mail.imap()
        imapd.end_processes()
        with pytest.raises(imaplib.IMAP4.abort):
            for _ in range(100):
                open_one.noop()
        mail.imap().logout()


@pytest.fixture(scope="module")
def postfix(
    installation: Installation, provider_key: PrivateKey, syslog: Syslog
) -> Iterator[Postfix]:
    with site_for(installation, provider_key, "postfix") as site:
        certificate, key = make_tls(site).files
        settings = {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_cert_file": str(certificate),
            "smtpd_tls_key_file": str(key),
        }
        with Postfix(site, Path("/nonexistent"), settings).running() as postfix:
            yield postfix


@pytest.fixture(scope="module")
def submission(postfix: Postfix) -> Iterator[Mail]:
    with Mail(postfix.site, {Kind.SUBMISSION: postfix.port}).serving() as mail:
        yield mail


class TestPostfix:
    def connected(self, submission: Mail) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", submission.ports[Kind.SUBMISSION], timeout=PATIENCE)

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    @pytest.mark.parametrize("initial", [True, False])
    def test_smtplib(self, submission: Mail, mechanism: str, initial: bool) -> None:
        with self.connected(submission) as client:
            client.ehlo("client.example.org")
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
            assert "starttls" not in client.esmtp_features
            assert {"pipelining", "size", "smtputf8"} <= client.esmtp_features.keys()
            assert client.mail(ALICE)[0] == 530
            client.user, client.password = ALICE, submission.password
            authobject = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
            assert client.auth(mechanism, authobject, initial_response_ok=initial)[0] == 235
            assert client.mail(ALICE)[0] == 250
            assert client.rcpt("somebody@elsewhere.test")[0] == 250
            assert client.docmd("AUTH PLAIN")[0] == 503

    def test_a_refusal_is_told_and_the_connection_stays(self, submission: Mail) -> None:
        with self.connected(submission) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
                client.login(ALICE, "guess")
            assert caught.value.smtp_code == 535
            assert client.login(ALICE, submission.password)[0] == 235

    def test_a_program_on_the_unix_socket_need_not_log_in(self, submission: Mail) -> None:
        [listed] = submission.listed()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(listed["socket"])
            lines = client.makefile("rb")
            assert lines.readline().startswith(b"220 ")
            client.sendall(b"HELO me\r\nMAIL FROM:<alice@example.org>\r\n")
            assert lines.readline().startswith(b"250 ")
            assert lines.readline().startswith(b"250 ")
