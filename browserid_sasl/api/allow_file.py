"""A file of who may log in, which is read again when it changes."""

from __future__ import annotations

import re
import time
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

from browserid_sasl.config.syntax import Unfit, allow_entry
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.identity.allow_list import EVERYONE, AllowList
from browserid_sasl.private_files import Stamp, stamp
from browserid_sasl.trusted_files import read_trusted, unreadable

MAX_SIZE: Final = 4 << 20

_WHAT: Final = "the file of who may log in"
_REMEDY: Final = (
    "give one domain such as example.org, or one address such as bob@example.com, to a line;"
    " or * for everybody; never a pattern"
)
_COMMENT: Final = r"(?s)(?:^|\s)#.*"
_SETTLED_NS: Final = 2_000_000_000
"""For how long a file that was written may be written again without its time showing it."""


class AllowFile:
    """A list of who may log in, an entry to a line. Safe for threads.

    :param path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: tuple[Stamp, AllowList] | None = None

    def read(self) -> AllowList:
        """What is in the file now.

        :raises ConfigurationError: when the file cannot be read or has a line that is no entry.
            What it had before does not count any more.
        """
        # Before it is read: what changes meanwhile is seen to have changed the next time.
        found_at = self._stamp()
        kept = self._kept
        if kept is not None and kept[0] == found_at:
            return kept[1]
        found = self._parse(self._content())
        self._kept = (found_at, found) if _is_settled(found_at) else None
        return found

    def _stamp(self) -> Stamp:
        try:
            return stamp(self._path)
        except OSError as error:
            raise unreadable(self._path, _WHAT, error) from None

    def _content(self) -> bytes:
        try:
            return read_trusted(self._path, _WHAT, MAX_SIZE)
        except OSError as error:
            raise unreadable(self._path, _WHAT, error) from None

    def _parse(self, data: bytes) -> AllowList:
        lines: dict[str, int] = {}
        for number, line in enumerate(data.removeprefix(BOM_UTF8).split(b"\n"), 1):
            text = re.sub(_COMMENT, "", self._decode(line, number)).strip()
            if text:
                lines[self._entry(text, number)] = number
        if EVERYONE in lines and len(lines) > 1:
            raise self._error("* has to be the only entry", _REMEDY, lines[EVERYONE])
        return AllowList(frozenset(lines))

    def _decode(self, line: bytes, number: int) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise self._error("the line is not UTF-8 text", "save it in UTF-8", number) from None

    def _entry(self, text: str, number: int) -> str:
        try:
            return allow_entry(text)
        except Unfit as unfit:
            raise self._error(f"the line {unfit.reason}", _REMEDY, number) from None

    def _error(self, message: str, remedy: str, line: int) -> ConfigurationError:
        return ConfigurationError(message, remedy, file=str(self._path), line=line)


def _is_settled(found_at: Stamp) -> bool:
    """Whether the next change is sure to get another time: clocks of file systems are coarse."""
    return abs(time.time_ns() - found_at[-1]) > _SETTLED_NS
