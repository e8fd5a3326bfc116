"""Fetching documents in threads, for a worker that cannot wait (see `discovery.arrivals`)."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from browserid_sasl.discovery.arrivals import Arrival, DocumentName, Fetch, fetched

MAX_WAITING: Final = 1000
"""How many documents may be asked for that no thread has begun with."""


class Lookups:
    """A few threads that fetch documents, one of each name at a time.

    They are started when they are first needed. What has arrived is told by a socket, and then
    taken by the thread that asked: this class is not for several of those.

    :param threads: how many there are at most.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = 0
        self._names: set[DocumentName] = set()
        self._tasks: deque[tuple[DocumentName, Fetch]] = deque()
        self._arrived: deque[tuple[DocumentName, Arrival]] = deque()
        self._wake = threading.Semaphore(0)
        self.signal, self._sender = socket.socketpair()
        self.signal.setblocking(False)
        self._sender.setblocking(False)

    def permit(self, threads: int) -> None:
        """Have more threads than before. Those that there are stay."""
        self._threads = threads

    def ask(self, name: DocumentName, fetch: Fetch) -> bool:
        """Have a document fetched, unless it is already being; False if there are too many.

        :param fetch: does it, in another thread.
        """
        if name in self._names:
            return True
        if len(self._tasks) >= MAX_WAITING:
            return False
        self._names.add(name)
        self._tasks.append((name, fetch))
        if self._started < self._threads:
            self._started += 1
            # Nobody waits for them when the worker ends.
            threading.Thread(target=self._work, daemon=True).start()
        self._wake.release()
        return True

    def take(self) -> Iterator[tuple[DocumentName, Arrival]]:
        """What has arrived since the last time."""
        with suppress(BlockingIOError):
            while self.signal.recv(4096):
                pass
        while self._arrived:
            name, arrival = self._arrived.popleft()
            self._names.discard(name)
            yield name, arrival

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            name, fetch = self._tasks.popleft()
            self._arrived.append((name, fetched(name, fetch)))
            # If there is no room, there are signals enough.
            with suppress(OSError):
                self._sender.send(b".")
