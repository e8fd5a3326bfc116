"""Dovecot's imapd and submission service, unmodified, with the module in its auth process.

What holds for Dovecot 2.3 and 2.4 alike.
"""

from __future__ import annotations

import base64
import imaplib
import os
import re
import shutil
import signal
import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme

from browserid_sasl.api import Client
from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.sasl.client import ClientMechanism
from tests.support import dovecot, submission
from tests.support.dovecot import Dovecot
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import ALICE, DOMAIN, ROOT, Person
from tests.support.services import AES128, HOST, Site, run

UNREACHABLE = "unreachable.test"
"""A domain that may log in, and whose identity provider is not known."""

UNAVAILABLE = r"\[UNAVAILABLE\]"


@pytest.fixture
def site(new_site: Callable[[str], Site]) -> Site:
    """A site whose acceptor answers Dovecot's auth process."""
    site = new_site(dovecot.ACCOUNT)
    dovecot.allow(site, UNREACHABLE)
    return site


@pytest.fixture
def server(site: Site) -> Iterator[Dovecot]:
    with Dovecot(site).running() as server:
        yield server


@pytest.fixture
def hasty(site: Site) -> Iterator[Dovecot]:
    """A server whose module waits for less than is usual: for a greeting, and for an answer."""
    modules = build_module(site, "HANDSHAKE_MS=3000", "ANSWER_MS=3000")
    with Dovecot(site, modules=modules).running() as server:
        yield server


@pytest.fixture
def hasty_at_first(site: Site) -> Iterator[Dovecot]:
    """A server whose module waits for less than is usual for a greeting only."""
    # A good one comes later, too, where everything else runs at the same time.
    modules = build_module(site, "HANDSHAKE_MS=3000")
    with Dovecot(site, modules=modules).running() as server:
        yield server


def build_module(site: Site, *limits: str) -> Path:
    """Build a module that is not the installed one; its folder."""
    folder = site.folder / "modules"
    python = site.installation.environment / "bin" / "python3"
    settings = (f"BUILD={folder}", f"PYTHON={python}", *limits, "WERROR=-Werror")
    done = run(("make", "-C", ROOT / "plugin", "dovecot", *settings))
    assert done.returncode == 0, done.stdout
    return folder


def log_in(server: Dovecot, mechanism: ClientMechanism | None = None) -> str:
    """Log in to imapd and look into the inbox; who the server says that it is."""
    mechanism = mechanism or server.site.mechanism("imap")
    with server.imap() as connection:
        connection.authenticate(mechanism.name, lambda data: mechanism.step(data or None))
        assert connection.select()[0] == "OK"
        return mechanism.name


def begin(connection: imaplib.IMAP4, message: bytes) -> None:
    """Send a command with an initial response."""
    first = base64.b64encode(message)
    connection.send(b"a AUTHENTICATE %s %s\r\n" % (AES128.encode(), first))


def send(server: Dovecot, *answers: bytes) -> list[str]:
    """Authenticate by giving answers one after another; the lines that came in return."""
    with server.imap() as connection:
        connection.send(f"a AUTHENTICATE {AES128}\r\n".encode())
        said = [dovecot.answer_of(connection)]
        for answer in answers:
            connection.send(base64.b64encode(answer) + b"\r\n")
            said.append(dovecot.answer_of(connection))
            if not said[-1].startswith("+"):
                break
        return said


def test_a_first_sign_in_and_then_a_ticket(server: Dovecot) -> None:
    mark = server.mark()
    client = server.site.client("imap")
    for by_ticket in (False, True, True):
        mechanism = client.start_with(AES128)
        log_in(server, mechanism)
        assert mechanism.result.ticket_used is by_ticket
    server.wait_for(rf"imap-login: Info: (Login|Logged in): user=<{ALICE}>, method={AES128}", mark)


def test_a_client_that_sends_nothing_at_once(server: Dovecot) -> None:
    """Which is all that `AUTHENTICATE` without an initial response can do."""
    mechanism = server.site.mechanism("imap")
    asked, answered, ended = send(server, mechanism.step(None), b"")
    assert asked == "+ \r\n"
    assert mechanism.step(base64.b64decode(answered.removeprefix("+ "))) == b""
    assert ended.startswith("a OK")


def test_an_initial_response(server: Dovecot) -> None:
    mechanism = server.site.mechanism("imap")
    with server.imap() as connection:
        assert "SASL-IR" in connection.capabilities
        begin(connection, mechanism.step(None))
        challenge = dovecot.answer_of(connection).removeprefix("+ ")
        assert mechanism.step(base64.b64decode(challenge)) == b""
        connection.send(b"\r\n")
        assert dovecot.answer_of(connection).startswith("a OK")


def test_an_extra_round_trip(server: Dovecot) -> None:
    config = server.site.config.with_options({"extra_round_trip": "yes"}, section="client")
    client = Client(config, "imap", HOST, credentials=server.site.realm.person())
    for _ in range(12):
        log_in(server, client.start_with(AES128))


def test_20_logins_while_another_waits_for_its_identity_provider(
    site: Site, server: Dovecot
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with site.config_file.open("a") as config:
            config.write(f'\n[authorities."{UNREACHABLE}"]\nurl = "https://127.0.0.1:{port}"\n')
        site.reload_acceptor()
        waiting = site.mechanism("imap", person=site.realm.person(f"eve@{UNREACHABLE}"))
        with server.imap() as slow, ThreadPoolExecutor(20) as pool:
            begin(slow, waiting.step(None))
            caller, _ = silent.accept()
            people = [site.realm.person(f"user{number}@{DOMAIN}") for number in range(20)]
            logins = (site.mechanism("imap", person=person) for person in people)
            with caller:  # closed, it would be an answer
                assert len(list(pool.map(lambda each: log_in(server, each), logins))) == 20
                slow.sock.settimeout(0.01)
                with pytest.raises(TimeoutError):
                    slow.sock.recv(1)


def test_200_logins_leave_nothing_behind(server: Dovecot) -> None:
    client = server.site.client("imap")
    for _ in range(50):
        log_in(server, client.start_with(AES128))
    open_before, before = server.descriptors(), server.resident()
    for _ in range(200):
        log_in(server, client.start_with(AES128))
    assert server.descriptors() <= open_before + 2
    assert server.resident() - before < 256


def test_a_password_is_taken_beside_it(site: Site) -> None:
    users = site.folder / "users"
    users.write_text(f"{ALICE}:{{PLAIN}}secret\n")
    users.chmod(0o644)
    mechanisms = f"plain {AES128.lower()}"
    with Dovecot(site, mechanisms=mechanisms, passwords=users).running() as server:
        with server.imap() as connection:
            assert {"AUTH=PLAIN", f"AUTH={AES128}"} <= set(connection.capabilities)
            connection.login(ALICE, "secret")
        with server.imap() as connection:
            with pytest.raises(imaplib.IMAP4.error):
                connection.login(ALICE, "wrong")
        log_in(server)
        # Somebody of whom the database of passwords knows nothing.
        log_in(server, site.mechanism("imap", person=site.realm.person(f"bob@{DOMAIN}")))


class TestLongMessages:
    """Dovecot's login process takes lines of 8,192 characters."""

    def first_message(self, site: Site, size: int) -> bytes:
        """One of about so many octets."""
        plain = len(site.mechanism("imap").step(None))
        filling = "x" * ((size - plain) * 3 // 4)
        person = site.realm.person(ALICE, filling=filling)
        message = site.mechanism("imap", person=person).step(None)
        assert abs(len(message) - size) < 100
        return message

    def test_nearly_as_long_as_that(self, server: Dovecot) -> None:
        message = self.first_message(server.site, 6000)
        assert send(server, message, b"")[-1].startswith("a OK")
        with server.imap() as connection:
            begin(connection, self.first_message(server.site, 6000))
            assert dovecot.answer_of(connection).startswith("+ ")

    def test_longer(self, server: Dovecot) -> None:
        mark = server.mark()
        with server.imap() as connection:
            begin(connection, self.first_message(server.site, 7000))
        server.wait_for("Authentication response too large", mark)
        log_in(server)


class TestTls:
    """And no mechanism in Dovecot's list whose name ends in `-PLUS`; 2.3 can have none."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def server(self, site: Site, authority: trustme.CA) -> Iterator[Dovecot]:
        with Dovecot(site, tls=dovecot.certificate(site, authority)).running() as server:
            yield server

    def test_a_client_that_could_bind_to_the_channel(
        self, server: Dovecot, authority: trustme.CA
    ) -> None:
        with server.imaps(authority) as (connection, binding):
            mechanism = server.site.client("imap").start([AES128], channel_binding=binding)
            connection.authenticate(AES128, lambda data: mechanism.step(data or None))
            assert connection.noop()[0] == "OK"

    def test_one_that_insists_on_it(self, server: Dovecot, authority: trustme.CA) -> None:
        mark = server.mark()
        with server.imaps(authority) as (connection, binding):
            assert f"AUTH={AES128}-PLUS" not in connection.capabilities
            mechanism = server.site.mechanism("imap", binding=binding)
            with pytest.raises(PeerRefusedError, match="channel-bindings"):
                connection.authenticate(AES128, lambda data: mechanism.step(data or None))
        server.wait_for("browserid: the client binds to the channel, and this server has no", mark)


class TestRefusals:
    def test_a_stranger(self, site: Site, server: Dovecot) -> None:
        """Signed in with the identity provider of their own domain, whose key is known."""
        site.pin("stranger.test")
        site.reload_acceptor()
        mark = server.mark()
        eve = site.mechanism("imap", person=site.realm.person("eve@stranger.test"))
        with pytest.raises(PeerRefusedError, match="no-local-mapping"):
            log_in(server, eve)
        server.wait_for("browserid: .*eve@stranger.test may not log in to this service", mark)

    def test_a_replay_to_another_dovecot(self, site: Site, server: Dovecot) -> None:
        mechanism = site.mechanism("imap")
        first = mechanism.step(None)
        with Dovecot(site).running() as other:
            assert send(server, first, b"")[-1].startswith("a OK")
            mark = other.mark()
            assert send(other, first, b"")[-1].startswith("a NO")
            other.wait_for("browserid: .*replay", mark)

    @pytest.mark.parametrize(
        "octets",
        [b"", b"\0", b"n,,", b"n,,garbage", b"p=tls-unique,,\0\0", b"x" * 6000, bytes(range(256))],
    )
    def test_garbage(self, server: Dovecot, octets: bytes) -> None:
        log_in(server)
        pid, mark = server.auth_pid(), server.mark()
        assert re.match("a NO", send(server, octets, b"")[-1])
        server.wait_for("browserid: ", mark)
        log_in(server)
        assert server.auth_pid() == pid

    def test_no_base64(self, server: Dovecot) -> None:
        with server.imap() as connection:
            connection.send(f"a AUTHENTICATE {AES128} ???\r\n".encode())
            assert re.match("a (NO|BAD)", dovecot.answer_of(connection))
        log_in(server)

    def test_somebody_elses_name(self, server: Dovecot) -> None:
        mechanism = server.site.mechanism("imap", authzid=f"bob@{DOMAIN}")
        with pytest.raises((PeerRefusedError, imaplib.IMAP4.error)):
            log_in(server, mechanism)


class TestAcceptor:
    """What becomes of it is nobody's refusal, and Dovecot goes on when it does."""

    def answer(self, server: Dovecot) -> str:
        """What a new login is answered."""
        return send(server, server.site.mechanism("imap").step(None), b"")[-1]

    def begin(self, server: Dovecot, connection: imaplib.IMAP4) -> ClientMechanism:
        """Begin a login of three messages, until its second is due."""
        config = server.site.config.with_options({"extra_round_trip": "yes"}, section="client")
        person = server.site.realm.person()
        mechanism = Client(config, "imap", HOST, credentials=person).start_with(AES128)
        begin(connection, mechanism.step(None))
        return mechanism

    def test_is_killed_in_the_middle_of_a_login(self, server: Dovecot) -> None:
        mark = server.mark()
        with server.imap() as connection:
            mechanism = self.begin(server, connection)
            challenge = dovecot.answer_of(connection).removeprefix("+ ")
            server.site.kill_acceptor()
            answer = mechanism.step(base64.b64decode(challenge))
            connection.send(base64.b64encode(answer) + b"\r\n")
            assert re.match(rf"a NO {UNAVAILABLE}", dovecot.answer_of(connection))
        server.wait_for("Error: .*browserid: the acceptor at .*: the connection ended", mark)
        server.site.start_acceptor()
        log_in(server)

    def test_is_killed_between_logins(self, server: Dovecot) -> None:
        log_in(server)
        pid = server.auth_pid()
        server.site.kill_acceptor()
        mark = server.mark()
        assert re.match(rf"a NO {UNAVAILABLE}", self.answer(server))
        server.wait_for("browserid: the acceptor at .*: nobody answers there", mark)
        server.site.start_acceptor()
        log_in(server)
        assert server.auth_pid() == pid

    def test_is_restarted_while_people_log_in(self, server: Dovecot) -> None:
        log_in(server)
        server.site.acceptor.terminate()
        server.site.acceptor.wait(PATIENCE)
        server.site.start_acceptor()
        log_in(server)

    def test_hangs(self, hasty_at_first: Dovecot) -> None:
        server = hasty_at_first
        log_in(server)
        with self.stopped(server.site, workers=True):
            server.site.acceptor.send_signal(signal.SIGSTOP)
            log = server.mark()
            began = time.monotonic()
            # On a connection that is there it is waited for as long as an answer may take.
            with server.imap() as waiting, server.imap() as connection:
                self.begin(server, waiting)
                time.sleep(0.2)
                self.begin(server, connection)
                assert re.match(rf"a NO {UNAVAILABLE}", dovecot.answer_of(connection))
                assert time.monotonic() - began < 28  # an answer may take longer
            server.wait_for("browserid: the acceptor at .*: it does not answer in time", log)
        log_in(server)

    def test_hangs_and_the_client_goes_away(self, hasty: Dovecot) -> None:
        server = hasty
        log_in(server)
        before = server.descriptors()
        with self.stopped(server.site, workers=True):
            with ExitStack() as stack:
                for _ in range(6):
                    self.begin(server, stack.enter_context(server.imap()))
                time.sleep(0.5)
            wait_until(lambda: server.descriptors() <= before, "giving up")
        log_in(server)

    @contextmanager
    def stopped(self, site: Site, *, workers: bool) -> Iterator[None]:
        processes = (site.acceptor.pid, *site.workers())
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def test_keeps_dovecot_out(self, server: Dovecot) -> None:
        mark = server.mark()
        shutil.chown(server.site.socket, "nobody")
        assert re.match(rf"a NO {UNAVAILABLE}", self.answer(server))
        server.wait_for("its owner and mode keep this program out", mark)
        shutil.chown(server.site.socket, dovecot.ACCOUNT)
        log_in(server)

    def test_another_kind_of_service_is_at_its_socket(self, server: Dovecot) -> None:
        server.site.kill_acceptor()
        server.site.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(server.site.socket))
            server.site.socket.chmod(0o666)
            listener.listen()
            with server.imap() as connection:
                self.begin(server, connection)
                caller, _ = listener.accept()
                with caller:
                    caller.sendall(b"* OK some IMAP server\r\n")
                    said = dovecot.answer_of(connection)
            assert re.match(rf"a NO {UNAVAILABLE}", said)
        server.wait_for("what answers there is another kind of service")

    def test_an_identity_provider_does_not_answer(self, server: Dovecot) -> None:
        site = server.site
        with site.config_file.open("a") as config:
            url = f"https://127.0.0.1:{free_port()}"
            config.write(f'\n[authorities."{UNREACHABLE}"]\nurl = "{url}"\n')
        site.reload_acceptor()
        person = site.realm.person(f"eve@{UNREACHABLE}")
        first = site.mechanism("imap", person=person).step(None)
        assert re.match(rf"a NO {UNAVAILABLE}", send(server, first, b"")[-1])


class TestSubmission:
    @pytest.fixture
    def server(self, site: Site) -> Iterator[Dovecot]:
        """One that passes on what it takes to a Postfix, which takes its word for everything."""
        relay = submission.Postfix(site.folder)
        relay.configure("mynetworks = 127.0.0.1")
        with relay.running(), Dovecot(site, relay=relay.port).running() as server:
            yield server

    def log_in(
        self, server: Dovecot, connection: smtplib.SMTP, person: Person | None = None
    ) -> tuple[int, str]:
        """The first message in a line of its own: that of `AUTH` is too short for it."""
        mechanism = server.site.mechanism("smtp", person=person)
        return submission.log_in(connection, mechanism, initial=False)

    def test_who_has_logged_in_is_passed_on(self, server: Dovecot) -> None:
        with submission.connected(server.submission_port) as connection:
            assert not submission.relays(connection)
            assert self.log_in(server, connection)[0] == 235
            assert submission.relays(connection)

    def test_a_stranger_is_refused_and_nothing_is_passed_on(self, server: Dovecot) -> None:
        server.site.pin("stranger.test")
        server.site.reload_acceptor()
        eve = server.site.realm.person("eve@stranger.test")
        with submission.connected(server.submission_port) as connection:
            assert self.log_in(server, connection, person=eve)[0] == 535
            assert not submission.relays(connection)

    def test_a_first_message_that_is_too_long_for_its_line(self, server: Dovecot) -> None:
        with submission.connected(server.submission_port) as connection:
            assert submission.log_in(connection, server.site.mechanism("smtp"))[0] == 500

    def test_nobody_accepts(self, server: Dovecot) -> None:
        server.site.kill_acceptor()
        with submission.connected(server.submission_port) as connection:
            assert self.log_in(server, connection)[0] == 454


def test_valgrind_has_nothing_to_say(site: Site) -> None:
    said = site.folder / "valgrind"
    said.mkdir()
    said.chmod(0o777)
    launcher = f"/usr/bin/valgrind -q --log-file={said}/%p"
    with Dovecot(site, auth=launcher).running() as server:
        client = site.client("imap")
        for _ in range(3):
            log_in(server, client.start_with(AES128))
        first = site.mechanism("imap").step(None)
        for octets in (first, first, b"\0", b"n,,garbage"):
            send(server, octets, b"")
        site.kill_acceptor()
        assert re.match(rf"a NO {UNAVAILABLE}", send(server, first)[-1])
        site.start_acceptor()
        log_in(server)
    text = "".join(file.read_text() for file in said.iterdir())
    assert "browserid" not in text, text
    assert re.findall(r"Invalid (?:read|write|free)", text) == [], text
