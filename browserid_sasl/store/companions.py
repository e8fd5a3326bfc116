"""The files beside a database, and what they say of what has become of it.

``-wal`` and ``-shm`` are SQLite's log and the index of the log. The last process that closes the
database writes the log into it and removes both. Where processes have died, both stay, and the
index says how much of the log was written (https://sqlite.org/walformat.html, section 2): if less
is there when it is read again, something that was written is lost.

``-made`` says that there was a database once: without it, one that was deleted would look like one
that has yet to be made. ``-lost`` says that something was found to be lost, which shows once.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

LOG: Final = "-wal"
INDEX: Final = "-shm"
MADE: Final = "-made"
LOST: Final = "-lost"

#: Of the index: two copies of its header, then how many frames are in the database already.
_HEADER_SIZE: Final = 48
_HEADER: Final = struct.Struct("=12x?3xI")
_IN_DATABASE: Final = struct.Struct("=96xI")

#: Whoever has the database open holds a lock on this octet of the index.
_IN_USE: Final = 128


def beside(path: Path, suffix: str) -> Path:
    """The companion of a database with this suffix."""
    return path.with_name(path.name + suffix)


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until no other process is opening a database in this folder.

    :raises OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def frames_left(path: Path) -> int:
    """How long the log of a database has to be that its last users left without closing it.

    Call it in one's `turn`, and in no process that has the database open: closing the index drops
    the locks on it that the process has.

    :returns: frames; 0 if the database has all that is in the log, or somebody has it open.
    :raises OSError: the index cannot be read.
    """
    try:
        descriptor = os.open(beside(path, INDEX), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        with suppress(BlockingIOError, PermissionError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _IN_USE)
            return _frames_not_in_database(os.read(descriptor, _IN_DATABASE.size))
        return 0
    finally:
        os.close(descriptor)


def _frames_not_in_database(index: bytes) -> int:
    if len(index) < _IN_DATABASE.size:
        return 0
    header, copy = index[:_HEADER_SIZE], index[_HEADER_SIZE : 2 * _HEADER_SIZE]
    begun, frames = _HEADER.unpack_from(header)
    (done,) = _IN_DATABASE.unpack_from(index)
    # A process that died while it wrote the header leaves copies that differ: it had told nobody
    # yet that its frames were written.
    return frames if begun and header == copy and frames > done else 0
