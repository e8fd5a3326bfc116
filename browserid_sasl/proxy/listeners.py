"""Where mail programs connect: a port of loopback and a Unix socket for each service."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from browserid_sasl.private_files import make_private_folder
from browserid_sasl.proxy.end import End
from browserid_sasl.wire.peer import peer_of

LOG_IN_S: Final = 60
"""How long a client may take to log in."""

_BACKLOG: Final = 256
_MAX_PATH: Final = 107
"""Octets of a Unix socket's path (unix(7))."""

_ADDRESSES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

Met = Callable[[End], None]


class Listeners:
    """Those of one service.

    :param port: on loopback.
    :param path: of the Unix socket; None for none.
    :param by_port: called for who comes by the port.
    :param by_path: called for who comes by the Unix socket, and is of this account.
    """

    def __init__(self, port: int, path: Path | None, by_port: Met, by_path: Met) -> None:
        self._port = port
        self._path = path
        self._by_port = by_port
        self._by_path = by_path
        self._servers: list[asyncio.Server] = []
        self.path: Path | None = None

    async def open(self) -> None:
        """Listen.

        :raises OSError: the port cannot be had.
        """
        try:
            for family, address in _ADDRESSES:
                await self._listen(_bound(family, address, self._port), self._by_port)
        except OSError:
            self.close()
            raise
        if self._path is not None and len(os.fsencode(self._path)) <= _MAX_PATH:
            with suppress(OSError):
                await self._open_path(self._path)

    async def _open_path(self, path: Path) -> None:
        make_private_folder(path.parent)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        old = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(old)
        await self._listen(listener, self._take_own)
        self.path = path

    async def _listen(self, listener: socket.socket | None, met: Met) -> None:
        if listener is not None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: End(loop.time() + LOG_IN_S, met), sock=listener, backlog=_BACKLOG
            )
            self._servers.append(server)

    def _take_own(self, end: End) -> None:
        connection = end.transport.get_extra_info("socket")
        if peer_of(connection).uid == os.geteuid():
            self._by_path(end)
        else:
            end.transport.abort()

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """A socket at a port of loopback; None where this machine has no such address.

    :raises OSError: another program has the port.
    """
    try:
        listener = socket.socket(family)
    except OSError:
        return None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return listener
