"""On which line of a TOML file each of its keys and array elements stands.

The parser of the standard library tells lines in syntax errors only. This reads the text a second
time, after that parser has accepted it, and so needs to know no more of TOML (version 1.0) than
where keys and values begin and end.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Location = tuple[str | int, ...]
"""Keys from the top of the document, with an index for an element of an array."""

_KEY_PART: Final = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEY: Final = re.compile(rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_HEADER_END: Final = re.compile(r"[ \t]*\]\]?")
_BLANK: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_VALUE: Final = re.compile(
    # A multi-line string may end in up to two quotes of its own before the closing three.
    r'''"""(?:\\.|[^\\])*?"""{1,3}'''
    r"""|'''.*?'''{1,3}"""
    r'''|"(?:\\.|[^"\\\n])*"'''
    r"""|'[^'\n]*'"""
    r"""|[^,\]}#\n]+""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a key and its value stand in a text.

    :param start: of the key.
    :param key_end: after the key.
    :param value: where the value begins.
    :param end: after the value.
    :param inline: whether it is in an inline table, and may share its line with others.
    """

    start: int
    key_end: int
    value: int
    end: int
    inline: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands in a text.

    :param pairs: keys with their values.
    :param headers: of tables, each with the place after its closing bracket.
    """

    pairs: Mapping[Location, Pair]
    headers: Mapping[Location, int]


def layout(text: str) -> Layout:
    """Where everything stands.

    :param text: as for `locate`.
    """
    scanner = _Scanner(text)
    scanner.document()
    return Layout(scanner.pairs, scanner.headers)


def locate(text: str) -> dict[Location, int]:
    """The line, counted from 1, where each key and array element is first mentioned.

    :param text: a TOML document that `tomllib` accepts, with line feeds only.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Location, int] = {}
        self.pairs: dict[Location, Pair] = {}
        self.headers: dict[Location, int] = {}
        self._text = text
        self._position = 0
        self._line_starts = [0] + [match.end() for match in re.finditer("\n", text)]

    def document(self) -> None:
        table: Location = ()
        self._match(_BLANK)
        while self._position < len(self._text):
            if self._take("["):
                self._take("[")
                self._match(_BLANK)
                table = self._key(())
                self._match(_HEADER_END)
                self.headers[table] = self._position
            else:
                self._pair(table, inline=False)
            self._match(_BLANK)

    def _pair(self, table: Location, *, inline: bool) -> None:
        start = self._position
        location = self._key(table)
        key_end = self._position
        self._match(_EQUALS)
        value = self._position
        self._value(location)
        end = value + len(self._text[value : self._position].rstrip())
        self.pairs[location] = Pair(start, key_end, value, end, inline)

    def _key(self, table: Location) -> Location:
        line = self._line()
        location = table
        for part in _parts(self._match(_KEY)):
            location += (part,)
            self.lines.setdefault(location, line)
        return location

    def _value(self, location: Location) -> None:
        self.lines.setdefault(location, self._line())
        if self._take("{"):
            self._inline_table(location)
        elif self._take("["):
            self._array(location)
        else:
            self._match(_VALUE)

    def _inline_table(self, location: Location) -> None:
        self._match(_BLANK)
        while not self._take("}"):
            self._pair(location, inline=True)
            self._separator()

    def _array(self, location: Location) -> None:
        index = 0
        self._match(_BLANK)
        while not self._take("]"):
            self._value((*location, index))
            self._separator()
            index += 1

    def _separator(self) -> None:
        self._match(_BLANK)
        self._take(",")
        self._match(_BLANK)

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._position)

    def _take(self, character: str) -> bool:
        found = self._text.startswith(character, self._position)
        self._position += found
        return found

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise ValueError(f"not TOML at character {self._position}")
        self._position = match.end()
        return match.group()


def before_last_part(key: str) -> str:
    """A key as it is written, without the last of its parts."""
    *_, last = re.finditer(_KEY_PART, key)
    return key[: last.start()]


def _parts(dotted: str) -> list[str]:
    # The parser itself resolves quotes and escapes: a.b = 0 is {"a": {"b": 0}}.
    parts: list[str] = []
    table: object = tomllib.loads(f"{dotted} = 0")
    while isinstance(table, dict):
        [(part, table)] = table.items()
        parts.append(part)
    return parts
