"""The languages of the pages: gettext catalogues (`locale/*.po`), and whose turn it is.

Messages are written in English, in templates as ``{{ _("...") }}`` and in Python as ``N_("...")``.
The catalogues are read as they are, without being compiled: a start takes a millisecond for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Final

_LINE: Final = re.compile(r'(?:(msgid|msgstr)\s+)?"((?:[^"\\]|\\.)*)"')
_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_MAX_HEADER: Final = 500


def N_(message: str) -> str:
    """Mark a message for the catalogues; it is translated where it is shown."""
    return message


@dataclass(frozen=True, slots=True)
class Language:
    """A language.

    :param code: as in HTML's `lang`.
    :param name: what it calls itself.
    :param messages: translations by the English message.
    """

    code: str
    name: str
    messages: dict[str, str]

    def gettext(self, message: str) -> str:
        """The message in this language."""
        return self.messages.get(message, message)

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The message for a number of things."""
        return self.gettext(one if count == 1 else many)


def read_catalogue(text: str) -> dict[str, str]:
    """The translations in the text of a `.po` file that are not empty.

    :raises ValueError: a line is none of a catalogue.
    """
    return {message: said for message, said in _entries(text) if message and said}


def _entries(text: str) -> Iterator[tuple[str, str]]:
    parts = {"msgid": "", "msgstr": ""}
    keyword = "msgid"
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"not a line of a catalogue: {line}")
        if match[1] == "msgid":
            yield parts["msgid"], parts["msgstr"]
            parts = {"msgid": "", "msgstr": ""}
        keyword = match[1] or keyword
        parts[keyword] += re.sub(r'\\[n"\\]', lambda escape: _ESCAPES[escape[0]], match[2])
    yield parts["msgid"], parts["msgstr"]


def _read(code: str) -> dict[str, str]:
    file = resources.files("browserid_sasl.idp.web") / "locale" / f"{code}.po"
    return read_catalogue(file.read_text("utf-8"))


ENGLISH: Final = Language("en", "English", {})
LANGUAGES: Final = {
    language.code: language for language in (ENGLISH, Language("de", "Deutsch", _read("de")))
}


def choose_language(chosen: str, accepted: str) -> Language:
    """The language for somebody.

    :param chosen: a code, which holds if there is that language.
    :param accepted: what the browser asks for in `Accept-Language` (RFC 9110 section 12.5.4).
    """
    for code in (chosen, *_wishes(accepted[:_MAX_HEADER])):
        if code in LANGUAGES:
            return LANGUAGES[code]
    return ENGLISH


def _wishes(header: str) -> list[str]:
    """Codes without their regions, what is liked best first."""
    wishes = []
    for part in header.split(","):
        name, _, parameter = part.partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", parameter)
        wishes.append((float(weight[1]) if weight else 1.0, name.strip().lower().partition("-")[0]))
    # Those of the same weight stay in their order.
    return [code for weight, code in sorted(wishes, key=lambda wish: -wish[0]) if weight]
