"""Connections: how many there may be, how long they may take, and what is left of them."""

from __future__ import annotations

import gc
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.tls import LocalTls
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.connection import HttpConnection
from browserid_sasl.web.door import Capacity
from browserid_sasl.web.server import Listener, Terms, make_server
from browserid_sasl.web.server_certificate import ServerCertificate
from tests.support.patience import PATIENCE, wait_until
from tests.support.provider import DOMAIN

STRANGER = "127.0.0.2"
SILENT = 1_100


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LocalTls:
    tls = LocalTls(tmp_path_factory.mktemp("tls") / "tls")
    tls.create(DOMAIN, time.time_ns() // 1_000_000)
    return tls


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Running:
    """A server on loopback.

    :param port: its TCP port.
    :param anchor: file with the authority of its certificate.
    """

    def __init__(self, port: int, anchor: Path) -> None:
        self.port = port
        self._context = ssl.create_default_context(cafile=anchor)

    def plain(self, address: str = "127.0.0.1") -> socket.socket:
        """A connection without TLS so far, from an address."""
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=PATIENCE, source_address=(address, 0)
        )

    def connect(self, address: str = "127.0.0.1") -> ssl.SSLSocket:
        """A connection with TLS."""
        return self._context.wrap_socket(self.plain(address), server_hostname=DOMAIN)

    def ask(self, client: ssl.SSLSocket) -> bool:
        """Whether a request is answered."""
        try:
            client.sendall(b"GET /.well-known/browserid HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = HTTPResponse(client)
            answer.begin()
            return bool(answer.read()) and answer.status == 200
        except (OSError, HTTPException):
            return False

    def answers(self, address: str = "127.0.0.1") -> bool:
        """Whether a newcomer is answered."""
        try:
            with self.connect(address) as client:
                return self.ask(client)
        except OSError:
            return False


@contextmanager
def serving(
    tls: LocalTls,
    app: ASGIApp = hello,
    capacity: Capacity | None = None,
    proxies: tuple[str, ...] = (),
) -> Iterator[Running]:
    certificate = ServerCertificate(tls.server, tls.server)
    terms = Terms(certificate, capacity or Capacity(), Proxies(proxies))
    ready = threading.Event()
    server = make_server(app, terms, ready.set)
    with Listener("127.0.0.1", 0).open() as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield Running(port, tls.anchor)
        finally:
            server.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def has_ended(client: socket.socket, within: float = PATIENCE) -> bool:
    """Whether the other end closes the connection.

    :param within: s.
    """
    client.settimeout(within)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


class TestOneClient:
    def test_has_so_many_and_no_more(self, tls: LocalTls) -> None:
        with serving(tls, capacity=Capacity(100, 5)) as running, ExitStack() as open_ones:
            kept = [open_ones.enter_context(running.connect(STRANGER)) for _ in range(5)]
            assert not running.answers(STRANGER)
            assert running.answers()
            assert all(running.ask(each) for each in kept)

    def test_is_counted_before_tls(self, tls: LocalTls) -> None:
        with serving(tls, capacity=Capacity(100, 5)) as running, ExitStack() as open_ones:
            silent = [open_ones.enter_context(running.plain(STRANGER)) for _ in range(8)]
            assert all(has_ended(each) for each in silent[5:])
            assert not any(has_ended(each, 0.1) for each in silent[:5])
            assert not running.answers(STRANGER)
            assert running.answers("127.0.0.3")

    def test_gets_its_places_back(self, tls: LocalTls) -> None:
        with serving(tls, capacity=Capacity(100, 2)) as running:

            def has_two() -> bool:
                with running.plain(STRANGER):
                    return running.answers(STRANGER)

            for _ in range(10):
                wait_until(has_two, "two connections")

    def test_that_is_a_proxy_has_all(self, tls: LocalTls) -> None:
        capacity = Capacity(100, 3)
        with (
            serving(tls, capacity=capacity, proxies=("127.0.0.1",)) as running,
            ExitStack() as open_ones,
        ):
            several = [open_ones.enter_context(running.connect()) for _ in range(12)]
            assert all(running.ask(each) for each in several)
            others = [open_ones.enter_context(running.plain(STRANGER)) for _ in range(4)]
            assert has_ended(others[3])
            assert not any(has_ended(each, 0.1) for each in others[:3])


class TestAll:
    def test_who_waits_for_longest_gives_way(self, tls: LocalTls) -> None:
        with serving(tls, capacity=Capacity(10, 3)) as running, ExitStack() as open_ones:
            silent = [
                open_ones.enter_context(running.plain(f"127.0.0.{2 + number // 3}"))
                for number in range(10)
            ]
            assert running.answers("127.0.0.9")
            assert has_ended(silent[0])
            assert not any(has_ended(each, 0.05) for each in silent[1:])

    def test_who_has_spoken_has_waited_less(self, tls: LocalTls) -> None:
        with serving(tls, capacity=Capacity(4, 4)) as running, ExitStack() as open_ones:
            first = open_ones.enter_context(running.connect())
            others = [open_ones.enter_context(running.plain(STRANGER)) for _ in range(3)]
            assert running.ask(first)
            assert running.answers("127.0.0.9")
            assert has_ended(others[0])
            assert running.ask(first)

    def test_who_is_being_served_stays(self, tls: LocalTls) -> None:
        gate = threading.Event()
        arrived = threading.Semaphore(0)

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            import asyncio

            if scope["path"] == "/slow":
                arrived.release()
                while not gate.is_set():
                    await asyncio.sleep(0.01)
            await hello(scope, receive, send)

        with serving(tls, slow, Capacity(3, 3)) as running, ExitStack() as open_ones:
            served = [open_ones.enter_context(running.connect(STRANGER)) for _ in range(3)]
            for each in served:
                each.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert all(arrived.acquire(timeout=PATIENCE) for _ in served)
            assert not running.answers()
            gate.set()
            assert all(each.recv(1000).startswith(b"HTTP/1.1 200") for each in served)


class TestTime:
    @pytest.fixture(autouse=True)
    def short_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, seconds in {
            "connection._REQUEST_S": 0.6,
            "connection._TAKE_S": 0.6,
            "door._HANDSHAKE_S": 0.6,
        }.items():
            monkeypatch.setattr(f"browserid_sasl.web.{name}", seconds)

    def test_of_a_handshake_is_limited(self, tls: LocalTls) -> None:
        with serving(tls) as running, running.plain() as silent:
            silent.sendall(b"\x16\x03\x01")
            assert not has_ended(silent, 0.1)
            assert has_ended(silent)

    @pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
    def test_of_a_request_is_limited_however_it_drips(
        self, tls: LocalTls, beginning: bytes
    ) -> None:
        with serving(tls) as running, running.connect() as slow:
            self.drip(slow, beginning)

    def test_of_a_body_that_nobody_reads_is_limited_too(self, tls: LocalTls) -> None:
        with serving(tls) as running, running.connect() as slow:
            self.drip(slow, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")

    def test_of_the_next_request_is_limited_too(self, tls: LocalTls) -> None:
        with serving(tls) as running, running.connect() as slow:
            assert running.ask(slow)
            self.drip(slow, b"GET / HTTP/1.1\r\nX-Slow: ")

    def drip(self, client: ssl.SSLSocket, octets: bytes) -> None:
        """Send octet for octet until the server has had enough of it."""
        started = time.monotonic()
        with pytest.raises(OSError):
            client.sendall(octets)
            while time.monotonic() < started + PATIENCE:
                client.sendall(b"x")
                time.sleep(0.05)

    def test_to_take_an_answer_is_limited(self, tls: LocalTls) -> None:
        ended = threading.Event()

        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(100):
                body = {"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True}
                await send(body)
            await send({"type": "http.response.body", "body": b""})
            ended.set()

        with serving(tls, large) as running, running.connect() as lazy:
            lazy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert ended.wait(PATIENCE)

    def test_of_the_server_itself_cuts_no_request(self, tls: LocalTls) -> None:
        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            import asyncio

            await asyncio.sleep(1.5)
            await hello(scope, receive, send)

        with serving(tls, slow) as running, running.connect() as patient:
            for _ in range(2):
                assert running.ask(patient)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_nothing_is_kept_of_a_connection_that_has_ended(tls: LocalTls, no_collector: None) -> None:
    def kept() -> Counter[type]:
        # Without the collector of garbage, which has no idea of how much memory it is.
        present = Counter(type(each) for each in gc.get_objects())
        return Counter({each: present[each] for each in (HttpConnection, SSLProtocol)})

    with serving(tls) as running:
        for _ in range(20):
            with running.plain() as client:
                client.sendall(b"no TLS\r\n")
                assert has_ended(client)
        for number in range(60):
            client = running.connect()
            if number % 3:
                running.ask(client)
            if number % 2:
                # Without a word, as from a client that has crashed.
                reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.close()
        with running.connect() as idle:
            assert running.ask(idle)
            with suppress(AssertionError):
                wait_until(lambda: kept().total() <= 2, "the end of all others", 10)
            found = kept()
    assert found == {HttpConnection: 1, SSLProtocol: 1}


class TestProcess:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "provider"
        options = ["--directory", str(folder), "--domain", DOMAIN, "--local-tls"]
        assert main(["init", *options]) == 0
        return folder

    @contextmanager
    def served(self, folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], Running]]:
        program = str(Path(sys.executable).with_name("browserid-idp"))
        command = [program, "serve", "--directory", str(folder), "--port", "0"]
        with (
            log.open("w") as stderr,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        ):
            try:
                assert process.stdout
                url = process.stdout.readline().split()[-1]
                port = int(url.rpartition(":")[2])
                yield process, Running(port, folder / "tls" / "ca.pem")
            finally:
                process.terminate()
                assert process.wait(PATIENCE) == 0

    def test_a_crowd_of_silent_clients_locks_nobody_out(
        self, folder: Path, tmp_path: Path, many_files: None
    ) -> None:
        log = tmp_path / "log"
        with self.served(folder, log) as (process, running), ExitStack() as open_ones:
            started = time.monotonic()
            crowd = [open_ones.enter_context(running.plain(STRANGER)) for _ in range(SILENT)]
            for _ in range(3):
                asked = time.monotonic()
                assert running.answers()
                assert time.monotonic() - asked < 8
            assert len(os.listdir(f"/proc/{process.pid}/fd")) < 100
            assert sum(not has_ended(each, 0.001) for each in crowd) <= 32
            elapsed = time.monotonic() - started
        lines = log.read_text().splitlines()
        assert f"too many connections from {STRANGER}" in lines[0]
        assert len(lines) <= elapsed + 2
        assert sum(map(len, lines)) < 200 * len(lines)

    def test_crowds_of_many_addresses_lock_nobody_out(
        self, folder: Path, tmp_path: Path, many_files: None
    ) -> None:
        log = tmp_path / "log"
        with self.served(folder, log) as (process, running), ExitStack() as open_ones:
            assert running.answers()
            before = memory(process.pid)
            for number in range(2 * SILENT):
                silent = open_ones.enter_context(running.plain(f"127.0.1.{1 + number // 30}"))
                silent.sendall(b"\x16\x03\x01\x00\xf8")
            assert memory(process.pid) - before < 150
            asked = time.monotonic()
            assert running.answers()
            assert time.monotonic() - asked < 8
        assert log.read_text() == ""

    def test_without_a_descriptor_left_it_waits_quietly(self, folder: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        with self.served(folder, log) as (process, running), ExitStack() as open_ones:
            assert running.answers()
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            present = len(os.listdir(f"/proc/{process.pid}/fd"))
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (present, limits[1]))
            used, started = cpu_time(process.pid), time.monotonic()
            for _ in range(20):
                open_ones.enter_context(running.plain(STRANGER))
            time.sleep(2)
            assert cpu_time(process.pid) - used < 1
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            assert running.answers()
            elapsed = time.monotonic() - started
        lines = log.read_text().splitlines()
        assert "no connection can be accepted: Too many open files" in lines[0]
        assert len(lines) <= elapsed + 3

    @pytest.fixture
    def many_files(self) -> Iterator[None]:
        """For so many clients in this process."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def memory(process: int) -> int:
    """Megabytes that a process has in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def cpu_time(process: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_server_that_may_not_have_so_many_files_does_not_start(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from browserid_sasl.web.door import Capacity\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))\n"
        "Capacity(300).reserve()\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300\n"
        "try:\n"
        "    Capacity(1000).reserve()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith(ConfigurationError.__name__)
    assert "set `max_connections` to 372 at the most" in done.stdout


class TestCertificate:
    @pytest.fixture
    def own(self, tmp_path: Path) -> LocalTls:
        own = LocalTls(tmp_path / "tls")
        own.create(DOMAIN, time.time_ns() // 1_000_000)
        return own

    def presented(self, running: Running) -> Any:
        with running.connect() as client:
            return client.getpeercert(binary_form=True)

    def test_a_renewed_one_is_presented_without_a_restart(self, own: LocalTls) -> None:
        with serving(own) as running, running.connect() as before:
            first = self.presented(running)
            own.server.unlink()
            own.create(DOMAIN, time.time_ns() // 1_000_000)
            wait_until(lambda: self.presented(running) != first, "presenting it")
            assert running.ask(before)

    def test_one_that_cannot_be_used_is_not(
        self, own: LocalTls, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serving(own) as running:
            first = self.presented(running)
            content = own.server.read_bytes()
            own.server.write_bytes(content[: len(content) // 2])
            self.complains(running, first, caplog, "certificate of before goes on to be used")
            own.server.unlink()
            gone = f"{own.server} cannot be read (No such file or directory)"
            self.complains(running, first, caplog, gone)
            own.create(DOMAIN, time.time_ns() // 1_000_000)
            wait_until(lambda: self.presented(running) != first, "presenting it")

    def complains(
        self, running: Running, first: object, caplog: pytest.LogCaptureFixture, what: str
    ) -> None:
        """The certificate stays the first one until there is a complaint, and then too."""

        def complained() -> bool:
            assert self.presented(running) == first
            return what in caplog.text

        wait_until(complained, what)
        assert self.presented(running) == first

    @pytest.mark.parametrize("missing", ["certificate", "key"])
    def test_the_file_that_is_missing_is_named(
        self, own: LocalTls, tmp_path: Path, missing: str
    ) -> None:
        files = {"certificate": own.server, "key": own.server, missing: tmp_path / "none.pem"}
        with pytest.raises(ConfigurationError, match=f"the TLS {missing} .*none.pem cannot"):
            ServerCertificate(files["certificate"], files["key"])

    def test_a_key_that_everybody_can_read_is_refused(self, own: LocalTls) -> None:
        own.server.chmod(0o640)
        ServerCertificate(own.server, own.server)
        own.server.chmod(0o644)
        with pytest.raises(ConfigurationError) as raised:
            ServerCertificate(own.server, own.server)
        assert raised.value.remedy == f"chmod o= {own.server}"


def test_no_part_of_an_answer_waits_for_another_to_be_received(tls: LocalTls) -> None:
    """Each request took 40 ms, on a connection that stays open."""
    with serving(tls) as server, server.connect() as client:
        assert server.ask(client)
        assert list(delays_of_connections_from(client.getsockname())) == [False]


def delays_of_connections_from(address: Any) -> Iterator[bool]:
    """Whether this process's ends of these connections hold small parts back."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.getpeername() == address:
                yield not each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
