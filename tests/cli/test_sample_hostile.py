"""Clients that mean ill, or just die: the sample server goes on serving the others."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from browserid_sasl.cli.sample.framing import Reply, encode_string
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, Person, Realm, RunningServer, Wire

MECHANISM = b"BROWSERID-AES128"
CHOICE = encode_string(MECHANISM)
ACCEPTED = "accepted new connection"
CLOSED = "closing connection"


@pytest.fixture
def own_server(realm: Realm) -> Iterator[RunningServer]:
    """A server of the test's own, which still serves at the end of the test."""
    with realm.server("--timeout", "5") as server:
        yield server
        assert_serves(realm, server)
    # All of it is here only once the server has ended.
    assert "Traceback" not in str(server.err)


def assert_serves(realm: Realm, server: RunningServer) -> None:
    with Wire(server.port) as wire:
        wire.string()
        assert wire.log_in(realm.client().start_with(MECHANISM.decode())) is Reply.OK


class TestForgery:
    def test_a_replayed_first_message_is_refused(
        self, realm: Realm, own_server: RunningServer
    ) -> None:
        recorded = realm.client().start_with(MECHANISM.decode()).step(None)
        for verdict in (Reply.OK, Reply.NO):
            with Wire(own_server.port) as wire:
                wire.string()
                wire.send(MECHANISM, b"Y", recorded)
                reply, token = wire.reply()
                assert reply is Reply.CONTINUE
                assert token.startswith(b"C,~")
                wire.send(b"")
                assert wire.reply() == (verdict, b"")
        own_server.err.wait_for("the assertion was presented before: .*")

    def test_a_tampered_message_is_refused_and_both_learn_why(
        self, realm: Realm, own_server: RunningServer
    ) -> None:
        message = realm.client().start_with(MECHANISM.decode()).step(None)
        *certificate, assertion = message.decode().split("~")
        header, payload, signature = assertion.split(".")
        forged = b64.decode(payload, "payload").replace(b"{", b'{"more":1,', 1)
        tampered = "~".join([*certificate, f"{header}.{b64.encode(forged)}.{signature}"])
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"Y", tampered.encode())
            reply, token = wire.reply()
            assert reply is Reply.CONTINUE
            payload = token.decode().split(".")[1]
            assert b'"gss-min":23' in b64.decode(payload, "payload")
            wire.send(b"anything")
            assert wire.reply() == (Reply.NO, b"")
        own_server.err.wait_for("performing SASL negotiation: .*")
        own_server.err.wait_for(".*signature.*")

    def test_more_than_an_empty_message_at_the_end_is_refused(
        self, realm: Realm, own_server: RunningServer
    ) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"Y", realm.client().start_with(MECHANISM.decode()).step(None))
            wire.reply()
            wire.send(b"surplus")
            assert wire.reply() == (Reply.NO, b"")

    def test_a_refused_client_that_leaves_is_reported_all_the_same(
        self, own_server: RunningServer
    ) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"Y", b"n,,c,garbage")
            wire.reply()
        own_server.err.wait_for("performing SASL negotiation: bad protocol / cancel")
        own_server.out.wait_for("client disconnected")

    def test_the_message_may_come_after_an_empty_challenge(
        self, realm: Realm, own_server: RunningServer
    ) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"N")
            assert wire.reply() == (Reply.CONTINUE, b"")
            wire.send(realm.client().start_with(MECHANISM.decode()).step(None))
            wire.reply()
            wire.send(b"")
            assert wire.reply() == (Reply.OK, b"")


def shown(octets: bytes) -> str:
    """A short name: a test's name is in the environment of what it starts."""
    return repr(octets[:20])


class TestGarbage:
    @pytest.mark.parametrize(
        "octets",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            bytes(range(256)) * 40,
            b"{99999999999999999999}\r\n",
            b"{-1}\r\n",
            b"{128}\r\n" + b"A" * 128,
            b"{65536}\r\n" + b"A" * 65536,
            b"{" * 100_000,
            b"{0}\r\n",
        ],
        ids=shown,
    )
    def test_in_place_of_the_mechanism(self, own_server: RunningServer, octets: bytes) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.socket.sendall(octets)
            assert wire.reply() == (Reply.NO, b"")
        own_server.out.wait_for("client didn't choose mechanism")

    @pytest.mark.parametrize(
        ("octets", "said"),
        [
            (CHOICE + b"{2}\r\nYY", "didn't receive first-send parameter correctly: .*"),
            (CHOICE + b"{0}\r\n", "didn't receive first-send parameter correctly: .*"),
            (CHOICE + b"Y", "didn't receive first-send parameter correctly: .*"),
            (CHOICE + b"{1}\r\nY{65537}\r\n", "starting SASL negotiation: .*"),
            (CHOICE + b"{1}\r\nY{3}\n\n\n", "starting SASL negotiation: bad protocol / cancel"),
            (b"{4}\r\n\xff\xfe\0\x1b{1}\r\nN", "starting SASL negotiation: no mechanism available"),
        ],
    )
    def test_later(self, own_server: RunningServer, octets: bytes, said: str) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.socket.sendall(octets)
            assert wire.reply() == (Reply.NO, b"")
        own_server.err.wait_for(said)

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\0" * 65536,
            b"n,,c," + b"~" * 60000,
            b"n,,c," + b"." * 60000,
            b"F,n,,c,x",
            b"n,a=\xff,c,x",
            b"p=tls-unique,,c,x",
            b"n,,c,e30.e30.~e30.e30.",
        ],
        ids=shown,
    )
    def test_as_initial_response(self, own_server: RunningServer, message: bytes) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"Y", message)
            reply, _ = wire.reply()
            if reply is Reply.CONTINUE:
                wire.send(b"")
                reply, _ = wire.reply()
            assert reply is Reply.NO
        own_server.err.wait_for("(starting|performing) SASL negotiation: .*")

    def test_what_a_terminal_would_obey_is_not_printed(self, own_server: RunningServer) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(b"\x1b[2J\r\nsuccessful authentication 'root'", b"N")
            wire.reply()
        own_server.out.wait_for(CLOSED)
        assert "\x1b" not in str(own_server.out) + str(own_server.err)
        assert "\nsuccessful" not in str(own_server.out) + str(own_server.err)

    def test_a_flood_is_cut_off(self, own_server: RunningServer) -> None:
        with Wire(own_server.port) as wire, pytest.raises(OSError, match=r"reset|Broken pipe"):
            while True:
                wire.socket.sendall(bytes(1 << 20))


class TestDisconnecting:
    @pytest.mark.parametrize(
        "sent", [b"", b"{", CHOICE, CHOICE + b"{1}\r\nY", CHOICE + b"{1}\r\nY{500}\r\nn,,c,"]
    )
    @pytest.mark.parametrize("how", ["politely", "with a reset"])
    def test_at_any_point(self, own_server: RunningServer, sent: bytes, how: str) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.socket.sendall(sent)
            if how == "with a reset":
                own_server.out.wait_for("send: .*")
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        own_server.out.wait_for(CLOSED)

    def test_before_reading_anything(self, own_server: RunningServer) -> None:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", own_server.port)).close()
        own_server.out.wait_for(CLOSED, 20)

    def test_after_success_before_hearing_of_it(
        self, realm: Realm, own_server: RunningServer
    ) -> None:
        with Wire(own_server.port) as wire:
            wire.string()
            wire.send(MECHANISM, b"Y", realm.client().start_with(MECHANISM.decode()).step(None))
            wire.reply()
            wire.send(b"")
        own_server.out.wait_for(f"successful authentication '{ALICE}'")

    def test_of_one_direction_only(self, realm: Realm, own_server: RunningServer) -> None:
        """A client that sends everything at once and closes its side still hears the verdict."""
        with Wire(own_server.port) as wire:
            wire.string()
            message = realm.client().start_with(MECHANISM.decode()).step(None)
            wire.send(MECHANISM, b"Y", message, b"")
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.reply()[0] is Reply.CONTINUE
            assert wire.reply() == (Reply.OK, b"")


class TestSlowness:
    def test_a_client_has_a_limited_time_in_all(self, realm: Realm) -> None:
        with realm.server("--timeout", "0.7") as server:
            port, began = server.port, time.monotonic()
            with Wire(port) as wire:
                wire.socket.sendall(b"{127}\r\n")
                with pytest.raises(OSError, match=r"reset|Broken pipe"):
                    for _ in range(126):
                        wire.socket.sendall(b"A")
                        time.sleep(0.05)
            assert time.monotonic() - began > 0.6
            server.err.wait_for("the client took longer than 0.7 s")

    def test_slow_clients_do_not_hold_up_a_quick_one(self, realm: Realm) -> None:
        with realm.server("--timeout", "60") as server, ExitStack() as slow:
            for _ in range(30):
                slow.enter_context(Wire(server.port)).socket.sendall(b"{1")
            assert_serves(realm, server)
            assert str(server.out).count(CLOSED) <= 1

    def test_clients_over_the_limit_wait_for_their_turn(self, realm: Realm) -> None:
        with (
            realm.server("--timeout", "60", "--max-connections", "2") as server,
            Wire(server.port) as one,
            Wire(server.port) as two,
        ):
            one.string()
            two.string()
            with Wire(server.port) as three:
                three.socket.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    three.string()
                one.socket.close()
                three.socket.settimeout(PATIENCE)
                three.string()
                assert three.log_in(realm.client().start_with(MECHANISM.decode())) is Reply.OK


class TestSlowProviders:
    """A domain whose identity provider takes connections and says nothing."""

    @pytest.fixture
    def silent_provider(self) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield silent

    @pytest.fixture
    def realm(
        self, tmp_path: Path, provider_key: PrivateKey, silent_provider: socket.socket
    ) -> Realm:
        port = silent_provider.getsockname()[1]
        further = f"""
            [discovery]
            timeout = 30
            [authorities."slow.test"]
            url = "https://127.0.0.1:{port}"
        """
        return Realm(tmp_path, provider_key, further)

    def test_they_hold_up_nobody_else_and_not_the_end(
        self, realm: Realm, silent_provider: socket.socket
    ) -> None:
        with realm.server() as server, ExitStack() as stack:
            for number in range(5):
                wire = stack.enter_context(Wire(server.port))
                wire.string()
                stranger = realm.person(f"user{number}@slow.test")
                mechanism = realm.client(stranger).start_with(MECHANISM.decode())
                wire.send(MECHANISM, b"Y", mechanism.step(None))
            stack.enter_context(silent_provider.accept()[0])
            began = time.monotonic()
            assert_serves(realm, server)
            server.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            assert time.monotonic() - began < 25  # what the provider may take is more


class TestCrowd:
    def test_more_clients_than_the_system_lets_in(self, realm: Realm) -> None:
        launcher = ["prlimit", "--nofile=40"]
        with realm.server("--timeout", "20", launcher=launcher) as server:
            crowd = [Wire(server.port) for _ in range(60)]
            server.err.wait_for("accept: Too many open files")
            for wire in crowd:
                wire.socket.close()
            assert_serves(realm, server)

    def test_fifty_clients_at_once(self, realm: Realm) -> None:
        people = [realm.person(f"user{number}@example.test") for number in range(50)]
        start = threading.Barrier(len(people))

        def log_in(person: Person) -> Reply:
            with Wire(server.port) as wire:
                wire.string()
                mechanism = realm.client(person).start_with(MECHANISM.decode())
                start.wait(PATIENCE)
                return wire.log_in(mechanism)

        with realm.server("--show-tokens") as server:
            with ThreadPoolExecutor(len(people)) as pool:
                assert list(pool.map(log_in, people)) == [Reply.OK] * len(people)
            said = server.out.wait_for(CLOSED, len(people))
        for person in people:
            assert f"successful authentication '{person.identity}'\n" in said
        assert_not_mixed(said)


def assert_not_mixed(said: str) -> None:
    """Every announced string stands whole on the line after its announcement."""
    lines = iter(said.splitlines())
    for line in lines:
        if line.startswith(("send: ", "recv: ")):
            assert len(next(lines)) == int(line[7:-1])
        else:
            assert line in (ACCEPTED, CLOSED) or line.startswith("successful authentication '")


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_at_rest(self, realm: Realm, number: signal.Signals) -> None:
        with realm.server() as server:
            assert server.port
            server.send_signal(number)
            assert server.wait() == 0
        assert "Traceback" not in str(server.err)

    def test_an_exchange_under_way_is_finished(self, realm: Realm) -> None:
        with realm.server() as server, Wire(server.port) as wire:
            wire.string()
            mechanism = realm.client().start_with(MECHANISM.decode())
            wire.send(MECHANISM, b"Y", mechanism.step(None))
            _, challenge = wire.reply()
            server.send_signal(signal.SIGTERM)
            # The last of them may have been taken in and is dropped.
            with pytest.raises(OSError, match="refused|reset"):
                while True:
                    socket.create_connection(("127.0.0.1", server.port)).close()
            wire.send(mechanism.step(challenge))
            assert wire.reply() == (Reply.OK, b"")
            assert server.wait() == 0
        assert f"successful authentication '{ALICE}'\n" in str(server.out)

    def test_exchanges_that_do_not_end_are_ended(self, realm: Realm) -> None:
        with realm.server() as server, Wire(server.port) as silent, Wire(server.port) as other:
            silent.string()
            other.string()
            other.socket.sendall(CHOICE + b"{1}\r\nY{500}\r\nn,,")
            server.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            assert silent.socket.recv(1) == b""
        assert str(server.err).count("the server is stopping\n") == 2
        assert str(server.out).count(f"{CLOSED}\n") == 2
        assert "Traceback" not in str(server.err)
