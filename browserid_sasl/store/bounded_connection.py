"""Connections to PostgreSQL (psycopg) that wait for no answer without a bound."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg

_LOOK_EVERY_S: Final = 0.1

_T = TypeVar("_T")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that ends when its server, or the way to it, has fallen silent.

    The server's own limits are of no use then, and those of TCP neither, as long as its kernel
    takes what is sent.
    """

    patience = math.inf
    """How long (s) an answer may take."""

    @classmethod
    def within(cls, patience: float, *arguments: Any, **parameters: Any) -> BoundedConnection:
        """A new one; see `psycopg.Connection.connect`, which bounds connecting by itself.

        :param patience: s for each answer.
        """
        connection = cls.connect(*arguments, **parameters)
        connection.patience = patience
        return connection

    def wait(
        self,
        gen: Generator[Any, Any, _T],
        interval: float = _LOOK_EVERY_S,
        timeout: float | None = None,
    ) -> _T:
        """Wait for what a generator of psycopg's waits for."""
        # Its older releases do not know a timeout, and ask for none.
        if timeout is None:
            return super().wait(self._within(gen), interval)
        return super().wait(self._within(gen), interval, timeout)

    def _within(self, steps: Generator[Any, Any, _T]) -> Generator[Any, Any, _T]:
        end = time.monotonic() + self.patience
        try:
            state = next(steps)
            while True:
                # Resumed with nothing at each interval.
                ready = yield state
                if not ready and time.monotonic() >= end:
                    # What it says later on is the answer to no question.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer for {self.patience:g} s")
                state = steps.send(ready) or state
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
