"""Lines and the escapes in them (docs/wire.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError

MAX_LINE: Final = 65_535
"""The longest line, in octets without its end."""

_ESCAPES: Final = {"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"}
_TABLE: Final = str.maketrans(_ESCAPES)
_CHARACTERS: Final = {escape[1]: character for character, escape in _ESCAPES.items()}
_ESCAPED: Final = re.compile("\x01(.?)")


def escape(text: str) -> str:
    """Text as it stands in a field of a line."""
    # What has to be escaped cannot be printed, and nearly all texts can, which is soon seen.
    return text if text.isprintable() else text.translate(_TABLE)


def unescape(field: str) -> str:
    """The text that a field stands for. A character that needs no escape may have one."""
    if "\x01" not in field:
        return field
    return _ESCAPED.sub(lambda match: _CHARACTERS.get(match[1], match[1]), field)


class LineBuffer:
    """Octets as they come, taken apart into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Take octets; the lines that are complete now, without their ends.

        What is not UTF-8 in a line becomes replacement characters: programs pass on what they
        are told by strangers.

        :raises RemoteProtocolError: buffer-too-long for a line of more than `MAX_LINE` octets.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        for line in lines:
            _check_length(line)
            yield line.removesuffix(b"\r").decode(errors="replace")
        _check_length(rest)


def _check_length(line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"a line may have {MAX_LINE} octets, and this one has more"
        )
