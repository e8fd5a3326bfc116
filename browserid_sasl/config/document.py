"""From the octets of a configuration file to validated settings, or an error with its line."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from browserid_sasl.config.configuration import NAMED_SECTIONS, SECTIONS
from browserid_sasl.config.location import Location, locate
from browserid_sasl.config.options import (
    SECTION_ITSELF,
    Key,
    Origin,
    Setting,
    not_allowed,
    options_of,
    unknown,
)
from browserid_sasl.config.syntax import Unfit
from browserid_sasl.errors import ConfigurationError

_SYNTAX_ERROR: Final = r"(?s)(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)"
_TWICE: Final = ("Cannot overwrite a value", "Cannot declare", "Duplicate inline table key")
_LONG_NUMBER: Final = r"[0-9_]{1000,}"
_REASON_LENGTH: Final = 120


def read_settings(data: bytes, file: Path) -> dict[Key, Setting]:
    """The settings in a configuration file.

    :param data: its content.
    :param file: its absolute path, for messages and for what relative paths are relative to.
    :raises ConfigurationError: if anything in it is not valid.
    """
    text = _decode(data, file)
    try:
        tables = _parse(text, file)
    except RecursionError:
        raise ConfigurationError(
            "arrays or tables are nested too deeply", "no option needs this", file=str(file)
        ) from None
    return dict(_Document(file, text).settings(tables))


def _decode(data: bytes, file: Path) -> str:
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            "the file is not UTF-8 text", "save it in UTF-8", file=str(file), line=line
        ) from None


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, file) from None
    except ValueError:
        # The parser lets this one through: a number of more digits than Python converts.
        number = re.search(_LONG_NUMBER, text)
        line = text.count("\n", 0, number.start()) + 1 if number else 0
        raise ConfigurationError(
            "a number has too many digits", "no option needs them", file=str(file), line=line
        ) from None


def _syntax_error(description: str, text: str, file: Path) -> ConfigurationError:
    match = re.fullmatch(_SYNTAX_ERROR, description)
    reason, line, column = match.groups() if match else (description, None, None)
    if reason.startswith(_TWICE):
        message, remedy = "a section or option is given twice", "leave one of the two"
    else:
        place = f"column {column}" if column else "the end of the file"
        message = f"not valid TOML at {place}: {reason[:1].lower()}{reason[1:_REASON_LENGTH]}"
        remedy = "the syntax is described at https://toml.io"
    last_line = text.rstrip("\n").count("\n") + 1
    return ConfigurationError(
        message, remedy, file=str(file), line=int(line) if line else last_line
    )


class _Document:
    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text

    def settings(self, tables: dict[str, Any]) -> Iterator[tuple[Key, Setting]]:
        for name, table in tables.items():
            if name in NAMED_SECTIONS:
                yield from self._named_sections(name, self._table(name, (name,), table))
            elif name in SECTIONS:
                yield from self._section((name,), SECTIONS[name], self._table(name, (name,), table))
            else:
                raise self._unknown_section(name)

    def _named_sections(self, kind: str, tables: dict[str, Any]) -> Iterator[tuple[Key, Setting]]:
        sections = NAMED_SECTIONS[kind]
        seen: set[str] = set()
        for name, value in tables.items():
            location = (kind, name)
            self._check_quotes(kind, location, value)
            try:
                normal = sections.syntax(name)
            except Unfit as unfit:
                raise self._error(
                    location,
                    f"the {sections.what} in the name of the section {unfit.reason}",
                    _quote_the_name(kind),
                ) from None
            if normal in seen:
                raise self._error(location, f"there are two sections for {normal}", "make them one")
            seen.add(normal)
            table = self._table(f'{kind}."{normal}"', location, value)
            # A section is there even if it leaves every option as it is.
            yield (kind, normal, SECTION_ITSELF), Setting(None, self._origin(location))
            yield from self._section(location, sections.of, table, (kind, normal))

    def _check_quotes(self, kind: str, location: Key, table: object) -> None:
        """Without quotes, the dots of a section's name make it a table in a table."""
        known = options_of(NAMED_SECTIONS[kind].of)
        for name, value in table.items() if isinstance(table, dict) else ():
            if isinstance(value, dict) and name not in known:
                raise self._error(
                    (*location, name),
                    f"the {NAMED_SECTIONS[kind].what} in the name of the section is not in quotes",
                    _quote_the_name(kind),
                )

    def _section(
        self, location: Key, section: type[Any], table: dict[str, Any], key: Key = ()
    ) -> Iterator[tuple[Key, Setting]]:
        known = options_of(section)
        key = key or location
        for name, value in table.items():
            origin = self._origin((*location, name))
            if name not in known:
                raise unknown("option", name, known, origin, f"{'.'.join(key)}.")
            option = known[name]
            try:
                read = option.kind.read(value, self._file.parent)
            except Unfit as unfit:
                if unfit.element is not None:
                    origin = self._origin((*location, name, unfit.element))
                raise not_allowed(".".join((*key, name)), option, unfit, origin) from None
            yield (*key, name), Setting(read, origin)

    def _table(self, name: str, location: Key, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        raise self._error(location, f"{name} is not a section", f"begin the section with [{name}]")

    def _unknown_section(self, name: str) -> ConfigurationError:
        for section, of in SECTIONS.items():
            if name in options_of(of):
                return self._error(
                    (name,), f"{name} is outside any section", f"put it below [{section}]"
                )
        return unknown("section", name, (*SECTIONS, *NAMED_SECTIONS), self._origin((name,)))

    def _error(self, location: Key, message: str, remedy: str) -> ConfigurationError:
        origin = self._origin(location)
        return ConfigurationError(message, remedy, file=origin.file, line=origin.line)

    def _origin(self, location: Location) -> Origin:
        return Origin(str(self._file), partial(self._line, location))

    def _line(self, location: Location) -> int:
        return self._lines.get(location, 0)

    @cached_property
    def _lines(self) -> dict[Location, int]:
        # Only who is told of an error wants to know.
        try:
            return locate(self._text.replace("\r\n", "\n"))
        except RecursionError:
            return {}


def _quote_the_name(kind: str) -> str:
    sections = NAMED_SECTIONS[kind]
    return f'write the whole {sections.what} in quotes, as in [{kind}."{sections.example}"]'
