"""The types that options have.

A kind says three things about its values: what they are in TOML, how they are written where only
text is possible (a SASL configuration file), and in words what is allowed. It turns a TOML value
into what the program reads, or raises `Unfit`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Final, Protocol, TypeVar

from browserid_sasl.config.syntax import Unfit, shown

_MAX_PATH: Final = 4096
_MAX_ELEMENTS: Final = 1000
_MAX_DIGITS: Final = 18

_TYPE_NAMES: Final[dict[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    list: "an array",
    dict: "a table",
    datetime: "a date and time",
    date: "a date",
    time: "a time of day",
}
_WORDS: Final = {
    **dict.fromkeys(("1", "yes", "on", "true"), True),
    **dict.fromkeys(("0", "no", "off", "false"), False),
}

_T = TypeVar("_T")


class Kind(Protocol):
    """The type of an option."""

    @property
    def allowed(self) -> str:
        """What a value has to be, in words that follow "give"."""

    @property
    def suffix(self) -> str:
        """What the name of the program's field has after the option's name: a unit, or nothing."""

    def from_text(self, text: str) -> object:
        """The TOML value that `text` stands for.

        :raises Unfit: if it cannot stand for any.
        """

    def read(self, value: object, folder: Path | None) -> object:
        """What the program reads for a TOML value.

        :param folder: what a relative path is relative to; None where it has to be absolute.
        :raises Unfit: if the value is not allowed.
        """


def _expect(value: object, wanted: type[_T]) -> _T:
    # Not isinstance: true is an int, and a date and time is a date.
    if type(value) is wanted:
        return value
    given = _TYPE_NAMES.get(type(value), type(value).__name__)
    raise Unfit(f"has to be {_TYPE_NAMES[wanted]}, not {given}")


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    allowed: str = "true or false"
    suffix: str = ""

    def from_text(self, text: str) -> object:
        """``yes``, ``on``, ``true`` or ``1``, and their opposites, in either case."""
        try:
            return _WORDS[text.lower()]
        except KeyError:
            raise Unfit(f"is {shown(text)}, which is neither yes nor no") from None

    def read(self, value: object, folder: Path | None) -> bool:
        """`value` itself."""
        return _expect(value, bool)


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """An integer in a range.

    :param least: smallest value allowed.
    :param most: largest value allowed.
    :param unit: what it counts, in the plural, or empty.
    :param scale: what the program's value is multiplied by.
    """

    least: int
    most: int
    unit: str = ""
    scale: int = 1
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """The range and its unit."""
        of_unit = f" of {self.unit}" if self.unit else ""
        return f"a whole number{of_unit} from {self.least} to {self.most}"

    def from_text(self, text: str) -> object:
        """Decimal digits, with a minus sign at most."""
        if not re.fullmatch(rf"-?[0-9]{{1,{_MAX_DIGITS}}}", text):
            raise Unfit(f"is {shown(text)}, which is not a whole number")
        return int(text)

    def read(self, value: object, folder: Path | None) -> int:
        """`value` in the program's unit."""
        number = _expect(value, int)
        if number < self.least:
            raise Unfit(f"is less than {self.least}")
        if number > self.most:
            raise Unfit(f"is more than {self.most}")
        return number * self.scale


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a few.

    :param words: the words.
    """

    words: tuple[str, ...]
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """The words, quoted."""
        return " or ".join(f'"{word}"' for word in self.words)

    def from_text(self, text: str) -> object:
        """The word itself."""
        return text

    def read(self, value: object, folder: Path | None) -> str:
        """The word itself."""
        word = _expect(value, str)
        if word not in self.words:
            raise Unfit(f"is {shown(word)}, which is unknown")
        return word


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a certain syntax.

    :param syntax: checks the text and returns its normal spelling, or raises `Unfit`.
    :param description: what it is, with an example.
    :param optional: whether it may be empty, for none.
    """

    syntax: Callable[[str], str]
    description: str
    optional: bool = False
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """The description."""
        return self.description + (', or "" for none' if self.optional else "")

    def from_text(self, text: str) -> object:
        """The text itself."""
        return text

    def read(self, value: object, folder: Path | None) -> str:
        """The text in its normal spelling."""
        text = _expect(value, str)
        if not text and self.optional:
            return text
        if not text:
            raise Unfit("is empty")
        return self.syntax(text)


@dataclass(frozen=True, slots=True)
class FilePath:
    """The path of a file or folder, which need not exist yet.

    :param absent: the word for no path at all, or None if there has to be one.
    """

    absent: str | None = None
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """What a path is relative to, and the word for none."""
        path = "a path, absolute or relative to the file's folder"
        if self.absent is None:
            return path
        return f'{path}, or "{self.absent}"' + ("" if self.absent else " for none")

    def from_text(self, text: str) -> object:
        """The path itself."""
        return text

    def read(self, value: object, folder: Path | None) -> Path | None:
        """An absolute path, None for none."""
        text = _expect(value, str)
        if text == self.absent:
            return None
        if not text:
            raise Unfit("is empty")
        if "\0" in text or len(text) > _MAX_PATH:
            raise Unfit(f"is {shown(text)}, which cannot be a path")
        if text.startswith("~"):
            raise Unfit(f'is {shown(text)}, and "~" means nothing here')
        path = Path(text)
        if folder is None and not path.is_absolute():
            raise Unfit(f"is {shown(text)}, which is relative, and there is no file's folder here")
        return path if folder is None else folder / path


@dataclass(frozen=True, slots=True)
class Listing:
    """An array of different values of one kind.

    :param of: the kind of an element.
    :param least: how many elements there have to be.
    :param alone: an element that there can be no others beside, or empty.
    """

    of: Text
    least: int = 0
    alone: str = ""
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """The kind of an element."""
        some = "not empty, " if self.least else ""
        return f"an array, {some}each element {self.of.allowed}"

    def from_text(self, text: str) -> object:
        """Elements separated by spaces or commas."""
        return text.replace(",", " ").split()

    def read(self, value: object, folder: Path | None) -> tuple[str, ...]:
        """The elements in their normal spelling, in the order given."""
        elements = _expect(value, list)
        if len(elements) < self.least:
            raise Unfit("is empty")
        if len(elements) > _MAX_ELEMENTS:
            raise Unfit(f"has more than {_MAX_ELEMENTS} elements")
        result: dict[str, None] = {}
        for index, element in enumerate(elements):
            result[self._element(index, element, result)] = None
        if self.alone in result and len(result) > 1:
            index = list(result).index(self.alone)
            raise Unfit(f"is {shown(self.alone)}, which has to be the only one", index)
        return tuple(result)

    def _element(self, index: int, element: object, seen: dict[str, None]) -> str:
        try:
            read = self.of.read(element, None)
            if read in seen:
                raise Unfit(f"is {shown(read)}, which is there already")
        except Unfit as unfit:
            raise Unfit(unfit.reason, index) from None
        return read


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts of one kind by texts of another, whose order counts.

    :param names: the kind of a name in it.
    :param values: the kind of what stands under it.
    """

    names: Text
    values: Text
    suffix: str = ""

    @property
    def allowed(self) -> str:
        """The kinds of names and values."""
        return (
            f"a table, each name in it {self.names.allowed}, in quotes, and each value"
            f" {self.values.allowed}"
        )

    def from_text(self, text: str) -> object:
        """``name=value`` separated by spaces or commas."""
        words = text.replace(",", " ").split()
        return {name: value for name, _, value in (word.partition("=") for word in words)}

    def read(self, value: object, folder: Path | None) -> tuple[tuple[str, str], ...]:
        """Names and values in their normal spelling, in the order given."""
        table = _expect(value, dict)
        if len(table) > _MAX_ELEMENTS:
            raise Unfit(f"has more than {_MAX_ELEMENTS} names")
        result: dict[str, str] = {}
        for name, under in table.items():
            read = self._name(name)
            if read in result:
                raise Unfit(f"has {shown(read)} twice")
            result[read] = self._value(read, under)
        return tuple(result.items())

    def _name(self, name: str) -> str:
        try:
            return self.names.read(name, None)
        except Unfit as unfit:
            raise Unfit(f"has a name that {unfit.reason}") from None

    def _value(self, name: str, value: object) -> str:
        try:
            return self.values.read(value, None)
        except Unfit as unfit:
            raise Unfit(f"has something under {shown(name)} that {unfit.reason}") from None
