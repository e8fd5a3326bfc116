"""Connections to a database that the threads of a process take turns with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a pool needs of a connection."""

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more."""

    def close(self) -> None:
        """Let go of it."""


_C = TypeVar("_C", bound=Closable)


class PoolBusyError(Exception):
    """No connection has become free in time."""


class Pool(Generic[_C]):
    """Connections that are made when they are needed, and kept for who needs one next.

    A process that was forked from this one has none of them: what one asks, the other would be
    answered.

    :param connect: makes one; what it raises is for who wanted it.
    :param size: how many there are at most at a time.
    :param patience: s to wait for one if all of them are taken.
    """

    _process: int
    _room: threading.BoundedSemaphore
    _idle: list[_C]

    def __init__(self, connect: Callable[[], _C], *, size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._begin()

    @contextmanager
    def connection(self) -> Iterator[_C]:
        """A connection for the block, which nobody else has meanwhile.

        :raises PoolBusyError: none has become free in time.
        """
        if self._process != os.getpid():
            self._begin()
        room, idle = self._room, self._idle
        if not room.acquire(timeout=self._patience):
            raise PoolBusyError
        try:
            connection = self._take(idle)
            try:
                yield connection
            finally:
                self._give_back(connection, idle)
        finally:
            room.release()

    def renew(self) -> None:
        """Use none of those again that there are now."""
        idle, self._idle = self._idle, []
        if self._process == os.getpid():
            _close_all(idle)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._room = threading.BoundedSemaphore(self._size)
        self._idle = []

    def _take(self, idle: list[_C]) -> _C:
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                break  # another thread was faster
            if not connection.closed:
                return connection
        return self._connect()

    def _give_back(self, connection: _C, idle: list[_C]) -> None:
        if not connection.closed:
            idle.append(connection)
        if idle is not self._idle:
            # Renewed meanwhile.
            _close_all(idle)


def _close_all(connections: list[_C]) -> None:
    while connections:
        try:
            connection = connections.pop()
        except IndexError:
            return  # another thread was faster
        connection.close()
