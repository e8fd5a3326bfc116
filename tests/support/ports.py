"""TCP ports of the loopback interface for programs that have to be told theirs."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_CHOICE: Final = range(12_000, 32_000)
"""Below those that the system gives to whoever asks for any, connections that go out included."""

_TAKEN: Final = ExitStack()
"""What this process has been given, held until its end."""


def free_port(*further: int) -> int:
    """A port that nobody listens on, and that no other process of the tests is given meanwhile.

    :param further: how far above it are ports of which the same has to hold.
    """
    for port in random.sample(_CHOICE, len(_CHOICE)):
        if all(_is_ours(port + each) for each in (0, *further)):
            return port
    raise AssertionError("no port is free")


def _is_ours(port: int) -> bool:
    return port in _CHOICE and _is_free(port) and _take(port)


def _is_free(port: int) -> bool:
    try:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as listener:
                listener.bind((address, port))
    except OSError:
        return False
    return True


def _take(port: int) -> bool:
    """Have a name in the system that only one process can have, and nobody after its end."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0browserid-tests-port-{port}")
    except OSError:
        mark.close()
        return False
    _TAKEN.enter_context(mark)
    return True


def listens(port: int) -> bool:
    """Whether somebody listens on a port, found out without calling."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return f"{port:04X}" in {address.rpartition(":")[2] for address in addresses}
