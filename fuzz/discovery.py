"""What the web servers of identity providers answer."""

from __future__ import annotations

import socket
import ssl
from typing import Final, cast

from browserid_sasl.config import DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.dialing import Deadline, Dialer
from browserid_sasl.discovery.https import BoundedStream, HttpsClient, Origin
from browserid_sasl.discovery.rooms import rooms_for_configured
from fuzz.target import Target

_DOMAIN: Final = "example.test"
_CONFIG: Final = DiscoveryConfig(max_size=4096)
_TIMEOUT: Final = 10.0
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class _Server:
    """A connection to a server that answers with certain octets, then closes it."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def settimeout(self, seconds: float) -> None:
        """Nothing is waited for."""

    def send(self, octets: bytes) -> int:
        return len(octets)

    def recv(self, most: int) -> bytes:
        octets, self._octets = self._octets[:most], self._octets[most:]
        return octets

    def close(self) -> None:
        """Nothing is open."""


class _Client(HttpsClient):
    """A client that speaks no TLS to whatever its dialer connects it with."""

    def _connect(self, origin: Origin, deadline: Deadline) -> BoundedStream:
        connection = self.dialer.connector((origin.host, origin.port), deadline.remaining())
        return BoundedStream(cast(ssl.SSLSocket, connection), deadline, origin.host, self.max_size)


class _Fetcher(HttpsFetcher):
    """Asks a server that answers with certain octets."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(_CONFIG, {})
        self._server = cast(socket.socket, _Server(octets))

    def _client(self, *, known: bool) -> HttpsClient:
        dialer = Dialer(connector=lambda address, timeout: self._server)
        return _Client(_TIMEOUT, _CONFIG.max_size, dialer, rooms_for_configured(1).documents)


def _fetch(octets: bytes) -> None:
    _Fetcher(octets).fetch(_DOMAIN, _DOMAIN)


def _post(octets: bytes) -> None:
    _Fetcher(octets).post(_DOMAIN, "/certify", b"{}")


def _answers() -> tuple[bytes, ...]:
    return (
        _OK + b"Content-Length: 2\r\n\r\n{}",
        _OK + b"Cache-Control: max-age=3600, no-cache\r\nAge: 5\r\nContent-Length: 2\r\n\r\n{}",
        _OK + b"Expires: Fri, 27 Nov 2026 10:00:00 GMT\r\nDate: Fri, 27 Nov 2026 09:00:00 GMT\r\n"
        b"\r\n{}",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nTrailer: z\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\nnothing",
    )


TARGETS: Final = (
    Target("discovery-document", _fetch, _answers),
    Target("discovery-sign-in", _post, _answers),
)
