"""One end of a connection on asyncio: lines until the login, then one side of the pipe."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.stream import MAX_LINE, EndedError, LineTooLongError, TooSlowError

WINDOW: Final = 65_536
"""Octets that are held in a direction."""


class _Room(threading.local):
    """Where a thread's loop puts what has come under TLS, until that is handed on at once."""

    def __init__(self) -> None:
        self.octets = bytearray(WINDOW)
        self.view = memoryview(self.octets)


_room: Final = _Room()


def _shared_room(protocol: Any, _: int) -> memoryview:
    # asyncio has it filled and emptied in one turn: never two connections need it at a time.
    protocol._ssl_buffer, protocol._ssl_buffer_view = _room.octets, _room.view
    return _room.view


def hold_little() -> None:
    """Have all TLS connections of a loop share a window for what comes, instead of four for each.

    asyncio makes that room when a connection begins, and there may be hundreds that are idle. Less
    than a window costs more than half of the rate of large messages.
    """
    protocol: Any = asyncio.sslproto.SSLProtocol
    protocol.max_size, protocol.get_buffer = WINDOW, _shared_room


_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    # What was sent into a network that is gone: a machine that has slept, or left a VPN.
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def keep_alive(connection: socket.socket) -> None:
    """Have the kernel find out when the other end is gone without a word, within four minutes."""
    if connection.family != socket.AF_UNIX:
        for option in _KEEP_ALIVE:
            connection.setsockopt(*option)


class End(asyncio.Protocol):
    """Reads and writes; what comes is held in a window, and no more is taken.

    :param limit: the loop's time (s) by which whatever is waited for has to have come.
    :param met: called when the connection is there.
    """

    def __init__(self, limit: float, met: Callable[[End], None] | None = None) -> None:
        self.limit = limit
        self._met = met
        self._buffer = bytearray()
        self._ended = False
        self._gone = False
        # No events: each of them has half a KiB for those who wait, and who waits here is one.
        self._news: asyncio.Future[None] | None = None
        self._full: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """What it reads from and writes to."""
        assert self._transport is not None  # noqa: S101 - asyncio has called `connection_made`
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is there."""
        self.take(cast(asyncio.Transport, transport))
        if self._met is not None:
            self._met(self)

    def take(self, transport: asyncio.Transport) -> None:
        """Have this transport from now on."""
        self._transport = transport
        transport.set_write_buffer_limits(high=WINDOW)

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets have come."""
        self._buffer += data
        if len(self._buffer) > WINDOW:
            self.transport.pause_reading()
        _wake(self._news)

    def eof_received(self) -> bool:
        """asyncio's: no more will come. What is asked already is still answered."""
        self._ended = True
        _wake(self._news)
        return self.channel is None

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's: it is over."""
        self._ended = self._gone = True
        _wake(self._news)
        self.resume_writing()

    def pause_writing(self) -> None:
        """asyncio's: the other side takes nothing."""
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """asyncio's: it does again."""
        _wake(self._full)
        self._full = None

    @property
    def channel(self) -> ssl.SSLObject | None:
        """Its TLS, None without."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        return found

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    @property
    def gone(self) -> bool:
        """Whether the connection is over, and nothing can be sent either."""
        return self._gone

    async def line(self, most: int = MAX_LINE) -> bytes:
        """The next line; see `Stream.line`."""
        while (end := self._buffer.find(b"\n", 0, most + 2)) < 0:
            if len(self._buffer) > most + 1:
                raise LineTooLongError(most)
            await self._more()
        line = self._cut(end + 1)
        line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if len(line) > most:
            raise LineTooLongError(most)
        return line

    async def octets(self, count: int) -> bytes:
        """So many octets; see `Stream.octets`."""
        while len(self._buffer) < count:
            await self._more()
        return self._cut(count)

    async def skip(self, count: int) -> None:
        """Leave out so many; see `Stream.skip`."""
        while count > len(self._buffer):
            count -= len(self._buffer)
            self._buffer.clear()
            await self._more()
        self._cut(count)

    def rest(self) -> bytes:
        """What has come and was not read."""
        return self._cut(len(self._buffer))

    def put_back(self, data: bytes) -> None:
        """Have something read again, first."""
        self._buffer[:0] = data

    async def write(self, data: bytes) -> None:
        """Send; see `Stream.write`."""
        if self.transport.is_closing():
            raise EndedError
        self.transport.write(data)
        if self._full is not None:
            await self._in_time(self._full)

    async def _more(self) -> None:
        if self._ended:
            raise EndedError
        self._news = asyncio.get_running_loop().create_future()
        self.transport.resume_reading()
        await self._in_time(self._news)

    async def _in_time(self, awaited: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout_at(self.limit):
                await awaited
        except TimeoutError:
            raise TooSlowError from None

    def _cut(self, count: int) -> bytes:
        cut = bytes(self._buffer[:count])
        del self._buffer[:count]
        return cut


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class ServerEnd(End):
    """The end at a server, where TLS may begin later.

    :param context: verifies the server.
    :param host: its name.
    """

    def __init__(self, limit: float, context: ssl.SSLContext, host: str) -> None:
        super().__init__(limit)
        self._context = context
        self._host = host

    async def start_tls(self) -> None:
        """Begin TLS; see `ServerStream.start_tls`."""
        # Before a single octet of TLS: what is here now came in the clear, and would be read as if
        # the server had said it under TLS. asyncio takes the connection over without a break.
        if self._buffer:
            raise RemoteProtocolError(
                Code.BAD_CONTEXT_TOKEN,
                f"something came between the answer of {self._host} to STARTTLS and TLS: somebody"
                " may have put it there",
                "do not use this network for it",
            )
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                self.transport,
                self,
                self._context,
                server_hostname=self._host,
                ssl_handshake_timeout=seconds_left(self.limit),
            )
        except (OSError, TimeoutError) as error:
            raise no_tls(self._host, error) from None
        if secured is None:
            raise EndedError
        self.take(secured)


def seconds_left(limit: float) -> float:
    """Until a limit, by the loop's time; never none, which asyncio does not take."""
    return max(0.1, limit - asyncio.get_running_loop().time())


def no_tls(host: str, error: Exception) -> MailServerError:
    """Why TLS with a server did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailServerError(
            Code.UNTRUSTED_X509_CERT,
            f"the certificate of {host} is not good: {error.verify_message}",
            "tell the server's administrator; for an authority of your own, `ca_file` in the"
            " configuration's [discovery] section names it",
        )
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return MailServerError(
        Code.HTTP_ERROR,
        f"no TLS with {host} ({reason or 'it took too long'})",
        "try again later",
        passes=not isinstance(error, ssl.SSLError),
    )
