"""Changes to a configuration file that leave the rest of it as somebody has written it.

What is changed is read again, as any file is: whatever would not come out as it was meant is not
done, and the person is told what to write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl.config.document import read_settings
from browserid_sasl.config.location import Location, Pair, before_last_part, layout
from browserid_sasl.config.options import Key
from browserid_sasl.config.syntax import audience_pattern
from browserid_sasl.errors import ConfigurationError

IDENTITY: Final[Key] = ("client", "identity")
IDENTITIES: Final[Key] = ("client", "identities")

_BARE_KEY: Final = r"[A-Za-z0-9_-]+"
_SEPARATOR_AFTER: Final = re.compile(r"[ \t\n]*,[ \t\n]*")
_SEPARATOR_BEFORE: Final = re.compile(r"[ \t\n]*,[ \t\n]*\Z")

Choices = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file is to say of who logs in.

    :param identity: by default; empty for nothing.
    :param identities: by audience pattern, the first that fits first.
    """

    identity: str
    identities: Choices

    @classmethod
    def of(cls, data: bytes, file: Path) -> Wanted:
        """What a file says now.

        :raises ConfigurationError: it is not valid.
        """
        return _wanted(_values(data, file))


def changed(data: bytes, file: Path, wanted: Wanted) -> bytes:
    """The content of a file that says what is wanted, all else as it is.

    :param data: the content; empty for a file that is not there.
    :raises ConfigurationError: it is not valid, or is written in a way that cannot be changed here.
    """
    before = _values(data, file)
    text = data.removeprefix(codecs.BOM_UTF8).decode().replace("\r\n", "\n")
    if wanted.identity != before.get(IDENTITY, ""):
        text = _with_identity(text, wanted.identity)
    text = _with_identities(text, _table(before), wanted.identities)
    ends = b"\r\n" if b"\r\n" in data else b"\n"
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    after = mark + text.encode().replace(b"\n", ends)
    try:
        found = _values(after, file)
    except ConfigurationError:
        found = {}
    as_wanted = _wanted(found) == wanted and [*_table(found)] == [*wanted.identities]
    if not as_wanted or _rest(found) != _rest(before):
        raise ConfigurationError(
            "the section [client] is written in a way that this program cannot change",
            "change `identity`, or the table `identities`, with an editor",
            file=str(file),
        )
    return after


def _values(data: bytes, file: Path) -> dict[Key, object]:
    return {key: setting.value for key, setting in read_settings(data, file).items()}


def _wanted(values: Mapping[Key, object]) -> Wanted:
    return Wanted(str(values.get(IDENTITY, "")), _table(values))


def _table(values: Mapping[Key, object]) -> dict[str, str]:
    pairs = values.get(IDENTITIES, ())
    assert isinstance(pairs, tuple)  # noqa: S101 - `kinds.Table` reads it as that
    return dict(pairs)


def _rest(values: Mapping[Key, object]) -> dict[Key, object]:
    return {key: each for key, each in values.items() if key not in (IDENTITY, IDENTITIES)}


def _with_identity(text: str, identity: str) -> str:
    return _put(text, IDENTITY, identity) if identity else _remove(text, IDENTITY)


def _with_identities(text: str, old: Choices, new: Choices) -> str:
    kept = [pattern for pattern in old if pattern in new]
    # One that has to come earlier than it does is written anew.
    if kept != [pattern for pattern in new if pattern in old]:
        kept = [pattern for pattern in kept if old[pattern] == new[pattern]]
    spelled = _spellings(text)
    for pattern in old:
        if pattern not in kept:
            text = _remove(text, (*IDENTITIES, spelled[pattern]))
    # From the last on, so that what a new one stands before is there.
    below: Location | None = None
    for pattern in reversed(list(new)):
        place = (*IDENTITIES, spelled[pattern] if pattern in kept else pattern)
        if pattern not in kept or old[pattern] != new[pattern]:
            text = _put(text, place, new[pattern], before=below)
        below = place
    return text


def _spellings(text: str) -> dict[str, str]:
    """The patterns of the file as they are written, by their normal spelling."""
    found = [place[-1] for place in layout(text).pairs if place[:-1] == IDENTITIES]
    return {audience_pattern(str(each)): str(each) for each in found}


def _put(text: str, place: Location, value: str, *, before: Location | None = None) -> str:
    """Have a value at a place, which is made if it is not there."""
    found = layout(text)
    *table, name = place
    siblings = [each for at, each in found.pairs.items() if at[:-1] == tuple(table)]
    said = f"{_key(str(name))} = {_string(value)}"
    if place in found.pairs:
        pair = found.pairs[place]
        return text[: pair.value] + _string(value) + text[pair.end :]
    if before is not None:
        return _insert_before(text, found.pairs[before], said)
    if siblings:
        return _insert_after(text, max(siblings, key=lambda each: each.start), said)
    if tuple(table) in found.headers:
        return _insert_line(text, found.headers[tuple(table)], said)
    if tuple(table) in found.pairs:
        pair = found.pairs[tuple(table)]
        return f"{text[: pair.value]}{{ {said} }}{text[pair.end :]}"
    gap = "\n" if text and not text.endswith("\n") else ""
    return f"{text}{gap}{chr(10) if text else ''}[{'.'.join(map(str, table))}]\n{said}\n"


def _insert_before(text: str, other: Pair, said: str) -> str:
    said = before_last_part(text[other.start : other.key_end]) + said
    if other.inline:
        return f"{text[: other.start]}{said}, {text[other.start :]}"
    start = _above_comments(text, text.rfind("\n", 0, other.start) + 1)
    return f"{text[:start]}{_indent(text, other)}{said}\n{text[start:]}"


def _above_comments(text: str, start: int) -> int:
    """The line that comments on a line begin at."""
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if not text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start


def _insert_after(text: str, other: Pair, said: str) -> str:
    said = before_last_part(text[other.start : other.key_end]) + said
    if other.inline:
        return f"{text[: other.end]}, {said}{text[other.end :]}"
    return _insert_line(text, other.end, _indent(text, other) + said)


def _insert_line(text: str, after: int, line: str) -> str:
    """Insert a line below the one that a place is on."""
    end = text.find("\n", after)
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{line}{text[end:] or chr(10)}"


def _indent(text: str, pair: Pair) -> str:
    return text[text.rfind("\n", 0, pair.start) + 1 : pair.start]


def _remove(text: str, place: Location) -> str:
    pair = layout(text).pairs.get(place)
    if pair is None:
        return text
    if not pair.inline:
        start, end = text.rfind("\n", 0, pair.start) + 1, text.find("\n", pair.end)
        return text[:start] + (text[end + 1 :] if end >= 0 else "")
    if after := _SEPARATOR_AFTER.match(text, pair.end):
        return text[: pair.start] + text[after.end() :]
    return _SEPARATOR_BEFORE.sub("", text[: pair.start]) + text[pair.end :]


def _key(name: str) -> str:
    return name if re.fullmatch(_BARE_KEY, name) else _string(name)


def _string(text: str) -> str:
    # A basic string of TOML is one of JSON but for U+007F, which no option may have.
    return json.dumps(text, ensure_ascii=False)
