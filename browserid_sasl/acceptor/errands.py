"""What is asked of stores on another host, in threads: the worker cannot wait for it."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

_T = TypeVar("_T")

THREADS: Final = 8
"""So many wait for an answer at the same time; each has a connection to the stores."""


class Errands:
    """A few threads, started when they are first needed.

    What has been done is told by a socket, and then taken by the thread that asked: this class is
    not for several of those.

    :param threads: how many there are at most.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._started = 0
        self._tasks: deque[Callable[[], Callable[[], None]]] = deque()
        self._done: deque[Callable[[], None]] = deque()
        self._wake = threading.Semaphore(0)
        self.signal, self._sender = socket.socketpair()
        self.signal.setblocking(False)
        self._sender.setblocking(False)

    def run(
        self,
        work: Callable[[], _T],
        late: Callable[[], _T],
        proceed: Callable[[_T], None],
        patience: float,
    ) -> None:
        """Have something done in another thread.

        :param work: does it, and raises nothing.
        :param late: says what comes of it if no thread has begun in time.
        :param proceed: is among what `take` gives, with what came of it.
        :param patience: seconds in which a thread has to begin.
        """
        due = time.monotonic() + patience
        self._tasks.append(lambda: partial(proceed, work() if time.monotonic() < due else late()))
        if self._started < self._threads:
            self._started += 1
            # Nobody waits for them when the worker ends.
            threading.Thread(target=self._work, daemon=True).start()
        self._wake.release()

    def take(self) -> Iterator[Callable[[], None]]:
        """How to go on with what has been done since the last time."""
        with suppress(BlockingIOError):
            while self.signal.recv(4096):
                pass
        while self._done:
            yield self._done.popleft()

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            self._done.append(self._tasks.popleft()())
            # If there is no room, there are signals enough.
            with suppress(OSError):
                self._sender.send(b".")
