"""What processes have used of the processors, and what goes to a database and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


def thread_times(pids: Iterable[int]) -> dict[int, float]:
    """CPU ms of each thread of processes, by its number. A process's first has the process's."""
    times: dict[int, float] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for each in Path(f"/proc/{pid}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    times[int(each.name)] = int((each / "schedstat").read_text().split()[0]) / 1e6
    return times


@dataclass(frozen=True, slots=True)
class Reading:
    """What has been used so far.

    :param loop: CPU ms of the acceptors' loops.
    :param threads: CPU ms of their further threads.
    :param store: CPU ms of the database's processes.
    :param round_trips: to the database.
    :param octets: to it and from it.
    """

    loop: float = 0.0
    threads: float = 0.0
    store: float = 0.0
    round_trips: float = 0.0
    octets: float = 0.0

    def __sub__(self, other: Reading) -> Reading:
        return self._with_each(other, lambda one, two: one - two)

    def __add__(self, other: Reading) -> Reading:
        return self._with_each(other, lambda one, two: one + two)

    def times(self, factor: float) -> Reading:
        """So many times that."""
        return self._with_each(self, lambda one, _: one * factor)

    def over(self, count: int) -> Reading:
        """The share of each of so many."""
        return self.times(1 / count)

    @classmethod
    def median(cls, those: Sequence[Reading]) -> Reading:
        """Of each the median."""
        return cls(*map(median, zip(*(each._values() for each in those), strict=True)))

    @property
    def acceptor(self) -> float:
        """CPU ms of the acceptors."""
        return self.loop + self.threads

    def _with_each(self, other: Reading, join: Callable[[float, float], float]) -> Reading:
        pairs = zip(self._values(), other._values(), strict=True)
        return Reading(*itertools.starmap(join, pairs))

    def _values(self) -> tuple[float, ...]:
        return self.loop, self.threads, self.store, self.round_trips, self.octets


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads what acceptors and their database have used.

    :param workers: the acceptors' processes.
    :param store_pids: gives those of the database.
    :param traffic: gives the round trips and the octets so far.
    """

    workers: Sequence[int]
    store_pids: Callable[[], Iterable[int]]
    traffic: Callable[[], tuple[float, float]]

    def read(self) -> Reading:
        """What has been used so far."""
        times = thread_times(self.workers)
        loop = sum(times.get(pid, 0.0) for pid in self.workers)
        store = sum(thread_times(self.store_pids()).values())
        return Reading(loop, sum(times.values()) - loop, store, *self.traffic())


def nothing() -> tuple[float, float]:
    """The traffic of who has no database to ask."""
    return 0.0, 0.0


def redis_pids(clients: Sequence[Any]) -> list[int]:
    """The processes of Redis servers."""
    return [int(client.info("server")["process_id"]) for client in clients]


def redis_traffic(clients: Sequence[Any]) -> tuple[float, float]:
    """What Redis servers count, without what it takes to ask them."""
    told = [client.info("stats") for client in clients]
    octets = sum(each["total_net_input_bytes"] + each["total_net_output_bytes"] for each in told)
    return float(sum(each["total_reads_processed"] for each in told)), float(octets)
