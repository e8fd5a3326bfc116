"""Running a function in a process of its own that shares nothing but what a fork inherits."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def in_child(
    function: Callable[[], str], user: int | None = None, *, fork: Callable[[], int] = os.fork
) -> str:
    """What a function returns in a child process.

    :param function: to call; what it raises is returned as text.
    :param user: number of the user to become first, the group likewise.
    :param fork: how to fork.
    """
    readable, writable = os.pipe()
    child = fork()
    if child == 0:
        _report(function, user, writable)
    os.close(writable)
    with open(readable, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def _report(function: Callable[[], str], user: int | None, descriptor: int) -> None:
    try:
        if user is not None:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        text = function()
    except BaseException:
        text = traceback.format_exc()
    with open(descriptor, "w", encoding="utf-8") as pipe:
        pipe.write(text)
    sys.stdout.flush()
    os._exit(0)
