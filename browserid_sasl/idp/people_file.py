"""Files with people, as spreadsheets write them: a line for each, and its first names the columns.

All that is wrong in a file is found before any of it is used, and said with the line's number.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Final

from browserid_sasl.errors import LocalProtocolError

MOST_LINES: Final = 200_000
MAX_LINE: Final = 1_024
"""Octets of a line, without its end."""

_END: Final = b"\r\n"

MOST_FAULTS: Final = 100
"""After so many a file is read no further."""

ADDRESS: Final = "address"
INVITE: Final = "invite"
_COLUMNS: Final = (ADDRESS, INVITE)
_SEPARATORS: Final = (",", ";", "\t")
_ANSWERS: Final = {"": True, "yes": True, "no": False}
_SHOWN: Final = 60
_SAVE_AS_UTF_8: Final = 'save it as "CSV UTF-8"'


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody in a file.

    :param line: on which they are.
    :param email: their address, as accounts have it.
    :param invite: whether they are to get an invitation, if there are any.
    """

    line: int
    email: str
    invite: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong in a file.

    :param line: its number, from 1.
    :param message: what is wrong.
    :param remedy: what to do about it.
    """

    line: int
    message: str
    remedy: str


class _WrongError(Exception):
    """A line is wrong.

    :param over: whether the rest cannot be read either.
    """

    def __init__(self, message: str, remedy: str, *, over: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.over = over


def read_people(
    file: BinaryIO, address: Callable[[str], str]
) -> tuple[Sequence[Listed], Sequence[Fault]]:
    """The people of a file, and what is wrong in it.

    :param file: CSV with commas, semicolons or tabs; UTF-8.
    :param address: gives an address the form that accounts have it in, or raises
        `LocalProtocolError`.
    """
    reader = _Reader(file, address)
    return list(reader.people()), reader.faults


class _Reader:
    def __init__(self, file: BinaryIO, address: Callable[[str], str]) -> None:
        self._file = file
        self._address = address
        self._separator = ","
        self._columns: Sequence[str] = ()
        self._lines: dict[str, int] = {}
        self.faults: list[Fault] = []

    def people(self) -> Iterator[Listed]:
        number = 0
        while octets := self._file.readline(MAX_LINE + len(_END) + 1):
            number += 1
            try:
                listed = self._read(number, octets)
            except _WrongError as error:
                self.faults.append(Fault(number, error.message, error.remedy))
                if error.over or len(self.faults) >= MOST_FAULTS:
                    return
            else:
                if listed:
                    yield listed
        if not number:
            self.faults.append(Fault(1, "the file is empty", _names_columns()))

    def _read(self, number: int, octets: bytes) -> Listed | None:
        text = _text(number, octets)
        if number == 1:
            self._begin(text)
            return None
        fields = self._fields(text, self._separator)
        # Spreadsheets write empty rows as separators alone.
        return self._listed(number, fields) if any(fields) else None

    def _begin(self, text: str) -> None:
        """Learn the columns from the first line, and by what they are separated."""
        for separator in _SEPARATORS:
            # Quotation marks do not fit where something else separates.
            with suppress(_WrongError):
                self._columns = [each.lower() for each in self._fields(text, separator)]
            if ADDRESS in self._columns:
                self._separator = separator
                return _check_columns(self._columns)
        raise _WrongError(f"there is no column {ADDRESS!r}", _names_columns(), over=True)

    def _fields(self, text: str, separator: str) -> list[str]:
        try:
            rows = list(csv.reader([text], delimiter=separator, strict=True))
        except csv.Error:
            raise _WrongError(
                "its quotation marks do not fit", 'write "" for one in a quoted field'
            ) from None
        return [field.strip() for row in rows for field in row]

    def _listed(self, number: int, fields: Sequence[str]) -> Listed:
        if len(fields) != len(self._columns):
            raise _WrongError(
                f"there are {len(fields)} fields, and {len(self._columns)} columns",
                "put a field with a separator in it into quotation marks",
            )
        named = dict(zip(self._columns, fields, strict=True))
        answer = named.get(INVITE, "").lower()
        if answer not in _ANSWERS:
            raise _WrongError(f"invite is {_shown(answer)}", "write yes, no, or nothing, for yes")
        return Listed(number, self._once(number, named[ADDRESS]), _ANSWERS[answer])

    def _once(self, number: int, text: str) -> str:
        try:
            email = self._address(text)
        except LocalProtocolError as error:
            raise _WrongError(error.message, error.remedy or "correct it") from None
        first = self._lines.setdefault(email, number)
        if first != number:
            raise _WrongError(f"{email} is on line {first} already", "remove one of the two lines")
        return email


def _text(number: int, octets: bytes) -> str:
    if number > MOST_LINES:
        raise _WrongError(
            f"there are more than {MOST_LINES} lines", "import it in several files", over=True
        )
    if len(octets.rstrip(_END)) > MAX_LINE:
        raise _WrongError(
            f"the line has more than {MAX_LINE} octets", "leave out what is too long", over=True
        )
    if number == 1:
        octets = _without_mark(octets)
    try:
        text = octets.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _WrongError("the line is not UTF-8", _SAVE_AS_UTF_8) from None
    if "\0" in text or "\r" in text:
        raise _WrongError("there is a NUL or a CR in the line", _SAVE_AS_UTF_8)
    return text


def _without_mark(octets: bytes) -> bytes:
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _WrongError("the file is UTF-16", _SAVE_AS_UTF_8, over=True)
    return octets.removeprefix(codecs.BOM_UTF8)


def _check_columns(fields: Sequence[str]) -> None:
    for field in fields:
        if field not in _COLUMNS:
            raise _WrongError(
                f"the column {_shown(field)} is not known", _instead(field), over=True
            )
        if fields.count(field) > 1:
            raise _WrongError(f"there are several columns {field!r}", "leave one", over=True)


def _instead(field: str) -> str:
    if "pass" in field or "hash" in field:
        return "passwords are not imported: remove it, and have people choose by --invitations"
    return f"remove it: {_names_columns()}"


def _names_columns() -> str:
    return f"the first line has to name the columns: {ADDRESS}, and {INVITE} if you like"


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN])
