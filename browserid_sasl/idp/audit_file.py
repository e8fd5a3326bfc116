"""The file of an audit log: lines that are added, whatever becomes of the database.

The file is opened for each line: after a log rotation the next line goes to the new file. A line is
there whole or not at all, on a full disk too, and begins where another has ended: writers wait for
each other, and take back what they cannot complete.
"""

from __future__ import annotations

import errno
import fcntl
import os
from io import FileIO
from pathlib import Path

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.private_files import PRIVATE_FILE


class AuditFile:
    """Appends to a file. Safe for threads and processes.

    :param path: of the file, which is made readable for its owner only if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: bytes) -> None:
        """Append a line.

        :param line: without its end.
        :raises StoreError: cache-error: it was not written.
        """
        try:
            with open(self._path, "r+b", buffering=0, opener=_open_or_make) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _append(file, line + b"\n")
        except OSError as error:
            raise self._failed(error.strerror) from None

    def _failed(self, why: str | None) -> StoreError:
        return StoreError(
            Code.CACHE_ERROR,
            f"the audit log {self._path} cannot be written ({why})",
            "nothing is certified that cannot be recorded",
        )


def _open_or_make(path: str, _flags: int) -> int:
    # Not through a link: somebody else's file is not added to.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, PRIVATE_FILE)


def _append(file: FileIO, line: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    # The start of a line whose writer was killed is nobody's line, and does not become part of one.
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        line = b"\n" + line
    try:
        written = file.write(line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise
