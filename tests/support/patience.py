"""Waiting for what is to happen, on a machine that may be busy with a lot else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60.0
"""Seconds until something that ought to happen is given up: only tests that fail take so long."""


def wait_until(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    """Wait for something to come true.

    :param what: is waited for, in words.
    :param timeout: s.
    """
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)
