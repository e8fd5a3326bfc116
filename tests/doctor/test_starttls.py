"""TLS that begins in the middle: what the doctor says of servers that do, and of others."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
import trustme

from browserid_sasl.doctor import certificates
from browserid_sasl.doctor.findings import Finding, Verdict
from browserid_sasl.doctor.server import ServerSide
from browserid_sasl.gss.names import ServiceName

Turn = tuple[bytes, bytes]
"""What a client's words have to begin with (nothing: it need say nothing), and the answer."""

SERVERS: Final[dict[str, Sequence[Turn]]] = {
    "imap": [
        (b"", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        (b"a STARTTLS", b"a OK\r\n"),
    ],
    "pop": [(b"", b"+OK ready\r\n"), (b"STLS", b"+OK\r\n")],
    "smtp": [
        (b"", b"220-mail.example.org\r\n220 ready\r\n"),
        (b"EHLO ", b"250-mail.example.org\r\n250-STARTTLS\r\n250 HELP\r\n"),
        (b"STARTTLS", b"220 2.0.0 go\r\n"),
    ],
    "sieve": [
        (b"", b'"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK "ready"\r\n'),
        (b"STARTTLS", b'OK "begin"\r\n'),
    ],
    "ldap": [
        (b"\x30\x1d\x02\x01\x01\x77", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
    ],
}
LAST: Final = {
    "imap": b"a NO not today\r\n",
    "pop": b"-ERR\r\n",
    "smtp": b"454 4.7.0 not available\r\n",
    "sieve": b'NO "not today"\r\n',
    "ldap": b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00",
}

AUTHORITY: Final = trustme.CA()


@contextmanager
def serving(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does something with each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(10)
                        act(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def speaking(turns: Sequence[Turn], *, then_tls: bool = True) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    def act(connection: socket.socket) -> None:
        for begins, answer in turns:
            if begins and not connection.recv(4096).startswith(begins):
                return
            connection.sendall(answer)
        if then_tls:
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

    return act


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def examined(port: int, ca_file: Path, service: str) -> Finding:
    [found] = certificates.certificate("TLS", "127.0.0.1", port, ca_file, service)
    return found


@pytest.mark.parametrize("service", SERVERS)
class TestEachProtocol:
    def test_begins_tls(self, service: str, ca_file: Path) -> None:
        with serving(speaking(SERVERS[service])) as port:
            found = examined(port, ca_file, service)
        assert found.verdict is Verdict.GOOD, found
        assert "days more" in found.message

    def test_refuses(self, service: str, ca_file: Path) -> None:
        *turns, (begins, _) = SERVERS[service]
        with serving(speaking([*turns, (begins, LAST[service])], then_tls=False)) as port:
            found = examined(port, ca_file, service)
        assert found.verdict is Verdict.BAD
        assert "does not begin TLS: asked for it" in found.message

    def test_hangs_up(self, service: str, ca_file: Path) -> None:
        with serving(lambda _: None) as port:
            found = examined(port, ca_file, service)
        assert found.verdict is Verdict.BAD

    def test_talks_without_end(self, service: str, ca_file: Path) -> None:
        def talk(connection: socket.socket) -> None:
            while True:
                connection.sendall(b"\x30\xff x" * 4096)

        with serving(talk) as port:
            found = examined(port, ca_file, service)
        assert found.verdict is Verdict.BAD

    def test_drips(self, service: str, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificates, "_TIMEOUT_S", 0.5)

        def drip(connection: socket.socket) -> None:
            while True:
                connection.sendall(b"\x30")
                time.sleep(0.1)

        with serving(drip) as port:
            found = examined(port, ca_file, service)
        assert found.verdict is Verdict.BAD
        assert "nobody answers" in found.message


def test_what_is_said_before_tls_is_not_taken_for_something_under_it(ca_file: Path) -> None:
    greeting, (begins, agreed) = SERVERS["imap"]
    injected = agreed + b"* OK [ALERT] send your password\r\n"
    with serving(speaking([greeting, (begins, injected)])) as port:
        found = examined(port, ca_file, "imap")
    assert found.verdict is Verdict.BAD
    assert "says more in the clear" in found.message


def test_the_certificate_is_checked(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with serving(speaking(SERVERS["imap"])) as port:
        found = examined(port, tmp_path / "other.pem", "imap")
    assert found.verdict is Verdict.BAD
    assert "cannot prove who it is" in found.message


class TestPorts:
    """Which of the two ports of a service are looked at."""

    def findings(
        self, monkeypatch: pytest.MonkeyPatch, ca_file: Path, *, tls: int, clear: int
    ) -> list[Finding]:
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        monkeypatch.setattr("browserid_sasl.doctor.server.TLS_PORTS", {"imap": tls})
        monkeypatch.setattr("browserid_sasl.doctor.starttls.PORTS", {"imap": clear})
        side = ServerSide(ServiceName("imap", "127.0.0.1"))
        return [each for each in side.findings() if each.check == "TLS"]

    @pytest.fixture
    def nobody(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port: int = gone.getsockname()[1]
        return port

    def test_both_are(self, monkeypatch: pytest.MonkeyPatch, ca_file: Path) -> None:
        with serving(speaking([])) as tls, serving(speaking(SERVERS["imap"])) as clear:
            found = self.findings(monkeypatch, ca_file, tls=tls, clear=clear)
        assert [each.verdict for each in found] == [Verdict.GOOD, Verdict.GOOD]
        for port, each in zip((tls, clear), found, strict=True):
            assert f"port {port} " in each.message

    def test_one_is_enough(
        self, monkeypatch: pytest.MonkeyPatch, ca_file: Path, nobody: int
    ) -> None:
        with serving(speaking(SERVERS["imap"])) as clear:
            found = self.findings(monkeypatch, ca_file, tls=nobody, clear=clear)
        assert [each.verdict for each in found] == [Verdict.GOOD]

    def test_none_is_not(self, monkeypatch: pytest.MonkeyPatch, ca_file: Path, nobody: int) -> None:
        found = self.findings(monkeypatch, ca_file, tls=nobody, clear=nobody)
        assert [each.verdict for each in found] == [Verdict.BAD]
        assert "nobody answers" in found[0].message
