"""A log that strangers cannot flood: one line a second for one cause, with a count of the others.

A cause is a place in the code. So what clients send, and how often, decides neither how many lines
there are nor how many causes are remembered.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

Log = Literal["text", "json"]
"""How the lines of a log are written."""

_EVERY_S: Final = 1.0

_logger = logging.getLogger(__name__)

_Cause = tuple[str, str, int]


class QuietHandler(logging.StreamHandler[TextIO]):
    """Writes the first record of a cause at once, and the last of those that came within a second.

    :param stream: where to; None for standard error.
    :param log: how lines are written: as text, or each as an object of JSON.
    """

    def __init__(self, stream: TextIO | None = None, *, log: Log = "text") -> None:
        super().__init__(stream)
        plain = logging.Formatter("%(name)s: %(message)s")
        self.setFormatter(_JsonFormatter() if log == "json" else plain)
        self._causes: dict[_Cause, _Recent] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it back until the second is over. The caller has the lock."""
        cause = (record.name, record.pathname, record.lineno)
        recent = self._causes.setdefault(cause, _Recent())
        now = time.monotonic()
        if recent.held is None and now >= recent.written + _EVERY_S:
            recent.written = now
            super().emit(record)
            return
        if recent.held is None:
            self._write_later(recent)
        recent.held = record
        recent.count += 1

    def close(self) -> None:
        """Write what is held back, and no more."""
        self.acquire()
        try:
            for recent in self._causes.values():
                self._write_held(recent)
        finally:
            self.release()
        super().close()

    def _write_later(self, recent: _Recent) -> None:
        def write() -> None:
            self.acquire()
            try:
                self._write_held(recent)
            finally:
                self.release()

        timer = threading.Timer(recent.written + _EVERY_S - time.monotonic(), write)
        timer.daemon = True
        timer.start()

    def _write_held(self, recent: _Recent) -> None:
        if recent.held is None:
            return
        record = copy.copy(recent.held)
        if recent.count > 1:
            record.msg = f"{record.getMessage()} ({recent.count} times within a second)"
            record.args = None
        recent.held, recent.count, recent.written = None, 0, time.monotonic()
        super().emit(record)


def log_quietly(log: Log) -> None:
    """Have the log of this process on standard error, if it is nowhere yet.

    An error that nobody can take is a line of it, too, and no traceback: clients cause some, such
    as by a name in the TLS handshake that is not ASCII.
    """
    logging.basicConfig(handlers=[QuietHandler(log=log)])
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    source = unraisable.object
    where = getattr(source, "__qualname__", type(source).__qualname__)
    _logger.error("%s in %s, which nobody can take", unraisable.exc_type.__name__, where)


class _JsonFormatter(logging.Formatter):
    """An object on a line: `time` (UTC), `level`, `logger`, `message`, and `trace` of an error."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(members | trace)


class _Recent:
    """What was written, and is held back, of one cause."""

    __slots__ = ("count", "held", "written")

    def __init__(self) -> None:
        self.written = float("-inf")
        self.held: logging.LogRecord | None = None
        self.count = 0
