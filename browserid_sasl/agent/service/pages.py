"""At most one page is open for a person, and pages that nobody answers become rare.

A program that polls would open a page each time it finds that it cannot log in. Who holds the lock
on one file has a page open, in whatever process of this person's. The file says how many pages in
a row nobody has answered that were opened without anybody asking for them; a sign-in makes it none.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from browserid_sasl.private_files import PRIVATE_FILE, make_folders

FILE: Final = "page"

_HOUR_MS: Final = 3_600_000
_PAUSES_MS: Final = (0, _HOUR_MS, 12 * _HOUR_MS)
"""How long after the last page the next one is opened, by how many nobody has answered. After as
many as there are here none is, until somebody signs in."""

_MAX_SIZE: Final = 1_024


class Pages:
    """The pages of one person.

    :param folder: of their store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock: int | None = None

    def take(self) -> bool:
        """Be the one that has a page open; False if another is, or it cannot be told."""
        if self._lock is not None:
            return False
        with suppress(OSError):
            make_folders(self._path.parent)
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(self._path, flags, PRIVATE_FILE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                return False
            self._lock = lock
            return True
        return False

    def let_go(self) -> None:
        """Be it no more."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def due(self, now: int) -> bool:
        """Whether a page may be opened that nobody has asked for, at `now` (ms)."""
        unanswered, opened = self._read()
        if unanswered >= len(_PAUSES_MS):
            return False
        # A clock that was set back does not put it off.
        return not opened <= now < opened + _PAUSES_MS[unanswered]

    def opened(self, now: int) -> None:
        """A page is opened that nobody has asked for, at `now` (ms)."""
        unanswered, _ = self._read()
        self._write({"unanswered": unanswered + 1, "opened": now})

    def answered(self) -> None:
        """Somebody has signed in."""
        if self._path.exists():
            self._write({})

    def _read(self) -> tuple[int, int]:
        try:
            with self._path.open("rb") as file:
                members = json.loads(file.read(_MAX_SIZE) or b"{}")
            unanswered, opened = members.get("unanswered", 0), members.get("opened", 0)
        except (OSError, ValueError, AttributeError):
            return 0, 0
        if type(unanswered) is not int or type(opened) is not int:
            return 0, 0
        return max(0, unanswered), opened

    def _write(self, members: dict[str, int]) -> None:
        # In place: it is the file with the lock.
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(members).encode())
            finally:
                os.close(descriptor)
