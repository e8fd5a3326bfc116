"""Waiting for the disk once for all logins that wait for it at the same time.

With `durability = "power"`, what was written has to be on the disk before anybody hears of it, and
SQLite waits at the end of each transaction. A worker has its store wait for nothing, and waits
itself: once for all that it has written since the last time, before it sends what it has to say.
What there is to wait for is the write-ahead log, which holds every transaction that is not in the
file yet. (Its place and its meaning are documented by SQLite, and no lock is on it.)
"""

from __future__ import annotations

import os
from pathlib import Path

from browserid_sasl.errors import Code, StoreError


def wait_for(database: Path) -> None:
    """Have all that was written to a database on the disk when this returns.

    :raises StoreError: it cannot be known to be there.
    """
    log = database.with_name(f"{database.name}-wal")
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            Code.CACHE_ERROR,
            f"{log} cannot be written to the disk: {error.strerror}",
            "see the system log for errors of the disk",
        ) from None
