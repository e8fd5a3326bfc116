"""Whether two things take the same time, on a machine that has other things to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median


def ratio_of_times(
    first: Iterable[Callable[[], object]], second: Iterable[Callable[[], object]]
) -> float:
    """How much longer the first ones take than the second: medians of both, done in turns.

    What is slow for a while slows neighbours down alike, and what is slow once is no median.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for pair in zip(first, second, strict=True):
        for action, taken in zip(pair, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return median(times[0]) / median(times[1])
