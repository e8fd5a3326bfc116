"""What waits for what: a simulation by events, of processors and of servers in turn.

Times are ms. Nothing here is random: who makes arrivals draws them from a generator with a seed,
and what happens at the same time happens in the order in which it was planned.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from functools import partial

Then = Callable[[], None]


class Simulation:
    """A clock, and what is to happen by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._plans: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()

    def at(self, time: float, then: Then) -> None:
        """Have something happen at a time that is not past."""
        heapq.heappush(self._plans, (time, next(self._numbers), then))

    def after(self, delay: float, then: Then) -> None:
        """Have something happen later."""
        self.at(self.now + delay, then)

    def run(self) -> None:
        """Have everything happen, until nothing is planned any more."""
        while self._plans:
            self.now, _, then = heapq.heappop(self._plans)
            then()


class Cores:
    """Processors: what is ready waits for the first that is free, and runs to its end.

    A scheduler that shares them evenly does the same to what is as short as its turns are.

    :param count: of processors.
    """

    def __init__(self, simulation: Simulation, count: int) -> None:
        self._simulation = simulation
        self._free = count
        self._between = 0
        self._waiting: deque[tuple[float, Then]] = deque()

    def run(self, work: float, then: Then, *, woken: float = 0.0) -> None:
        """Have so much CPU time spent.

        :param woken: ms more if a processor that had nothing to do has to be woken for it.
        """
        idle = self._free > self._between
        self._waiting.append((work + (woken if idle else 0.0), then))
        self._next()

    def take(self, time: float) -> None:
        """Have the next processor that is free be others' for so long."""
        self._waiting.appendleft((time, lambda: None))
        self._next()

    def _next(self) -> None:
        if self._free and self._waiting:
            self._free -= 1
            work, then = self._waiting.popleft()
            self._simulation.after(work, partial(self._done, then))

    def _done(self, then: Then) -> None:
        self._free += 1
        # What follows from it at once finds a processor that is awake.
        self._between += 1
        then()
        self._between -= 1
        self._next()


class Server:
    """A process that does one thing after the other, as Redis does.

    :param cores: what it runs on.
    :param count: how many of it there are, with one queue.
    """

    def __init__(self, cores: Cores, count: int = 1) -> None:
        self._cores = cores
        self._free = count
        self._waiting: deque[tuple[float, float, Then]] = deque()

    def serve(self, work: float, then: Then, *, woken: float = 0.0) -> None:
        """Have something done that takes so much CPU time.

        :param woken: see `Cores.run`.
        """
        self._waiting.append((work, woken, then))
        self._next()

    def _next(self) -> None:
        if self._free and self._waiting:
            self._free -= 1
            work, woken, then = self._waiting.popleft()
            self._cores.run(work, partial(self._done, then), woken=woken)

    def _done(self, then: Then) -> None:
        self._free += 1
        self._next()
        then()


class Lock:
    """An interpreter's lock: one thread runs, and leaves it to another when it waits for something.

    :param simulation: whose clock says for how long somebody has waited.
    :param patience: ms after which who waits has it taken from who runs (`sys.getswitchinterval`).
    """

    def __init__(self, simulation: Simulation, patience: float) -> None:
        self._simulation = simulation
        self._patience = patience
        self._taken = False
        self._waiting: deque[tuple[float, Then]] = deque()

    def acquire(self, then: Then) -> None:
        """Go on when it is ours."""
        if self._taken:
            self._waiting.append((self._simulation.now, then))
        else:
            self._taken = True
            then()

    def release(self) -> None:
        """Leave it to the next."""
        if self._waiting:
            self._waiting.popleft()[1]()
        else:
            self._taken = False

    def is_demanded(self) -> bool:
        """Whether somebody has lost patience."""
        return bool(self._waiting) and (
            self._simulation.now - self._waiting[0][0] >= self._patience
        )
