"""Where connections come in: counted from the moment they are accepted, before TLS.

There may be so many in all, and so many of one client: an IPv4 address, or the /64 of an IPv6
address. A client with more is turned away at once. When all places are taken, the connection that
has waited for its client for longest gives its place up, so silent clients of many addresses do not
lock the others out either. One whose request is being answered keeps its place.

What ends a connection:

| state | ends by |
| --- | --- |
| TLS handshake | `_HANDSHAKE_S` |
| waiting for a request, or for the rest of one | `connection._REQUEST_S`; a newcomer |
| request under way | its answer |
| answer under way | `connection._TAKE_S` without any of it being taken |
| closing | `_GOODBYE_S` |
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.web.clients import Proxies, network_of, plain_address

_AT_ONCE: Final = 64
_HANDSHAKE_S: Final = 10
_GOODBYE_S: Final = 5
_PAUSE_S: Final = 0.2
_SPARE_DESCRIPTORS: Final = 2 * _AT_ONCE

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many connections there may be.

    :param total: in all.
    :param per_client: of one client.
    """

    total: int = 1000
    per_client: int = 32

    def reserve(self) -> None:
        """See that the process may have as many open files as it takes.

        :raises ConfigurationError: the system does not permit it.
        """
        needed = self.total + _SPARE_DESCRIPTORS
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < needed:
            if hard != resource.RLIM_INFINITY and hard < needed:
                raise ConfigurationError(
                    f"{self.total} connections take {needed} open files, and the system permits"
                    f" {hard}",
                    f"set `max_connections` to {max(1, hard - _SPARE_DESCRIPTORS)} at the most, or"
                    f" `LimitNOFILE={needed}` in the unit of the service",
                )
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Guest:
    """A connection's place.

    :param door: through which it came.
    :param client: the client it counts for, empty for none.
    """

    def __init__(self, door: Door, client: str) -> None:
        self._door = door
        self.client = client
        self.dismiss: Callable[[], object] = _nothing
        """Ends the connection."""

    def is_waiting(self) -> None:
        """Its client has to say something now."""
        self._door.put_last(self)

    def is_served(self) -> None:
        """Its client has said what it wants."""
        self._door.keep(self)

    def left(self) -> None:
        """It has ended."""
        self.dismiss = _nothing
        self._door.forget(self)


class Door:
    """Accepts connections on a socket.

    :param listening: the socket.
    :param context: gives the TLS context for a new connection; None: it is without TLS.
    :param protocol: makes what handles a connection. It has to call `is_waiting`, `is_served` and
        `left` of the guest, and to set its `dismiss`.
    :param capacity: how many there may be.
    :param proxies: each of them may have as many as there may be in all.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: Callable[[], ssl.SSLContext | None],
        protocol: Callable[[Guest], asyncio.Protocol],
        capacity: Capacity,
        proxies: Proxies,
    ) -> None:
        self._listening = listening
        self._context = context
        self._protocol = protocol
        self._capacity = capacity
        self._proxies = proxies
        self._guests: set[Guest] = set()
        self._waiting: dict[Guest, None] = {}
        self._of_client: Counter[str] = Counter()
        self._in_handshake: dict[asyncio.Task[None], Guest] = {}
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to accept. To be called in the event loop."""
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accept no more, and end what is in the TLS handshake."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()
        for guest in self._in_handshake.values():
            guest.dismiss()

    def put_last(self, guest: Guest) -> None:
        """Of those who wait this one has waited for the shortest time."""
        if guest in self._guests:
            self._waiting.pop(guest, None)
            self._waiting[guest] = None

    def keep(self, guest: Guest) -> None:
        """It has not to make room for others."""
        self._waiting.pop(guest, None)

    def forget(self, guest: Guest) -> None:
        """Give its place to others."""
        self._waiting.pop(guest, None)
        if guest in self._guests:
            self._guests.remove(guest)
            self._of_client[guest.client] -= 1
            if not self._of_client[guest.client]:
                # Or there would be a count for everybody who was ever here.
                del self._of_client[guest.client]

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            self._let_in(connection, plain_address(address[0]))

    def _pause(self, error: OSError) -> None:
        """Wait a moment, for example for descriptors: the socket would go on to be readable."""
        _logger.error("no connection can be accepted: %s", error.strerror)
        self._make_room()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening)
        self._retry = loop.call_later(_PAUSE_S, self.open)

    def _let_in(self, connection: socket.socket, address: str) -> None:
        client = "" if address in self._proxies else network_of(address)
        if client and self._of_client[client] >= self._capacity.per_client:
            _logger.warning("too many connections from %s: one more was closed", client)
            connection.close()
        elif len(self._guests) >= self._capacity.total and not self._make_room():
            _logger.warning("all connections are in use: one more was closed")
            connection.close()
        else:
            self._receive(connection, client)

    def _make_room(self) -> bool:
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        dismiss = oldest.dismiss
        oldest.left()
        dismiss()
        return True

    def _receive(self, connection: socket.socket, client: str) -> None:
        guest = Guest(self, client)
        self._guests.add(guest)
        self._of_client[client] += 1
        guest.is_waiting()
        connection.setblocking(False)
        # The event loop does so for its own sockets. Head and body of an answer are two parts.
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The event loop takes it as the client's leaving, wherever the handshake is.
        guest.dismiss = partial(_hang_up, connection)
        task = asyncio.get_running_loop().create_task(self._shake_hands(connection, guest))
        self._in_handshake[task] = guest
        task.add_done_callback(self._in_handshake.pop)

    async def _shake_hands(self, connection: socket.socket, guest: Guest) -> None:
        context = self._context()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(guest),
                connection,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S if context else None,
                ssl_shutdown_timeout=_GOODBYE_S if context else None,
            )
        except OSError as error:
            # What a client does in the handshake is its own business. The frames in the traceback
            # hold the exception and the connection's buffers: that would wait for the collector.
            error.__traceback__ = None
            guest.left()


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _nothing() -> None:
    pass
