"""Connections to a directory's servers: with TLS, and over at a certain time whatever happens.

The library that speaks LDAP waits for a handshake of TLS without a limit, and reads settings of the
machine that can turn verification off. So TLS is Python's here, and the library has one end of a
pair of sockets, behind which a thread passes on what it says and hears.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit

MOST_HEARD: Final = 4 << 20
"""Octets that a server may say on one connection, unless somebody wants more."""

_PIECE: Final = 65_536
_PORTS: Final = {"ldap": 389, "ldaps": 636}

_START_TLS: Final = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
"""The request, as message 1 (RFC 4511 sections 4.12 and 4.14)."""

_MAX_ANSWER: Final = 4_096
_MESSAGE, _NUMBER, _EXTENDED_RESPONSE, _ENUMERATED = 0x30, 0x02, 0x78, 0x0A


class ChannelError(Exception):
    """There is no connection to a server, or none that is as it has to be."""


@contextmanager
def channel(
    server: str, context: ssl.SSLContext | None, deadline: float, most: int = MOST_HEARD
) -> Iterator[socket.socket]:
    """A connection to a server: a socket on which LDAP is spoken in clear, inside of the process.

    :param server: its URL.
    :param context: verifies the server; None: there is no TLS but for `ldaps`.
    :param deadline: when it is cut off, by the monotonic clock.
    :param most: octets that the server may say.
    :raises ChannelError: there is none.
    """
    with ExitStack() as stack:
        try:
            outer = stack.enter_context(_connected(server, deadline))
            watch = stack.enter_context(_Watch(deadline))
            watch.add(outer)
            if context is not None:
                outer = stack.enter_context(_with_tls(outer, server, context))
                watch.add(outer)
        except OSError as error:
            raise ChannelError(str(error)) from None
        inner, ours = map(stack.enter_context, socket.socketpair())
        watch.add(ours)
        pump = threading.Thread(target=_pass_on, args=(ours, outer, deadline, most), daemon=True)
        pump.start()
        # Run first at the end: a pump that has nothing left to pass on ends.
        stack.callback(pump.join)
        stack.callback(_shut, ours)
        yield inner


class _Watch:
    """Cuts sockets off at a time.

    :param deadline: by the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut_off)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def add(self, watched: socket.socket) -> None:
        """Watch another one."""
        self._sockets.append(watched)

    def _cut_off(self) -> None:
        for watched in list(self._sockets):
            _shut(watched)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        # Not the method of a socket with TLS, which waits for whoever uses it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _connected(server: str, deadline: float) -> socket.socket:
    parts, left = urlsplit(server), max(0.001, deadline - time.monotonic())
    if parts.scheme == "ldapi":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(left)
        connection.connect(unquote(parts.netloc))
        return connection
    place = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    return socket.create_connection(place, left)


def _with_tls(connection: socket.socket, server: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    parts = urlsplit(server)
    if parts.scheme == "ldap":
        _start_tls(connection)
    # The name is the one that the administrator has written, and nothing that was found by it.
    return context.wrap_socket(connection, server_hostname=parts.hostname)


def _start_tls(connection: socket.socket) -> None:
    """Have the server go on with TLS.

    :raises ChannelError: it does not.
    """
    connection.sendall(_START_TLS)
    # No octet more is read than there are in the answer: what follows is TLS, or nothing.
    reader = _Reader(lambda count: _exactly(connection, count))
    message = reader.content(_MESSAGE)
    inner = _Reader(_taking_from(message))
    inner.content(_NUMBER)
    response = _Reader(_taking_from(inner.content(_EXTENDED_RESPONSE)))
    if response.content(_ENUMERATED) != b"\0":
        raise ChannelError("the server does not start TLS")


class _Reader:
    """Reads BER, as far as it takes.

    :param take: gives the next so many octets.
    """

    def __init__(self, take: Callable[[int], bytes]) -> None:
        self._take = take

    def content(self, tag: int) -> bytes:
        """The content of the next element, which has to be of a kind.

        :raises ChannelError: it is not.
        """
        if self._take(1)[0] != tag:
            raise ChannelError("the server does not answer with LDAP")
        length = self._take(1)[0]
        if length & 0x80:
            length = int.from_bytes(self._take(min(length & 0x7F, 4)))
        if length > _MAX_ANSWER:
            raise ChannelError("the server's answer is too long")
        return self._take(length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        piece = connection.recv(count - len(octets))
        if not piece:
            raise ChannelError("the server has closed the connection")
        octets += piece
    return octets


def _taking_from(octets: bytes) -> Callable[[int], bytes]:
    rest = memoryview(octets)

    def take(count: int) -> bytes:
        nonlocal rest
        if len(rest) < count:
            raise ChannelError("the server's answer is cut off")
        taken, rest = bytes(rest[:count]), rest[count:]
        return taken

    return take


def _pass_on(ours: socket.socket, outer: socket.socket, deadline: float, most: int) -> None:
    """Pass on what either end says, until one has nothing more to say."""
    heard = 0
    with suppress(OSError, ValueError):
        while heard <= most:
            octets = _heard(outer)
            if octets:
                heard += len(octets)
                ours.sendall(octets)
            elif octets is not None:
                break
            elif ours in select.select([ours, outer], [], [])[0]:
                said = ours.recv(_PIECE)
                if not said:
                    break
                outer.settimeout(max(0.001, deadline - time.monotonic()))
                outer.sendall(said)
    _shut(ours)


def _heard(outer: socket.socket) -> bytes | None:
    """What there is to hear now; None for nothing, which a record of TLS may have been as well."""
    outer.settimeout(0)
    try:
        return outer.recv(_PIECE)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
