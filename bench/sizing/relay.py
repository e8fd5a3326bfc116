"""A way to a database that counts what goes along it."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_AT_ONCE: Final = 65_536


class Relay:
    """Passes octets between programs and a server on 127.0.0.1.

    A round trip is one change of who speaks on a connection: something goes to the server after
    something has come from it.

    :param port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0
        self.octets = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._others: dict[socket.socket, socket.socket] = {}
        self._from_server: set[socket.socket] = set()
        self._asked: set[socket.socket] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin to pass on."""
        self._thread.start()

    def end(self) -> None:
        """Close everything."""
        self._ended = True
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join()
        for each in (*self._others, self._listener):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._connect()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._others:
                    self._pass_on(key.fileobj)

    def _connect(self) -> None:
        program, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._server))
        self._from_server.add(server)
        for one, other in ((program, server), (server, program)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            self._others[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        other = self._others[one]
        data = b""
        with suppress(OSError):
            data = one.recv(_AT_ONCE)
            other.sendall(data)
        if not data:
            self._hang_up(one, other)
            return
        self.octets += len(data)
        if one in self._from_server:
            self._asked.discard(one)
        elif other not in self._asked:
            self._asked.add(other)
            self.round_trips += 1

    def _hang_up(self, *both: socket.socket) -> None:
        for each in both:
            del self._others[each]
            self._from_server.discard(each)
            self._asked.discard(each)
            self._selector.unregister(each)
            each.close()


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """A relay to a server, until the block ends."""
    made = Relay(port)
    made.start()
    try:
        yield made
    finally:
        made.end()
