"""The sample client's connection: blocking, with a time limit for all of it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Final, TypeVar

from browserid_sasl.cli.sample.framing import FrameReader, encode_string

T = TypeVar("T")

_READ_SIZE: Final = 16384


class SampleConnection:
    """A connection to a sample server.

    :param stream: connected socket; closed with this object.
    :param timeout: s that everything from now on may take together.
    """

    def __init__(self, stream: socket.socket, timeout: float) -> None:
        self._stream = stream
        self._end = time.monotonic() + timeout
        self._frames = FrameReader()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """The TLS connection, None on plain TCP."""
        return self._stream if isinstance(self._stream, ssl.SSLSocket) else None

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Change to TLS, the server proving to be `host`.

        :raises OSError: it did not, or the connection broke.
        """
        self._limit()
        self._stream = context.wrap_socket(self._stream, server_hostname=host)

    def send(self, *strings: bytes) -> None:
        """Send strings.

        :raises LocalProtocolError: one is too long.
        :raises OSError: the connection broke, or the time is up.
        """
        self._limit()
        self._stream.sendall(b"".join(map(encode_string, strings)))

    def receive(self, read: Callable[[FrameReader], T | None]) -> T:
        """Wait for a string or a reply.

        :param read: a reading method of `FrameReader`.
        :raises RemoteProtocolError: as `read` does.
        :raises OSError: the connection broke, or the time is up.
        """
        while (item := read(self._frames)) is None:
            self._limit()
            self._frames.feed(self._stream.recv(_READ_SIZE))
        return item

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def _limit(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._stream.settimeout(left)


def connect(host: str, port: str, timeout: float) -> SampleConnection:
    """Connect to the first of a host's addresses that answers.

    :param port: number or name of a service.
    :param timeout: s for each address, and for the connection as a whole.
    :raises socket.gaierror: host or port does not resolve.
    :raises OSError: no address answers; the last one's reason.
    """
    problem: OSError | None = None
    for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            stream = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            stream.settimeout(timeout)
            stream.connect(place)
        except OSError as error:
            stream.close()
            problem = error
            continue
        return SampleConnection(stream, timeout)
    raise problem or OSError("no address")
