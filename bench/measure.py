"""How everything here is measured: CPU time of this process, in turns, by medians.

What is compared runs in turns within one process, so that a machine that is busy or changes its
clock rate does the same to both; only ratios of figures of one run mean anything.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from statistics import median
from time import process_time
from typing import Final

WARM_UP: Final = 10
"""Rounds that go first without being counted."""


def in_turns(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU time of each action in ms, each called once a round.

    :param actions: what to call, by name.
    :param rounds: how often, after `WARM_UP` rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(WARM_UP):
        for action in actions.values():
            action()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, action in actions.items():
                start = process_time()
                action()
                times[name].append(process_time() - start)
    finally:
        gc.enable()
    return {name: median(values) * 1000 for name, values in times.items()}


@contextmanager
def ahead_of_others() -> Iterator[None]:
    """Have this process, and what it starts meanwhile, run before what else this machine does.

    Where that is not permitted, they run as everybody does.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def verdict(what: str, figure: str, target: str, *, met: bool) -> str:
    """A line of a table: a figure, and whether it is what it has to be."""
    return f"{what:<42} {figure:>11}   target {target}: {'met' if met else 'MISSED'}"
