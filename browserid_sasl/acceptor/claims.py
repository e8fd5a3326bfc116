"""Which acceptor a socket belongs to, so that no two of them take it from each other."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import Final

from browserid_sasl.acceptor.accounts import Account, acting_as
from browserid_sasl.private_files import PRIVATE_FILE, make_folders

PATIENCE: Final = 10.0
"""Seconds that an acceptor which is on its way out has for it."""

_PAUSE: Final = 0.05


def claim(folder: Path, path: str, account: Account, patience: float) -> int | None:
    """Claim a socket, by a lock on a file in the folder of the stores.

    :param path: the socket's.
    :param patience: s to wait for another acceptor to let go of it.
    :returns: a descriptor to keep open as long as the claim holds; None if another has it.
    :raises OSError: if the folder cannot be used.
    """
    name = hashlib.sha256(path.encode()).hexdigest()[:16]
    _provide(folder, account)
    with acting_as(account):
        # Not for writing: a claim is possible on a file system that is full or read-only now.
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(folder / f"acceptor-{name}.lock", flags, PRIVATE_FILE)
    if _lock(descriptor, patience):
        return descriptor
    os.close(descriptor)
    return None


def _provide(folder: Path, account: Account) -> None:
    if not folder.is_dir():
        make_folders(folder)
        if os.geteuid() == 0:
            os.chown(folder, account.uid, account.gid)


def _lock(descriptor: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        else:
            return True
