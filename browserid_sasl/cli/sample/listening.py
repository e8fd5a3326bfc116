"""Connections for the sample server: accepted in bounded number, ended in bounded time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from browserid_sasl.cli.sample.console import Console

EVERYWHERE: Final = "*"
"""Stands for all addresses of the host."""

_READ_SIZE: Final = 16384
_CLOSE_TIME: Final = 1.0
_RETRY_TIME: Final = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the server lets its clients take.

    :param connections: conversations at one time; further clients wait in the backlog.
    :param timeout: s for one conversation from its first octet to its last.
    :param grace: s that running conversations get to end after the server was told to stop.
    """

    connections: int
    timeout: float
    grace: float


class Stream:
    """A connection's two directions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS connection, where there is one."""
        connection: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return connection

    async def read(self) -> bytes:
        """What has been received, at least an octet; none when the client has closed.

        :raises OSError: the connection broke.
        """
        return await self._reader.read(_READ_SIZE)

    async def write(self, octets: bytes) -> None:
        """Send, and wait while the client takes nothing.

        :raises OSError: the connection broke.
        """
        self._writer.write(octets)
        await self._writer.drain()

    async def finish(self) -> None:
        """Say that nothing more will be sent, and for a moment ignore what still comes.

        A socket that is closed over unread input is reset, and a reset overtakes what was sent.
        """
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIME):
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                while await self._reader.read(_READ_SIZE):
                    pass

    async def close(self) -> None:
        """Close, at once if the client does not take what was sent."""
        self._writer.close()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIME):
                await self._writer.wait_closed()
        self._writer.transport.abort()


Handler = Callable[[Stream, Console], Awaitable[None]]
"""Holds the conversation on one connection. May raise OSError when the connection breaks."""


def open_listeners(
    address: str | None, port: str, backlog: int, console: Console
) -> list[socket.socket]:
    """Listen on every address `address` stands for, on the loopback interface's when None.

    :param address: a name or address, or `EVERYWHERE` for all of the host's.
    :param port: number or name of a service; 0 for any that is free.
    :raises socket.gaierror: the address or the port does not resolve.
    :returns: the sockets, none if no address could be bound; the reasons were written out.
    """
    listeners = []
    everywhere = address == EVERYWHERE
    for family, kind, protocol, _, place in socket.getaddrinfo(
        None if everywhere else address,
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE if everywhere else 0,
    ):
        console.complain(f"trying {family:d}, {kind:d}, {protocol}")
        try:
            listener = _listen(family, protocol, place, backlog)
        except OSError as error:
            console.complain(f"bind: {error.strerror}")
            continue
        host, bound = listener.getsockname()[:2]
        console.complain(f"listening on {host} port {bound}")
        listeners.append(listener)
    return listeners


def _listen(family: int, protocol: int, place: tuple[object, ...], backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Listening:
    """Accepts connections and runs a handler on each, until told to stop.

    :param handler: called for each connection, after the TLS handshake if there is one.
    :param tls: the server's TLS settings, None for plain TCP.
    """

    def __init__(
        self, handler: Handler, limits: Limits, tls: ssl.SSLContext | None, console: Console
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._tls = tls
        self._console = console
        self._slots = asyncio.Semaphore(limits.connections)
        self._conversations: set[asyncio.Task[None]] = set()
        self._accepted = 0

    async def serve(self, listeners: Sequence[socket.socket], stop: asyncio.Event) -> bool:
        """Serve until `stop` is set; then let the conversations under way end, or end them.

        :returns: whether all ended by themselves.
        """
        accepting = [asyncio.create_task(self._accept(listener)) for listener in listeners]
        await stop.wait()
        await _cancel(accepting)
        for listener in listeners:
            listener.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=self._limits.grace)
        left = set(self._conversations)
        await _cancel(left)
        return not left

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Too many open files, or a client that went away while it was waiting.
                self._console.complain(f"accept: {error.strerror}")
                await asyncio.sleep(_RETRY_TIME)
                continue
            # The place is taken after the connection: listeners that wait for clients hold none.
            try:
                await self._slots.acquire()
            except asyncio.CancelledError:
                connection.close()
                raise
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        self._accepted += 1
        console = self._console.numbered(self._accepted)
        task = asyncio.create_task(self._converse(connection, console))
        self._conversations.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._conversations.discard(task)
        self._slots.release()

    async def _converse(self, connection: socket.socket, console: Console) -> None:
        console.say("accepted new connection")
        try:
            async with asyncio.timeout(self._limits.timeout):
                await self._handle(connection, console)
        except TimeoutError:
            console.complain(f"the client took longer than {self._limits.timeout:g} s")
        except asyncio.CancelledError:
            console.complain("the server is stopping")
            raise
        except ssl.SSLError as error:
            console.complain(f"TLS: {error.reason or error}")
        except OSError as error:
            console.complain(f"connection lost: {error.strerror or error}")
        except Exception:
            # A defect of ours in one conversation is not to end the others.
            console.complain(*traceback.format_exc().splitlines())
        finally:
            console.say("closing connection")

    async def _handle(self, connection: socket.socket, console: Console) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_SIZE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._tls
        )
        stream = Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        try:
            await self._handler(stream, console)
        finally:
            await stream.close()


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
