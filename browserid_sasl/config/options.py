"""How an option is declared: once, as a field of its section's dataclass.

The functions below return fields that carry an `Option`: its kind, its default and the
sentence that documents it. Parsing, validation, the values given as text and the reference page
are all read off these declarations.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from browserid_sasl.config import kinds
from browserid_sasl.config.home import in_home
from browserid_sasl.config.kinds import Kind
from browserid_sasl.config.syntax import Unfit, shown
from browserid_sasl.errors import ConfigurationError

_NAME_LENGTH: Final = 64
_OPTION: Final = "option"

_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True)
class Option:
    """An option as declared.

    :param kind: its type.
    :param doc: one sentence or two for the reference page.
    :param default: what holds when it is not given, in Markdown.
    :param daemon: what holds instead in a daemon, None if that makes no difference.
    :param together: the option that has to be given with this one, or empty.
    """

    kind: Kind
    doc: str
    default: str
    daemon: Path | None = None
    together: str = ""


class Origin:
    """Where an option was given.

    :param file: path of the file, empty for nowhere.
    :param line: counted from 1, 0 if it is not known; or finds it, since most are never asked for.
    """

    __slots__ = ("_line", "file")

    def __init__(self, file: str, line: int | Callable[[], int]) -> None:
        self.file = file
        self._line = line

    @property
    def line(self) -> int:
        """The line, counted from 1; 0 if it is not known."""
        if not isinstance(self._line, int):
            self._line = self._line()
        return self._line

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Origin):
            return NotImplemented
        return (self.file, self.line) == (other.file, other.line)

    def __hash__(self) -> int:
        return hash(self.file)

    def __repr__(self) -> str:
        return f"Origin({self.file!r}, {self.line})"


NOWHERE: Final = Origin("", 0)

Key = tuple[str, ...]
"""Section and option, with the section's own name between them if it is one of several."""

SECTION_ITSELF: Final = ""
"""In place of an option: that a section which is one of several is there at all."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An option's value as the program reads it, and where it was given."""

    value: object
    origin: Origin


def options_of(section: type[Any]) -> Mapping[str, Option]:
    """A section's options by the name they have in the file, in the order of declaration.

    What it has in common with others comes after its own.
    """
    common = {
        each.name for base in section.__bases__ if is_dataclass(base) for each in fields(base)
    }
    result = {}
    for declared in sorted(fields(section), key=lambda each: each.name in common):
        option: Option = declared.metadata[_OPTION]
        result[declared.name.removesuffix(option.kind.suffix)] = option
    return result


def not_allowed(name: str, option: Option, unfit: Unfit, origin: Origin) -> ConfigurationError:
    """The error to raise for a value that an option cannot have."""
    place = name if unfit.element is None else f"element {unfit.element + 1} of {name}"
    return ConfigurationError(
        f"{place} {unfit.reason}",
        f"give {option.kind.allowed}",
        file=origin.file,
        line=origin.line,
    )


def unknown(
    what: str, name: str, known: Iterable[str], origin: Origin, prefix: str = ""
) -> ConfigurationError:
    """The error to raise for a name that does not exist, with the one that was probably meant.

    :param what: what it would be the name of: "option" or "section".
    :param known: the names that exist.
    :param prefix: what precedes every name where it was given.
    """
    names = list(known)
    meant = difflib.get_close_matches(name[:_NAME_LENGTH], names, 1)
    listed = ", ".join(prefix + each for each in names)
    return ConfigurationError(
        f"there is no {what} {shown(prefix + name)}",
        f"did you mean {prefix}{meant[0]}?" if meant else f"known are {listed}",
        file=origin.file,
        line=origin.line,
    )


def _declared(
    kind: Kind, default: object, doc: str, together: str = "", *, secret: bool = False
) -> Any:
    option = Option(kind, doc, f"`{json.dumps(default)}`", together=together)
    return field(default=kind.read(default, None), metadata={_OPTION: option}, repr=not secret)


def inherited(of: type[Any], name: str, words: str) -> Any:
    """A field with an option of another section, None where it is left out.

    :param of: the other section.
    :param name: of its option.
    :param words: what holds then, in Markdown.
    """
    option = replace(options_of(of)[name], default=words, together="")
    return field(default=None, metadata={_OPTION: option})


def flag(default: bool, doc: str) -> bool:
    """A field that is true or false."""
    result: bool = _declared(kinds.Flag(), default, doc)
    return result


def count(default: int, least: int, most: int, doc: str, *, unit: str = "") -> int:
    """A field with a whole number from `least` to `most`."""
    result: int = _declared(kinds.WholeNumber(least, most, unit), default, doc)
    return result


def seconds(default: int, least: int, most: int, doc: str) -> int:
    """A field with a time: seconds in the file and in these arguments, ms in the field.

    The field's name has to end in ``_ms``, which the option's name has not.
    """
    kind = kinds.WholeNumber(least, most, "seconds", scale=1000, suffix="_ms")
    result: int = _declared(kind, default, doc)
    return result


def choice(default: _Word, words: tuple[_Word, ...], doc: str) -> _Word:
    """A field with one word of `words`."""
    result: _Word = _declared(kinds.Choice(words), default, doc)
    return result


def text(kind: kinds.Text, doc: str, default: str = "", *, secret: bool = False) -> str:
    """A field with text of a kind; a secret is not shown with the others."""
    result: str = _declared(kind, default, doc, secret=secret)
    return result


def listing(
    default: list[str], of: kinds.Text, doc: str, *, least: int = 0, alone: str = ""
) -> tuple[str, ...]:
    """A field with a tuple of `least` or more texts of one kind; see `kinds.Listing`."""
    result: tuple[str, ...] = _declared(kinds.Listing(of, least, alone), default, doc)
    return result


def table(names: kinds.Text, values: kinds.Text, doc: str) -> tuple[tuple[str, str], ...]:
    """A field with pairs of texts, in the file's order; see `kinds.Table`."""
    result: tuple[tuple[str, str], ...] = _declared(kinds.Table(names, values), {}, doc)
    return result


def path(doc: str, *, absent: str = "", together: str = "") -> Path | None:
    """A field with a path, or None, which it is by default and which the file calls `absent`."""
    result: Path | None = _declared(kinds.FilePath(absent), absent, doc, together)
    return result


def folder(user: Callable[[], Path], spelled: str, daemon: str, doc: str) -> Path:
    """A field with a folder whose default depends on who runs the program.

    :param user: gives a person's default; `daemon` is used where there is no home.
    :param spelled: how the reference page writes the person's default.
    :param daemon: a daemon's default.
    """
    for_daemon = Path(daemon)

    def default() -> Path:
        return in_home(user) or for_daemon

    words = f'`"{spelled}"`, in a daemon `"{daemon}"`'
    option = Option(kinds.FilePath(), doc, words, daemon=for_daemon)
    result: Path = field(default_factory=default, metadata={_OPTION: option})
    return result
