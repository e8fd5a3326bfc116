"""What happens to people's machines and to servers, and their mail programs notice nothing of it,
or are told in a sentence.
"""

from __future__ import annotations

import base64
import imaplib
import os
import poplib
import re
import signal
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.mail.conftest import Desk, correspondent
from tests.support.granting import GrantingProvider
from tests.support.household import Surroundings
from tests.support.mail import Correspondent, MailServers, Memory, descriptors
from tests.support.mail_programs import LOOPBACK, Home, Loopback, mbsync
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import ALICE

UNAVAILABLE = r"\[UNAVAILABLE\]"


@contextmanager
def open_inbox(told: Loopback) -> Iterator[imaplib.IMAP4]:
    """A mail program that has logged in and selected the inbox, and may be cut off."""
    connection = imaplib.IMAP4(LOOPBACK, told.imap, PATIENCE)
    try:
        connection.login(told.user, told.password)
        assert connection.select("INBOX")[0] == "OK"
        yield connection
    finally:
        connection.shutdown()


def is_alive(connection: imaplib.IMAP4) -> bool:
    try:
        return connection.noop()[0] == "OK"
    except (imaplib.IMAP4.abort, OSError):
        return False


@contextmanager
def own_desk(
    provider: GrantingProvider, servers: MailServers, surroundings: Surroundings | None = None
) -> Iterator[tuple[Correspondent, Loopback, int]]:
    """Somebody whose agent is the test's alone; her account at Cyrus imapd."""
    variables = surroundings.variables if surroundings else {}
    with correspondent(provider, servers) as alice:
        told = alice.add(ALICE, servers.of_cyrus)
        with alice.logged_in(**variables) as process:
            yield alice, told, process.pid


@pytest.fixture
def own(
    provider: GrantingProvider, servers: MailServers
) -> Iterator[tuple[Correspondent, Loopback, int]]:
    with own_desk(provider, servers) as own:
        yield own


class TestManyAndMuch:
    def test_200_connections_at_once_leave_nothing_behind(self, desk: Desk) -> None:
        with open_inbox(desk.dovecot):
            pass
        wait_until(lambda: desk.alice.connections() == 0, "the end of the connections before")
        before = descriptors(desk.agent)
        memory = Memory(desk.agent)
        with ThreadPoolExecutor(20) as pool, ExitStack() as stack:
            inboxes = [open_inbox(desk.dovecot) for _ in range(200)]
            opened = list(pool.map(stack.enter_context, inboxes))
            assert desk.alice.connections() == 200
            assert all(pool.map(is_alive, opened))
        wait_until(lambda: desk.alice.connections() == 0, "the end of all connections")
        assert descriptors(desk.agent) <= before + 4
        assert memory.growth < 60 * 1024

    def test_a_large_message_each_way_is_never_held(self, servers: MailServers, desk: Desk) -> None:
        with open_inbox(desk.cyrus):
            pass
        memory = Memory(desk.agent)
        send_and_fetch(servers, desk, 24)
        assert memory.growth < 8 * 1024


def send_and_fetch(servers: MailServers, desk: Desk, size: int) -> None:
    """Send a message to oneself, and fetch it.

    :param size: MiB.
    """
    subject = f"{size} MiB"
    line = b"0123456789abcde" * 5 + b"\r\n"
    body = line * (size * 1024 * 1024 // len(line))
    with smtplib.SMTP(LOOPBACK, desk.cyrus.submission, timeout=600) as connection:
        connection.login(desk.cyrus.user, desk.cyrus.password)
        connection.sendmail(ALICE, [ALICE], f"Subject: {subject}\r\n\r\n".encode() + body)
    servers.wait_for_delivery(subject)
    with open_inbox(desk.cyrus) as inbox:
        inbox.sock.settimeout(600)
        number = inbox.search(None, "SUBJECT", f'"{subject}"')[1][0].split()[-1].decode()
        [part, *_] = inbox.fetch(number, "(BODY.PEEK[TEXT])")[1]
        assert isinstance(part, tuple)
        assert part[1].rstrip() == body.rstrip()
        inbox.store(number, "+FLAGS", r"\Deleted")
        inbox.expunge()


class TestTime:
    @pytest.fixture
    def surroundings(self, tmp_path: Path) -> Surroundings:
        return Surroundings(tmp_path)

    def test_an_idle_of_an_hour_still_brings_news(
        self, provider: GrantingProvider, servers: MailServers, surroundings: Surroundings
    ) -> None:
        with own_desk(provider, servers, surroundings) as (alice, told, _):
            with open_inbox(told) as inbox:
                inbox.send(b"i IDLE\r\n")
                assert inbox.readline().startswith(b"+")
                surroundings.move_clock(3600)
                assert alice.connections() == 1  # the agent has looked at the clock
                time.sleep(1)
                servers.deliver("news", "while she idles")
                assert re.search(rb"EXISTS", wait_for_line(inbox, b"EXISTS"))
                inbox.send(b"DONE\r\n")
                assert wait_for_line(inbox, b"i ").startswith(b"i OK")

    def test_a_laptop_sleeps_and_all_its_connections_are_dead(
        self, provider: GrantingProvider, servers: MailServers, surroundings: Surroundings
    ) -> None:
        provider.life = 20 * 3_600_000
        with own_desk(provider, servers, surroundings) as (alice, told, agent):
            with open_inbox(told) as one, open_inbox(told) as other:
                before = descriptors(agent)
                os.kill(agent, signal.SIGSTOP)
                surroundings.move_clock(12 * 3600)
                kill_connections(servers.cyrus.port)
                os.kill(agent, signal.SIGCONT)
                assert not is_alive(one)
                assert not is_alive(other)
                wait_until(lambda: alice.connections() == 0, "the end of what is dead")
                alice.expire()
                # The certificate has expired meanwhile, and is renewed in silence.
                with open_inbox(told) as again:
                    assert is_alive(again)
                assert descriptors(agent) <= before
            assert len(alice.pages) == 1


def wait_for_line(inbox: imaplib.IMAP4, text: bytes) -> bytes:
    while text not in (line := inbox.readline()):
        assert line, "the connection has ended"
    return line


def kill_connections(port: int) -> None:
    """Have the kernel drop all connections to a server."""
    subprocess.run(("ss", "-K", "dport", "=", str(port)), capture_output=True, check=True)


class TestServers:
    def test_one_that_is_restarted_ends_its_connections_and_takes_new_ones(
        self, servers: MailServers, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        alice, told, _ = own
        with open_inbox(told) as inbox:
            servers.cyrus.end_processes()
            assert not is_alive(inbox)
        wait_until(lambda: alice.connections() == 0, "the end of the connection")
        with open_inbox(told) as again:
            assert is_alive(again)

    def test_the_acceptor_is_restarted(
        self, servers: MailServers, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        _, told, _ = own
        with open_inbox(told) as inbox:
            servers.site.kill_acceptor()
            with pytest.raises(imaplib.IMAP4.error, match=UNAVAILABLE), open_inbox(told):
                pass
            assert is_alive(inbox)
            servers.site.start_acceptor()
            with open_inbox(told) as again:
                assert is_alive(again)

    def test_a_network_that_is_gone_for_a_while(
        self, provider: GrantingProvider, servers: MailServers, tmp_path: Path
    ) -> None:
        """The server's name leads nowhere, as on a train; then it leads there again."""
        surroundings = Surroundings(tmp_path)
        hosts = tmp_path / "hosts"
        there = hosts.read_text()
        with own_desk(provider, servers, surroundings) as (_, told, _):
            with open_inbox(told):
                pass
            move(hosts, "127.0.0.99 localhost\n")
            with pytest.raises(imaplib.IMAP4.error, match=UNAVAILABLE), open_inbox(told):
                pass
            move(hosts, there)
            with open_inbox(told) as again:
                assert is_alive(again)


def move(hosts: Path, text: str) -> None:
    """Replace the table of names, at a time of its own."""
    new = hosts.with_suffix(".new")
    new.write_text(text)
    at = hosts.stat().st_mtime + 2
    os.utime(new, (at, at))
    os.replace(new, hosts)


class TestSigningIn:
    def test_five_programs_start_and_one_page_opens(
        self, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        alice, told, _ = own
        assert alice.pages == []
        log_in_five_times(told)
        assert len(alice.pages) == 1

    def test_an_expired_certificate_is_renewed_in_silence(
        self, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        alice, told, _ = own
        log_in_five_times(told)
        alice.expire()
        alice.forget_tickets()
        log_in_five_times(told)
        assert len(alice.pages) == 1

    def test_when_the_renewal_has_expired_too_one_page_opens_for_all(
        self, provider: GrantingProvider, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        alice, told, _ = own
        log_in_five_times(told)
        provider.renewals.clear()
        provider.refusal = "renewal-expired"
        alice.expire()
        alice.forget_tickets()
        log_in_five_times(told)
        assert len(alice.pages) == 2

    def test_a_provider_that_is_down_is_not_missed_while_a_ticket_is_good(
        self, provider: GrantingProvider, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        alice, told, _ = own
        with open_inbox(told):
            pass
        alice.expire()
        provider.down = True
        with open_inbox(told) as inbox:
            assert is_alive(inbox)

    def test_without_one_it_is_no_wrong_password(
        self, provider: GrantingProvider, own: tuple[Correspondent, Loopback, int]
    ) -> None:
        """Mail programs forget a password that they are told is wrong, and ask for another."""
        alice, told, _ = own
        with open_inbox(told):
            pass
        alice.expire()
        alice.forget_tickets()
        provider.down = True
        with pytest.raises(imaplib.IMAP4.error, match=UNAVAILABLE), open_inbox(told):
            pass
        provider.down = False
        with open_inbox(told) as inbox:
            assert is_alive(inbox)
        assert len(alice.pages) == 1


def log_in_five_times(told: Loopback) -> None:
    """Have five connections of a program that starts, at once."""
    with ThreadPoolExecutor(5) as pool, ExitStack() as stack:
        inboxes = [open_inbox(told) for _ in range(5)]
        assert all(map(is_alive, pool.map(stack.enter_context, inboxes)))


class TestLoggingInAgain:
    """The connection is a pipe by then: the server is who refuses it, by its state."""

    @pytest.mark.parametrize("words", ["LOGIN {user} {password}", "AUTHENTICATE PLAIN"])
    def test_imap(self, told: Loopback, words: str) -> None:
        with open_inbox(told) as inbox:
            said = words.format(user=told.user, password=told.password)
            inbox.send(f"again {said}\r\n".encode())
            assert re.match(rb"again (BAD|NO) ", wait_for_line(inbox, b"again "))
            assert is_alive(inbox)

    def test_pop(self, told: Loopback) -> None:
        connection = poplib.POP3(LOOPBACK, told.pop, PATIENCE)
        connection.user(told.user)
        connection.pass_(told.password)
        with pytest.raises(poplib.error_proto):
            connection.user(told.user)
        with pytest.raises(poplib.error_proto):
            connection.pass_(told.password)
        assert connection.stat()[0] >= 1
        connection.quit()

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    def test_submission(self, desk: Desk, mechanism: str) -> None:
        with smtplib.SMTP(LOOPBACK, desk.cyrus.submission, timeout=PATIENCE) as connection:
            connection.login(desk.cyrus.user, desk.cyrus.password)
            assert connection.docmd("AUTH", mechanism)[0] == 503  # RFC 4954 section 4
            assert connection.noop()[0] == 250

    def test_sieve(self, told: Loopback) -> None:
        with socket.create_connection((LOOPBACK, told.sieve), PATIENCE) as connection:
            lines = connection.makefile("rb")
            list(iter(lambda: lines.readline()[:2], b"OK"))
            plain = base64.b64encode(f"\0{told.user}\0{told.password}".encode()).decode()
            login = f'AUTHENTICATE "PLAIN" "{plain}"\r\n'.encode()
            connection.sendall(login)
            assert lines.readline().startswith(b"OK")
            connection.sendall(login)
            assert lines.readline().startswith(b"NO")


class TestWhoIsKeptOut:
    def test_a_wrong_password_is_told_and_destroys_nothing(self, desk: Desk, home: Home) -> None:
        wrong = Loopback(desk.cyrus.user, "not-it", desk.cyrus.ports)
        done = mbsync(home, wrong)
        assert done.status != 0
        assert "AUTHENTICATIONFAILED" in done.said
        assert "browserid mail password" in done.said
        assert done.fetched == ""
        assert "the body of hello" in mbsync(home, desk.cyrus).fetched

    @pytest.mark.parametrize("kind", ["imap", "pop", "submission", "sieve"])
    def test_another_account_of_the_machine_is_not_even_greeted(
        self, desk: Desk, kind: str
    ) -> None:
        program = (
            "import socket, sys\n"
            f"with socket.create_connection(('{LOOPBACK}', {desk.cyrus.ports[kind]}), 30) as it:\n"
            "    try:\n        print(it.recv(100))\n"
            "    except ConnectionResetError:\n        print(b'')\n"
        )
        command = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
        done = subprocess.run(
            (*command, "/usr/bin/python3", "-c", program),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout == "b''\n"

    def test_nor_does_it_reach_the_sockets(self, desk: Desk) -> None:
        sockets = [each["socket"] for each in desk.alice.states()]
        assert len(sockets) == 8
        for each in sockets:
            assert Path(each).stat().st_mode & 0o777 == 0o600
            assert Path(each).parent.stat().st_mode & 0o777 == 0o700
