"""Servers that answer with anything: what comes of it is a document or an error of ours.

Never another exception, never more octets than the limit, never longer than the deadline.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from browserid_sasl.discovery import Answer, HttpsFetcher
from browserid_sasl.discovery.https import MAX_OVERHEAD, BoundedStream
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.authority import FetchedDocument
from tests.support.https import Respond, scripted_server
from tests.support.network import DOMAIN, PUBLIC, Network, fetcher
from tests.support.patience import PATIENCE

MAX_SIZE = 4096
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = OK + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = OK + JSON + b"Content-Length: 2\r\n\r\n{}"

ASK: dict[str, Callable[[HttpsFetcher], FetchedDocument | Answer]] = {
    "fetch": lambda own: own.fetch(DOMAIN, DOMAIN),
    "post": lambda own: own.post(DOMAIN, "/certify", b"{}"),
}

REFUSED = {
    "chunk of -1": CHUNKED + b"-1\r\n" + b" " * 100,
    "chunk of -2": CHUNKED + b"-2\r\n" + b" " * 100,
    "chunk of +5": CHUNKED + b"+5\r\n     \r\n0\r\n\r\n",
    "chunk of 0x10": CHUNKED + b"0x10\r\n" + b" " * 16 + b"\r\n0\r\n\r\n",
    "chunk of 1_0": CHUNKED + b"1_0\r\n" + b" " * 16 + b"\r\n0\r\n\r\n",
    "chunk of nothing": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    "chunk of a word": CHUNKED + b"five\r\n     \r\n0\r\n\r\n",
    "chunk of many digits": CHUNKED + b"f" * 5000 + b"\r\n",
    "chunk of 2**64 and more": CHUNKED + b"1" + b"0" * 17 + b"\r\n" + b" " * 10_000,
    "chunk of almost 2**80": CHUNKED + b"f" * 20 + b"\r\n" + b" " * 10_000,
    "chunk of Arabic digits": CHUNKED + "\u0662".encode() + b"\r\n{}\r\n0\r\n\r\n",
    "chunk without line end": CHUNKED + b"2",
    "chunk size without end": CHUNKED + b"2" * 200_000,
    "chunk with wrong end": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"2\r\n{}   \r\n0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "trailers without end": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 30_000,
    "one trailer without end": CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"y" * 200_000,
    "chunk extension without end": CHUNKED + b"2;x=" + b"y" * 200_000,
    "negative length": OK + JSON + b"Content-Length: -1\r\n\r\n{}",
    "signed length": OK + JSON + b"Content-Length: +2\r\n\r\n{}",
    "length of a word": OK + JSON + b"Content-Length: two\r\n\r\n{}",
    "length of many digits": OK + JSON + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "length of 19 digits": OK + JSON + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n{}",
    "two lengths": OK + JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "two lengths in one": OK + JSON + b"Content-Length: 2, 3\r\n\r\n{} ",
    "length that is too long": OK + JSON + b"Content-Length: 3\r\n\r\n{}",
    "too many octets": OK + JSON + b"Content-Length: 5000\r\n\r\n" + b" " * 5000,
    "too many octets to the end": OK + JSON + b"\r\n" + b" " * 5000,
    "gzip in transfer": OK + JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown transfer coding": OK + JSON + b"Transfer-Encoding: x\r\n\r\n{}",
    "gzip": OK + JSON + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    "two types": OK + JSON + b"Content-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
    "many headers": OK + JSON + b"X: y\r\n" * 30_000,
    "many long headers": OK + JSON + (b"X: " + b"y" * 8000 + b"\r\n") * 20 + b"\r\n{}",
    "one header without end": OK + b"X: " + b"y" * 200_000,
    "header without colon": OK + b"X\r\n" + JSON + b"\r\n{}",
    "header without name": OK + b": y\r\n" + JSON + b"\r\n{}",
    "header with NUL": OK + b"X: \0\r\n" + JSON + b"\r\n{}",
    "type with escape": OK + b"Content-Type: \x1b[2J\x9b2J\r\n\r\n{}",
    "type with a vertical tab": OK + b"Content-Type: text/\x0bhtml\r\n\r\n{}",
    "folded first header": OK + b" folded\r\n" + JSON + b"\r\n{}",
    "space before colon": OK + b"Content-Length : 2\r\n" + JSON + b"\r\n{}",
    "status of two digits": b"HTTP/1.1 20 OK\r\n" + JSON + b"\r\n{}",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n" + JSON + b"\r\n{}",
    "negative status": b"HTTP/1.1 -20 OK\r\n" + JSON + b"\r\n{}",
    "status of a word": b"HTTP/1.1 OK\r\n" + JSON + b"\r\n{}",
    "unknown version": b"HTTP/9.9 200 OK\r\n" + JSON + b"\r\n{}",
    "no version": b"HTTP/ 200 OK\r\n" + JSON + b"\r\n{}",
    "version of many digits": b"HTTP/1." + b"1" * 5000 + b" 200 OK\r\n" + JSON + b"\r\n{}",
    "HTTP/0.9": b'{"public-key": {}}',
    "ICY": b"ICY 200 OK\r\n" + JSON + b"\r\n{}",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"220 mail.example.org ESMTP\r\n",
    "octets": bytes(range(256)) * 100,
    "nothing": b"",
    "line ends": b"\r\n" * 100_000,
    "a space": b" ",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "interim answers alone": b"HTTP/1.1 100 Continue\r\n\r\n" * 10,
    "many interim answers": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5_000,
    "length with an interim answer": b"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n",
}


@contextmanager
def asking(
    ca_file: Path, certificate: trustme.LeafCert | None, respond: Respond, timeout_ms: int = 5_000
) -> Iterator[HttpsFetcher]:
    with scripted_server(certificate, respond) as server:
        network = Network(server.port, {DOMAIN: [PUBLIC]})
        yield fetcher(ca_file, network, max_size=MAX_SIZE, timeout_ms=timeout_ms)


def send(octets: bytes) -> Respond:
    return lambda connection: connection.sendall(octets)


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_not_an_answer_is_refused(
    ca_file: Path, certificate: trustme.LeafCert, shape: str, ask: str
) -> None:
    with (
        asking(ca_file, certificate, send(REFUSED[shape])) as own,
        pytest.raises(DiscoveryError) as raised,
    ):
        ASK[ask](own)
    assert raised.value.code is Code.HTTP_ERROR
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "octets",
    [
        GOOD,
        GOOD + b"HTTP/1.1 200 OK\r\n\r\nand more",
        CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nX: y\r\n\r\n",
        OK + JSON + b"\r\n{}",
        b"HTTP/1.0 200 OK\r\n" + JSON + b"\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + GOOD,
    ],
)
@pytest.mark.parametrize("ask", ASK)
def test_an_answer_is_taken_in_every_form_that_http_has(
    ca_file: Path, certificate: trustme.LeafCert, octets: bytes, ask: str
) -> None:
    with asking(ca_file, certificate, send(octets)) as own:
        assert ASK[ask](own).body == b"{}"


def test_an_answer_that_ends_anywhere_is_refused(
    ca_file: Path, certificate: trustme.LeafCert
) -> None:
    lengths = iter(range(len(GOOD)))
    with asking(ca_file, certificate, lambda peer: peer.sendall(GOOD[: next(lengths)])) as own:
        for _ in range(len(GOOD)):
            with pytest.raises(DiscoveryError):
                own.fetch(DOMAIN, DOMAIN)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    octets=st.lists(
        st.sampled_from(
            [OK, JSON, CHUNKED, GOOD, b"\r\n", b"0\r\n\r\n", b"2\r\n{}\r\n", b"-1\r\n", b"{}"]
        )
        | st.binary(max_size=20),
        max_size=8,
    ).map(b"".join)
)
def test_any_octets_give_a_document_or_an_error_of_ours(
    ca_file: Path, certificate: trustme.LeafCert, octets: bytes
) -> None:
    with asking(ca_file, certificate, send(octets)) as own:
        for ask in ASK.values():
            with suppress(DiscoveryError):
                assert len(ask(own).body) <= MAX_SIZE


FLOODS = {
    "body": (OK + JSON + b"\r\n", b" " * 4096),
    "chunk": (CHUNKED + b"f" * 12 + b"\r\n", b" " * 4096),
    "chunks": (CHUNKED, b"1\r\n \r\n" * 1000),
    "chunk of -1": (CHUNKED + b"-1\r\n", b" " * 4096),
    "headers": (OK, b"X: y\r\n" * 1000),
    "header": (OK + b"X: ", b"y" * 4096),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200),
    "empty lines": (b"", b"\r\n" * 2000),
}


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("flood", FLOODS)
def test_no_more_is_read_of_a_flood_than_the_limit(
    ca_file: Path,
    certificate: trustme.LeafCert,
    monkeypatch: pytest.MonkeyPatch,
    flood: str,
    ask: str,
) -> None:
    begin, more = FLOODS[flood]
    received = []

    def respond(connection: ssl.SSLSocket) -> None:
        connection.sendall(begin)
        for _ in range(20_000):
            connection.sendall(more)

    read = BoundedStream.read

    def counting(stream: BoundedStream, *arguments: Any, **named: Any) -> bytes:
        octets = read(stream, *arguments, **named)
        received.append(len(octets))
        return octets

    monkeypatch.setattr(BoundedStream, "read", counting)
    with (
        asking(ca_file, certificate, respond) as own,
        pytest.raises(DiscoveryError, match=r"sent more than|broke off \(RemoteProtocolError\)"),
    ):
        ASK[ask](own)
    assert 0 < sum(received) <= MAX_SIZE + MAX_OVERHEAD


GARBAGE = {
    "nothing": b"",
    "octets": bytes(range(256)) * 100,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "record that is too long": b"\x16\x03\x03\xff\xff" + b"\0" * 70_000,
    "half a record": b"\x16\x03\x03\x00\x50\x02\x00",
    "SSL 2": b"\x80\x2e\x01\x00\x02",
}


@contextmanager
def raw_server(octets: bytes) -> Iterator[int]:
    """Answers whatever comes with these octets, without TLS."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    connection.sendall(octets)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("garbage", GARBAGE)
def test_something_else_than_tls_is_refused(ca_file: Path, garbage: str) -> None:
    with (
        raw_server(GARBAGE[garbage]) as port,
        pytest.raises(DiscoveryError) as raised,
    ):
        fetcher(ca_file, Network(port, {DOMAIN: [PUBLIC]})).fetch(DOMAIN, DOMAIN)
    assert raised.value.code is Code.HTTP_ERROR


def test_a_server_that_does_not_read_wastes_no_more_than_the_time(
    ca_file: Path, certificate: trustme.LeafCert
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    released = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True):
            released.wait(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        own = fetcher(
            ca_file, Network(listening.getsockname()[1], {DOMAIN: [PUBLIC]}), timeout_ms=600
        )
        with pytest.raises(DiscoveryError, match=r"did not answer within 0\.6 s"):
            own.post(DOMAIN, "/certify", b" " * 50_000_000)
        released.set()
        thread.join()


def test_no_connection_stays_open(ca_file: Path, certificate: trustme.LeafCert) -> None:
    opened = []
    with scripted_server(certificate, send(b"nonsense\r\n\r\n")) as server:
        network = Network(server.port, {DOMAIN: [PUBLIC]})

        class Watched(Network):
            def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
                connection = super().connect(address, timeout)
                opened.append(connection.fileno())
                return connection

        network = Watched(server.port, {DOMAIN: [PUBLIC]})
        for _ in range(30):
            with pytest.raises(DiscoveryError):
                fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
    assert len(set(opened)) < 5
