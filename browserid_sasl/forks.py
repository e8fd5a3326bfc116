"""State of one process, which a forked child does not inherit.

A fork copies one thread. Locks that others held are never released in the child, and what they had
under way there never ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

_State = TypeVar("_State")


class PerProcess(Generic[_State]):
    """A value that each process makes for itself when it first asks.

    :param make: makes it.
    """

    def __init__(self, make: Callable[[], _State]) -> None:
        self._make = make
        self._made = os.getpid(), make()

    def get(self) -> _State:
        """The value of this process."""
        process, state = self._made
        if process != os.getpid():
            state = self._make()
            self._made = os.getpid(), state
        return state
