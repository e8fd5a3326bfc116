"""Files that only their owner reads, and that are there whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from browserid_sasl.errors import Code, StoreError

PRIVATE_FILE: Final = 0o600
PUBLIC_FILE: Final = 0o644
PRIVATE_FOLDER: Final = 0o700
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


Stamp = tuple[int, ...]


def stamp(path: Path | str) -> Stamp:
    """What changes whenever a file, its owner or its mode does. The last number is a time, in ns.

    :raises OSError: it cannot be looked at.
    """
    status = os.stat(path)
    # Owner and mode can make it a file that is not to be trusted; changing them sets ctime.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamp_if_there(path: Path | str) -> Stamp | None:
    """The same; None if it cannot be looked at."""
    try:
        return stamp(path)
    except OSError:
        return None


def make_folders(path: Path) -> None:
    """Make a folder, and those above it, unless they are there; what is made is private.

    :raises OSError: one cannot be made.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def make_private_folder(path: Path) -> None:
    """Make a folder like `make_folders`; if it is there, others lose access to it.

    :raises OSError: it cannot be made, or belongs to another user.
    """
    make_folders(path)
    path.chmod(PRIVATE_FOLDER)


def require_private(path: Path, status: os.stat_result, mode: str) -> None:
    """See that a file or folder is this process's user's and nobody else's.

    :param status: of what is at `path`.
    :param mode: what it ought to have, for `chmod`.
    :raises StoreError: cache-error: others have access, or it is another user's.
    """
    if os.geteuid() not in (0, status.st_uid):
        raise StoreError(
            Code.CACHE_ERROR,
            f"{path} belongs to another user (number {status.st_uid})",
            "run this as that user, or configure a folder of your own",
        )
    if status.st_mode & _OF_OTHERS:
        raise StoreError(
            Code.CACHE_ERROR,
            f"{path} is accessible to other users (mode {stat.S_IMODE(status.st_mode):o})",
            f"run: chmod {mode} {path}",
        )


def read_private(path: Path) -> bytes:
    """What is in a file that only its owner can read.

    :raises OSError: it cannot be read.
    :raises StoreError: cache-error: others have access to it, or it is another user's.
    """
    with path.open("rb") as file:
        require_private(path, os.fstat(file.fileno()), "600")
        return file.read()


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Put a file in place at once; it is on the disk when this returns.

    :raises OSError: it cannot be written; what was there before is still there.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def create_private(path: Path) -> None:
    """Make an empty file unless there is one.

    :raises OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))


def flush_folder(path: Path) -> None:
    """Have what is in a folder, as a list of names, on the disk.

    :raises OSError: it cannot be done.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
