"""Lines that strangers can cause: as many as somebody can read, however many there are.

A minute has so many of them and no more, and the next line says how many there would have been.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from browserid_sasl.store.base import system_clock

MOST_TOLD: Final = 10
"""Lines of a minute in the log on standard error, of one that tells."""

_MINUTE_MS: Final = 60_000


class Ration:
    """How many lines there may be. Safe for threads.

    :param most: of a minute.
    :param most_of_one: of those, from one that causes them.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._minute = -1
        self._written: Counter[str] = Counter()
        self._left_out = 0

    def admit(self, whose: str, now: int) -> int | None:
        """How many were left out since the last line, None if this is another one.

        :param whose: who causes it.
        :param now: ms.
        """
        with self._lock:
            if self._minute != now // _MINUTE_MS:
                self._minute = now // _MINUTE_MS
                self._written.clear()
            if self._written.total() >= self._most or self._written[whose] >= self._most_of_one:
                self._left_out += 1
                return None
            self._written[whose] += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class Told:
    """What the log on standard error is told, `MOST_TOLD` times a minute. Safe for threads.

    :param logger: which log it is.
    :param clock: ms.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], int] = system_clock) -> None:
        self._logger = logger
        self._clock = clock
        self._ration = Ration(MOST_TOLD, MOST_TOLD)

    def tell(self, level: int, message: str, *values: object) -> None:
        """Write a line, if there may be one more.

        :param level: see `logging`.
        :param message: with places for the values, as there.
        """
        left_out = self._ration.admit("", self._clock())
        if left_out is not None:
            before = f" ({left_out} more were left out before)" if left_out else ""
            self._logger.log(level, message + "%s", *values, before)
