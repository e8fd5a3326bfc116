"""Files that a program obeys: read whole, and only if nobody else can have written them.

They have to belong to root or to the account that reads them. Whoever else can write to one decides
who logs in, or whom a client believes. A link counts as what it leads to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from browserid_sasl.errors import ConfigurationError

MOST_ANCHORS: Final = 16 << 20
"""Octets of a file of trust anchors at the most."""

_ROOT: Final = 0
_BEGIN: Final = b"-----BEGIN "


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
            status = os.fstat(stream.fileno())
            _check_kind(file, what, status)
            # Of what was opened, not of the path: that may lead elsewhere by now.
            require_trusted(file, what, status)
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


def read_anchors(file: Path) -> str:
    """The trust anchors in a PEM file, as `ssl` takes them.

    :raises ConfigurationError: if it cannot be read, is too large or is not to be trusted, or if
        there are none in it.
    """
    what = "the file of trust anchors"
    try:
        data = read_trusted(file, what, MOST_ANCHORS)
    except OSError as error:
        raise unreadable(file, what, error) from None
    if _BEGIN not in data:
        # `ssl` would take the system's in place of none.
        raise ConfigurationError(
            f"there is no certificate in {what}", "name a PEM file", file=str(file)
        )
    # Between the certificates may stand anything, which `ssl` wants to be ASCII.
    return data.decode("ascii", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")


def unreadable(file: Path, what: str, error: Exception) -> ConfigurationError:
    """The error to raise for a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) else "its path is not valid"
    return ConfigurationError(
        f"{what} cannot be read: {reason}",
        "make it readable for the account this program runs as, or name another file",
        file=str(file),
    )


def require_trusted(file: Path, what: str, status: os.stat_result) -> None:
    """See that nobody but root and this process's account can write to a file or folder.

    :param what: what it is, for messages.
    :param status: of the file.
    :raises ConfigurationError: it is another account's, or others can write to it.
    """
    if status.st_uid not in (_ROOT, os.geteuid()):
        raise ConfigurationError(
            f"{what} belongs to another account (number {status.st_uid}), which could change it",
            f"chown root {file}",
            file=str(file),
        )
    # Many systems give each person a group of their own, and let it write.
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in (_ROOT, os.getegid())
    if by_group or status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"others can write to {what}", f"chmod go-w {file}", file=str(file)
        )


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe would keep an ordinary open() waiting for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _check_kind(file: Path, what: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(
            f"{what} is not an ordinary file", "name a text file", file=str(file)
        )
