"""Files that only their owner reads, and that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from browserid_sasl.errors import Code, ConfigurationError, StoreError

PRIVATE_FILE: Final = 0o600
PUBLIC_FILE: Final = 0o644
PRIVATE_FOLDER: Final = 0o700
MOST_OF_SECRET: Final = 1024
"""Characters of a password or the like in a file."""

_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST: Final = 16 << 20


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

    :raises OSError: it cannot be read, is no ordinary file, or is too large.
    :raises StoreError: cache-error: others have access to it, or it is another user's.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        require_private(path, status, "600")
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise OSError(errno.EFBIG, f"it has more than {_MOST} octets")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file, also a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_secret(
    path: Path, what: str, error: Callable[[str, str], ConfigurationError] = ConfigurationError
) -> str:
    """A password or the like, which a configuration names the file of: a line, and nothing else.

    :param what: what it is, for messages, such as "the password of the shared store".
    :param error: makes an error of a message and a remedy.
    :raises ConfigurationError: it cannot be read, others have access to it, or it is none.
    """
    try:
        text = read_private(path).decode()
    except StoreError as refused:
        raise error(refused.message, refused.remedy) from None
    except (OSError, UnicodeDecodeError) as failed:
        reason = failed.strerror if isinstance(failed, OSError) else "it is no text"
        raise error(
            f"{what} cannot be read from {path}: {reason}",
            "see that the account that runs this owns it, with mode 600",
        ) from None
    line = text.removesuffix("\n").removesuffix("\r")
    # Spaces at an end are seen by nobody who looks for what is wrong with it.
    if not 0 < len(line) <= MOST_OF_SECRET or not line.isprintable() or line != line.strip():
        raise error(
            f"{what} is not in {path}",
            f"write it there, in one line of at most {MOST_OF_SECRET} printable characters, with"
            " nothing before or after it",
        )
    return line


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
