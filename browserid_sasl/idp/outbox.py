"""Mail on its way, in a folder: what one process has not handed over, the next one finds.

Each is a file that only the provider's account reads, like the signing keys beside it: a code and a
link are in it. It is gone when it was handed over, or is of no use any more. Whoever hands one over
has a lock on it, which ends with that process, however it ends; so one that was killed at the wrong
moment has it handed over twice, and never not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.private_files import make_private_folder, write_atomically
from browserid_sasl.web.refusal import RefusedError

MOST_WAITING: Final = 100
"""Mails in the folder."""

_MAX_SIZE: Final = 65_536
_UNFINISHED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail on its way.

    :param octets: what is sent, with its headers. Secret.
    :param sender: of the envelope, empty for none: a mail that comes back to nobody.
    :param recipient: of the envelope.
    :param until: s since the epoch: later, it is of no use.
    """

    octets: bytes = field(repr=False)
    sender: str
    recipient: str
    until: float

    @classmethod
    def good_for(cls, seconds: float, message: EmailMessage, sender: str, recipient: str) -> Letter:
        """A mail that is of no use after some time."""
        return cls(message.as_bytes(policy=SMTP), sender, recipient, time.time() + seconds)

    @classmethod
    def parse(cls, text: bytes) -> Letter:
        """Read what `written` has made.

        :raises ValueError: it is something else.
        """
        envelope, _, octets = text.partition(b"\n")
        sender, recipient, until = json.loads(envelope)
        if not (isinstance(sender, str) and isinstance(recipient, str)):
            raise ValueError("an address is none")
        return cls(octets, sender, recipient, float(until))

    @property
    def written(self) -> bytes:
        """As it is in a file."""
        envelope = json.dumps([self.sender, self.recipient, self.until])
        return envelope.encode() + b"\n" + self.octets


class Taken:
    """A mail that one thread has, and no other, until the end of the block.

    :param letter: the mail, None if it cannot be read.
    :param path: of its file.
    :param file: the file, with the lock on it.
    """

    def __init__(self, letter: Letter | None, path: Path, file: BinaryIO) -> None:
        self.letter = letter
        self._path = path
        self._file = file

    def __enter__(self) -> Taken:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def remove(self) -> None:
        """Have it no more."""
        self._path.unlink(missing_ok=True)


class Outbox:
    """The folder, which is made when it is needed. Safe for threads and processes.

    :param path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, letter: Letter) -> None:
        """Add a mail; it is on the disk when this returns.

        :raises RefusedError: `busy`: too many are waiting.
        :raises StoreError: it cannot be written.
        """
        self._write(letter, "")

    def _write(self, letter: Letter, prefix: str) -> Path:
        try:
            make_private_folder(self._path)
            if len(self._names()) >= MOST_WAITING:
                raise RefusedError(
                    503,
                    "busy",
                    "too many mails wait to be sent: try again in a minute",
                    Code.INTERACT_UNAVAILABLE,
                    retry_after=60,
                )
            path = self._path / f"{prefix}{time.time_ns():020}-{secrets.token_hex(8)}"
            write_atomically(path, letter.written)
            return path
        except OSError as error:
            raise StoreError(
                Code.CACHE_ERROR,
                f"a mail cannot be kept in {self._path} ({error.strerror})",
                "see that there is room, and that the folder is the provider's account's",
            ) from None

    def pretend(self, letter: Letter) -> None:
        """Do what `put` does, for a mail that is not to be sent: in the same time, and none stays.

        :raises RefusedError: see `put`.
        :raises StoreError: likewise.
        """
        self._write(letter, ".pretended-").unlink(missing_ok=True)

    def take(self) -> Taken | None:
        """The oldest mail that nobody else has, None if there is none."""
        for name in self._names():
            path = self._path / name
            try:
                file = path.open("rb")
            except OSError:
                continue
            if _is_ours(file):
                return Taken(_read(file), path, file)
            file.close()
        return None

    def tidy(self) -> None:
        """Remove what somebody has begun to write who was killed then."""
        for path in self._path.glob(".*"):
            try:
                if path.stat().st_mtime < time.time() - _UNFINISHED_S:
                    path.unlink()
            except OSError:
                continue

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._path) if not name.startswith("."))
        except OSError:
            return []


def _is_ours(file: BinaryIO) -> bool:
    """Lock a file; False if somebody else has it, or had it and is done with it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(file.fileno()).st_nlink > 0


def _read(file: BinaryIO) -> Letter | None:
    try:
        return Letter.parse(file.read(_MAX_SIZE))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
