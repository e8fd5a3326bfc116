"""What systemd wants to know (sd_notify(3)), or nothing where it does not ask."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_VARIABLE: Final = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send assignments such as ``READY=1``. Nobody minds if systemd is not there."""
    _send(lines, [])


def keep(descriptor: int, name: str) -> None:
    """Have a descriptor kept until the service is started again, which inherits it by its name.

    :param name: at most 255 printable characters of ASCII, and no colon.
    """
    _send(("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0"), [descriptor])


def forget(name: str) -> None:
    """Have it kept no longer."""
    _send(("FDSTOREREMOVE=1", f"FDNAME={name}"), [])


def is_listened_to() -> bool:
    """Whether systemd, or who is like it, has started us and listens."""
    return os.environ.get(_VARIABLE, "")[:1] in ("/", "@")


def _send(lines: Sequence[str], descriptors: Sequence[int]) -> None:
    if not is_listened_to():
        return
    place = os.environ[_VARIABLE]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect("\0" + place[1:] if place.startswith("@") else place)
        socket.send_fds(sender, ["\n".join(lines).encode()], descriptors)


def reloading() -> None:
    """A reload begins; ``READY=1`` ends it."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify("RELOADING=1", f"MONOTONIC_USEC={now}")


def watchdog_period() -> float | None:
    """After how many seconds systemd wants to hear from us again (sd_watchdog_enabled(3))."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdecimal() and int(text) > 0 else None
