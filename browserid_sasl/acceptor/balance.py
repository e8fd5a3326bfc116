"""How many connections each worker has, for all of them to see.

Connections live long, and the loop that wakes first would take all of those that come together.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

_COUNT: Final = struct.Struct("i")
_NOBODY: Final = -1


class Board:
    """Memory that processes share across forks, with a number for each worker.

    :param workers: how many there can be.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _COUNT.size)
        for number in range(workers):
            self.put(number, _NOBODY)

    def put(self, number: int, count: int) -> None:
        """Write a worker's number."""
        _COUNT.pack_into(self._memory, number * _COUNT.size, count)

    def gone(self, number: int) -> None:
        """A worker is no more."""
        self.put(number, _NOBODY)

    def counts(self) -> list[int]:
        """The numbers of those who work."""
        return [count for (count,) in _COUNT.iter_unpack(self._memory) if count != _NOBODY]


class Balance:
    """A worker's place on the board.

    :param board: the board.
    :param number: which one it is.
    """

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self._count = 0
        self.set(0)

    def set(self, count: int) -> None:
        """Write how many connections there are."""
        self._count = count
        self._board.put(self._number, count)

    def has_less_elsewhere(self) -> bool:
        """Whether another worker has fewer."""
        return min(self._board.counts()) < self._count
