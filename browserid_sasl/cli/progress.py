"""What is shown on a terminal of something that takes longer than a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_STEP_S: Final = 1.0
_ERASE: Final = "\r\x1b[K"


@contextmanager
def shown(text: str) -> Iterator[None]:
    """Say what is being done, and for how long, from the first second on, until it is done.

    It is a line on standard error, and gone afterwards. Where that is no terminal nothing is shown.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(text, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(text: str, done: threading.Event) -> None:
    begun, erase = time.monotonic(), ""
    while not done.wait(_STEP_S):
        _write(f"\r{text} ({time.monotonic() - begun:.0f} s)")
        erase = _ERASE
    _write(erase)


def _write(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone, and the work goes on
        sys.stderr.write(text)
        sys.stderr.flush()
