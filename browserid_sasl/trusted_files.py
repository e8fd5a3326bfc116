"""Files that a program obeys: read whole, and only if nobody else can have written them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from browserid_sasl.errors import ConfigurationError


def read_trusted(file: Path, what: str, max_size: int) -> bytes:
    """The content of a file.

    :param what: what it is, for messages, for example "the configuration file".
    :param max_size: octets it may have.
    :raises FileNotFoundError: if it does not exist.
    :raises NotADirectoryError: likewise.
    :raises ConfigurationError: if it cannot be read, is too large or is not to be trusted.
    """
    try:
        with open(file, "rb", opener=_open_without_waiting) as stream:
            _check_trust(file, what, os.fstat(stream.fileno()))
            data = stream.read(max_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        raise unreadable(file, what, error) from None
    if len(data) > max_size:
        raise ConfigurationError(
            f"{what} is too large",
            f"its limit is {max_size} octets; is it the right file?",
            file=str(file),
        )
    return data


def unreadable(file: Path, what: str, error: Exception) -> ConfigurationError:
    """The error to raise for a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) else "its path is not valid"
    return ConfigurationError(
        f"{what} cannot be read: {reason}",
        "make it readable for the account this program runs as, or name another file",
        file=str(file),
    )


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe would keep an ordinary open() waiting for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _check_trust(file: Path, what: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(
            f"{what} is not an ordinary file", "name a text file", file=str(file)
        )
    if os.geteuid() != 0:
        return
    if status.st_uid != 0:
        raise ConfigurationError(
            f"{what} is read as root but belongs to another account",
            f"chown root {file}",
            file=str(file),
        )
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != 0
    if by_group or status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"{what} is read as root but others can write to it",
            f"chmod go-w {file}",
            file=str(file),
        )
