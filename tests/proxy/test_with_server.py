"""The agent's process between a mail program and a server: what goes through, what goes wrong."""

from __future__ import annotations

import imaplib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench import mail_proxy
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.end import WINDOW, keep_alive
from tests.support.agent import Line
from tests.support.mail_person import MailPerson
from tests.support.mailbox_server import HOST, MailboxServer, Talk, Talking, imap
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import ALICE

MB = 1_000_000


@contextmanager
def alice(
    key: PrivateKey,
    talk: Talk = imap,
    *,
    kind: Kind = Kind.IMAP,
    security: Security = Security.TLS,
) -> Iterator[MailPerson]:
    """Alice with her agent; her server is started by the test."""
    with TemporaryDirectory(prefix="mail-") as folder:
        with MailPerson(Path(folder), key, talk, kind=kind, security=security).serving() as person:
            yield person


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    """The provider's."""
    return PrivateKey.generate("ES256")


@pytest.fixture(scope="module")
def person(key: PrivateKey) -> Iterator[MailPerson]:
    """One agent for most of the tests."""
    with alice(key) as person:
        yield person


@pytest.fixture
def server(person: MailPerson) -> Iterator[MailboxServer]:
    """Her server, for one test."""
    person.server.commands.clear()
    person.server.given = 0
    person.server.talk = imap
    with person.server.running() as server:
        yield server


def raw(person: MailPerson, text: str) -> Iterator[bytes]:
    """What a program that says all this at once is told, line by line, until it is cut off."""
    with socket.create_connection(("127.0.0.1", person.port), PATIENCE) as client:
        client.sendall(text.replace("\n", "\r\n").encode())
        yield from client.makefile("rb")


def fetched(connection: imaplib.IMAP4, count: int) -> int:
    """Octets that come for a request of so many, held nowhere."""
    connection.send(f"f FETCH {count}\r\n".encode())
    assert b"FETCH" in connection.readline()
    taken = 0
    while taken < count:
        taken += len(connection.read(min(count - taken, MB)))
    connection.readline()
    assert b"OK" in connection.readline()
    return taken


class TestThrough:
    def test_a_login_is_an_identity_there_and_a_password_here(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        with person.log_in() as connection:
            assert connection.noop()[0] == "OK"
        assert server.commands == ["CAPABILITY", "AUTHENTICATE", "NOOP", "LOGOUT"]

    def test_commands_that_come_with_the_login_keep_their_order(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        login = f"b LOGIN {ALICE} {person.password}"
        lines = list(raw(person, f"a CAPABILITY\n{login}\nc NOOP\nd FETCH 3\ne LOGOUT\n"))
        tags = [each.split()[0] for each in lines if each[:1] in b"abcde"]
        assert tags == [b"a", b"b", b"c", b"d", b"e"]
        assert lines[3].startswith(b"b OK [CAPABILITY IMAP4rev1 IDLE MOVE]")

    def test_a_large_message_each_way_within_little_memory(self, key: PrivateKey) -> None:
        size = 200 * MB
        with alice(key) as person, person.server.running(), person.log_in() as connection:
            assert fetched(connection, size) == size
            connection.send(b"a APPEND INBOX {%d}\r\n" % size)
            assert connection.readline().startswith(b"+")
            block = bytes(MB)
            for _ in range(200):
                connection.send(block)
            connection.send(b"\r\n")
            assert connection.readline().startswith(b"a OK")
            assert person.most_memory() < 60

    def test_who_does_not_read_holds_up_the_server_and_nobody_else(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        slow = person.log_in()
        given = -1

        def stands_still() -> bool:
            nonlocal given
            time.sleep(0.5)
            last, given = given, server.given
            return last == given > 0

        with person.holding_little():
            slow.send(b"f FETCH 500000000\r\n")
            wait_until(stands_still, "the server has to wait")
            assert server.given < 50 * MB
            with person.log_in() as other:
                assert other.noop()[0] == "OK"
        slow.shutdown()

    def test_200_at_once(self, person: MailPerson, server: MailboxServer) -> None:
        with ThreadPoolExecutor(50) as pool:
            greeted = list(pool.map(lambda _: person.connect(), range(200)))
            for_login = pool.map(lambda each: each.login(ALICE, person.password)[0], greeted)
            assert list(for_login) == ["OK"] * 200
            assert int(person.state()["connections"]) == 200
            assert list(pool.map(lambda each: each.noop()[0], greeted)) == ["OK"] * 200
            list(pool.map(lambda each: each.logout(), greeted))
        wait_until(lambda: person.state()["connections"] == "0", "the end of all connections")

    def test_200_that_say_nothing_cost_little(self, key: PrivateKey) -> None:
        """Less than the window of each, which they have in common."""
        with alice(key) as person, person.server.running():
            person.log_in().logout()
            before = person.most_memory()
            with mail_proxy.idle(person, 200):
                assert person.most_memory() - before < 200 * WINDOW / MB

    def test_what_a_server_says_last_reaches_who_is_slow_to_read(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        login = f"a LOGIN {ALICE} {person.password}\r\n"
        with socket.create_connection(("127.0.0.1", person.port), PATIENCE) as client:
            client.sendall(f"{login}b FETCH 20000000\r\nc LOGOUT\r\n".encode())
            wait_until(lambda: server.given > MB, "the message")
            everything = client.makefile("rb").read()
        _, _, message = everything.partition(b"{20000000}\r\n")
        assert message[:20_000_000] == bytes(20_000_000)
        assert message[20_000_000:].endswith(b"c OK done\r\n")

    def test_who_says_no_more_is_still_answered(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        login = f"a LOGIN {ALICE} {person.password}\r\nb FETCH 5\r\nc LOGOUT\r\n"
        with socket.create_connection(("127.0.0.1", person.port), PATIENCE) as client:
            client.sendall(login.encode())
            client.shutdown(socket.SHUT_WR)
            lines = list(client.makefile("rb"))
        assert [each[:4] for each in lines[1:2] + lines[-3:]] == [
            *(b"a OK", b"b OK", b"* BY", b"c OK")
        ]

    def test_who_goes_without_a_word_is_gone_at_the_server_too(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        connection = person.log_in()
        connection.sock.close()
        connection.file.close()
        wait_until(lambda: person.state()["connections"] == "0", "the end of the connection")


class TestGaps:
    def test_a_server_that_is_away_is_told_at_the_login_and_found_when_it_is_back(
        self, person: MailPerson
    ) -> None:
        connection = person.connect()
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            connection.login(ALICE, person.password)
        assert "no connection to localhost" in person.state()["last_error"]
        with person.server.running():
            assert connection.login(ALICE, person.password)[0] == "OK"
        assert "last_error" not in person.state()

    def test_a_server_that_went_between_greeting_and_login(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        connection = person.connect()
        server.cut()
        assert connection.login(ALICE, person.password)[0] == "OK"

    def test_all_connections_die_and_the_next_login_works(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        several = [person.log_in() for _ in range(5)]
        server.cut()
        for each in several:
            with pytest.raises((imaplib.IMAP4.abort, OSError)):
                each.noop()
                each.noop()
        person.log_in().logout()

    def test_both_connections_are_watched_by_the_kernel(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as connection:
                keep_alive(connection)
                read = connection.getsockopt
                assert read(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                idle = read(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                interval = read(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
                assert idle + interval * read(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) <= 240
                assert read(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_who_has_to_sign_in_is_told_what_to_do(key: PrivateKey) -> None:
    with TemporaryDirectory(prefix="mail-") as folder:
        person = MailPerson(Path(folder), key)
        with person.serving(signed_in=False), person.server.running() as server:
            connection = person.connect()
            command = f"AUTHENTICATIONFAILED.*browserid login {ALICE}"
            with pytest.raises(imaplib.IMAP4.error, match=command):
                connection.login(ALICE, person.password)
            assert "AUTHENTICATE" not in server.commands
            # And then it is done, without another connection.
            person.realm.sign_in()
            assert connection.login(ALICE, person.password)[0] == "OK"


class TestAccounts:
    def test_removed_means_gone_and_added_means_there(self, key: PrivateKey) -> None:
        with alice(key) as person, person.server.running():
            open_one = person.log_in()
            account = person.accounts.remove(ALICE)
            with pytest.raises(AssertionError):
                person.state()
            with pytest.raises(OSError):
                person.connect()
            with pytest.raises((imaplib.IMAP4.abort, OSError)):
                open_one.noop()
                open_one.noop()
            person.accounts.add(account, "another password")
            assert person.state()["state"] == "listening"
            connection = person.connect()
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                connection.login(ALICE, person.password)
            assert connection.login(ALICE, "another password")[0] == "OK"

    def test_a_port_that_another_program_has(self, key: PrivateKey) -> None:
        with TemporaryDirectory(prefix="mail-") as folder:
            person = MailPerson(Path(folder), key)
            with socket.create_server(("127.0.0.1", person.port)) as taken:
                with person.agent():
                    told = person.state()
                    assert told["state"] == "failed"
                    assert str(person.port) in told["reason"]
                    assert "socket" not in told
                    taken.close()
                    assert person.state()["state"] == "listening"

    def test_a_damaged_file_closes_nothing(self, person: MailPerson, server: MailboxServer) -> None:
        good = person.accounts.path.read_bytes()
        person.accounts.path.write_bytes(b"{")
        try:
            with pytest.raises(AssertionError, match="cannot be used"):
                person.state()
            connection = person.connect()
        finally:
            person.accounts.path.write_bytes(good)
        assert connection.login(ALICE, person.password)[0] == "OK"

    def test_the_socket_is_its_owners_alone(self, person: MailPerson) -> None:
        path = Path(person.state()["socket"])
        assert path == person.socket.parent / "mail" / f"{ALICE}.imap"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def old(talking: Talking) -> None:
    """A server that knows passwords, and no mechanism of ours."""
    talking.say("* OK ready")
    while True:
        tag, command, *_ = talking.line().split(" ")
        talking.server.commands.append(command)
        if command == "CAPABILITY":
            talking.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN", f"{tag} OK done")
        else:
            talking.say(f"{tag} OK welcome")


def endless(talking: Talking) -> None:
    talking.say("* OK ready")
    talking.give(10**12)


def injected(talking: Talking) -> None:
    """In the clear; somebody between adds a line to the answer."""
    talking.say("* OK ready")
    tag, *_ = talking.line().split(" ")
    talking.say(f"{tag} OK begin", "* CAPABILITY IMAP4rev1 AUTH=PLAIN")
    talking.line()


class TestHostileServers:
    @pytest.mark.parametrize(
        ("talk", "security", "reason"),
        [
            (old, Security.TLS, r"AUTHENTICATIONFAILED.*no mechanism of this family"),
            (endless, Security.TLS, "a line may have"),
            (injected, Security.STARTTLS, "somebody may have put it there"),
        ],
    )
    def test_the_program_is_told_and_nothing_is_sent_there(
        self, key: PrivateKey, talk: Talk, security: Security, reason: str
    ) -> None:
        with alice(key, talk, security=security) as person, person.server.running() as server:
            with person.holding_little():
                connection = person.connect()
                with pytest.raises(imaplib.IMAP4.error, match=reason):
                    connection.login(ALICE, person.password)
            assert not {"LOGIN", "AUTHENTICATE"} & set(server.commands)

    def test_a_server_that_offers_it_no_longer_is_sent_nothing(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        """Neither a login of hers with the ticket of before, nor the program's."""
        with person.log_in() as before:
            assert before.noop()[0] == "OK"
            server.talk = old
            server.commands.clear()
            connection = person.connect()
            with pytest.raises(imaplib.IMAP4.error, match="no mechanism of this family"):
                connection.login(ALICE, person.password)
            assert set(server.commands) == {"CAPABILITY"}
            assert "no mechanism of this family" in person.state()["last_error"]
            assert before.noop()[0] == "OK"
        server.talk = imap
        with person.log_in() as after:
            assert after.noop()[0] == "OK"

    def test_a_certificate_that_nobody_vouches_for(self, key: PrivateKey) -> None:
        with alice(key) as person:
            # Another authority's: hers knows nothing of it.
            with TemporaryDirectory() as folder:
                other = MailboxServer(Path(folder), person.server.service)
            other.port = person.server.port
            with other.running():
                connection = person.connect()
                with pytest.raises(imaplib.IMAP4.error, match="certificate of localhost"):
                    connection.login(ALICE, person.password)
            assert other.commands == []


class TestHostileClients:
    def connected(self, person: MailPerson, timeout: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", person.port), timeout)

    def test_one_that_never_logs_in_may_not_take_all_places(
        self, person: MailPerson, server: MailboxServer
    ) -> None:
        others = [self.connected(person, PATIENCE) for _ in range(210)]
        try:
            assert [each.recv(5) for each in others[-2:]] == [b"* BYE"] * 2
            assert others[0].recv(5) == b"* OK "
            # Another service's place is its own.
            with Line(person.socket) as line:
                target = f"host={HOST}\tport={server.port}\tsecurity=tls\tname={ALICE}"
                assert line.ask(f"PIPE\t1\timap\t{target}").word == "OK"
                assert line.read().startswith("* PREAUTH ")
        finally:
            for each in others:
                each.close()
        wait_until(lambda: person.state()["connections"] == "0", "the end of all connections")
        person.log_in().logout()

    def test_one_that_sends_without_an_end(self, person: MailPerson, server: MailboxServer) -> None:
        with person.holding_little(), self.connected(person, PATIENCE) as client:
            with pytest.raises(OSError):
                while True:
                    client.sendall(bytes(MB))

    def test_one_that_reads_nothing(self, person: MailPerson, server: MailboxServer) -> None:
        with person.holding_little(), self.connected(person, 2) as client:
            with pytest.raises(TimeoutError):
                while True:
                    client.sendall(b"a CAPABILITY\r\n" * 1000)


def test_the_agent_of_a_person_with_mail_does_not_end(key: PrivateKey) -> None:
    with TemporaryDirectory(prefix="mail-") as folder:
        person = MailPerson(Path(folder), key)
        with person.agent("--idle", "1") as process:
            wait_until(lambda: person.state()["state"] == "listening", "the listener")
            time.sleep(2)
            assert process.poll() is None
            person.accounts.remove(ALICE)
            with pytest.raises(AssertionError):
                person.state()
            assert process.wait(PATIENCE) == 0
            assert not os.listdir(person.socket.parent / "mail")


def test_the_measurements_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they come to is for `make bench`: here nobody has the machine to themselves."""
    small = {"SIZE": 10 * MB, "FETCHES": 1, "LOGINS": 1, "NOOPS": 5, "IDLE": 5}
    for name, value in small.items():
        monkeypatch.setattr(mail_proxy, name, value)
    idle, fetch, login, noop, memory = mail_proxy.run()
    assert [float(each.split()[-1]) > 0 for each in (login, noop)] == [True, True]
    assert "target" in fetch
    assert [each.endswith(": met") for each in (idle, memory)] == [True, True]
