"""Where the service's words go: standard error or syslog, one line each."""

from __future__ import annotations

import os
import syslog
import time
from enum import IntEnum
from functools import lru_cache
from typing import Final, Protocol

from browserid_sasl.acceptor.failures import printable

NAME: Final = "browserid-acceptor"
_STDERR: Final = 2


class Priority(IntEnum):
    """The priorities of syslog (RFC 5424 section 6.2.1) that are used here."""

    ERROR = syslog.LOG_ERR
    WARNING = syslog.LOG_WARNING
    NOTICE = syslog.LOG_NOTICE
    INFO = syslog.LOG_INFO


class Log(Protocol):
    """Takes lines."""

    def __call__(self, priority: Priority, text: str) -> None:
        """Write a line."""


def to_stderr(priority: Priority, text: str) -> None:
    """Write a line as journald takes it, or with the time for others."""
    if "JOURNAL_STREAM" in os.environ:
        head = f"<{priority.value}>"
    else:
        head = f"{_time(int(time.time()))} {NAME}[{os.getpid()}]: "
    # One write, so that the lines of several processes do not mix; and a lost log is no reason
    # to let nobody in.
    try:
        os.write(_STDERR, f"{head}{printable(text)}\n".encode(errors="replace"))
    except OSError:
        return


@lru_cache(maxsize=1)
def _time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))


def to_syslog(priority: Priority, text: str) -> None:
    """Write a line with the facility auth."""
    syslog.syslog(priority.value, printable(text))


def open_log(where: str) -> Log:
    """The log that the option `log` names."""
    if where == "stderr":
        return to_stderr
    syslog.openlog(NAME, syslog.LOG_PID, syslog.LOG_AUTH)
    return to_syslog
