"""Folders in the home of the person who runs a program, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def in_home(find: Callable[[], Path]) -> Path | None:
    """A folder in the home of who runs the program.

    An account has none that has no entry in the system's list and no HOME, as in many a container.

    :param find: one of the functions of `platformdirs`, or `Path.home`. Where there is no home they
        raise, or return a path that is relative, and so anybody's.
    :returns: None if there is no home.
    """
    try:
        folder = find()
    except (RuntimeError, KeyError):
        return None
    return folder if folder.is_absolute() else None
