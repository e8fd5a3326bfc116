"""What programs ask the agent, and what it answers (docs/agent.md).

A line is a verb, the request's number and fields. Every request is answered by lines with its
number; the last of them begins with ``OK`` or ``FAIL``, or with ``CONT`` where the program is to
come back with what the server says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.wire.lines import escape, unescape
from browserid_sasl.wire.octets import decode

NAME: Final = "browserid-agent"
VERSION: Final = 1
MAX_FIELDS: Final = 128

_MAX_NUMBER: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Request:
    """A line that a program sent.

    :param verb: what it wants.
    :param number: what the answers to it are called.
    :param words: fields without a name, in their order.
    :param values: fields with a name; a flag has the empty text.
    """

    verb: str
    number: int
    words: Sequence[str] = field(repr=False)
    values: Mapping[str, str] = field(repr=False)

    @property
    def octets(self) -> bytes:
        """The first field without a name, decoded; empty if there is none.

        :raises RemoteProtocolError: invalid-base64.
        """
        return decode(self.words[0]) if self.words else b""


def greeting(pid: int, release: str) -> bytes:
    """What the agent says first.

    :param pid: its process.
    :param release: the version of this package.
    """
    return f"VERSION\t{NAME}\t{VERSION}\nAGENT\t{pid}\t{escape(release)}\nDONE\n".encode()


def read_request(line: str) -> Request | None:
    """Take a line apart; None for the program's own greeting.

    :raises RemoteProtocolError: invalid-parameter for what is no line of this protocol.
    """
    verb, *fields = line.split("\t")
    if verb == "VERSION":
        _check_version(fields)
        return None
    if not fields or len(fields) > MAX_FIELDS or not _is_number(fields[0]):
        raise RemoteProtocolError(Code.INVALID_PARAMETER, "this is no request of this protocol")
    texts = [unescape(each) for each in fields[1:]]
    # What has no name comes first, so that base64, which may end in `=`, is not taken for one.
    words = texts[:1] if verb in WORD_FIRST else []
    pairs = (each.partition("=") for each in texts[len(words) :])
    return Request(verb, int(fields[0]), words, {name: value for name, _, value in pairs})


WORD_FIRST: Final = frozenset({"INIT", "CONT", "LOGIN", "LOGOUT", "PASTE", "WAYS", "PIPE"})
"""Verbs whose first field has no name."""


def answer(word: str, number: int, *words: str, **values: str | None) -> bytes:
    """A line that answers a request.

    :param word: OK, FAIL, CONT or ``*`` for one of several lines.
    :param values: fields with a name; those that are None are left out.
    """
    named = (f"{name}={escape(value)}" for name, value in values.items() if value is not None)
    return ("\t".join((word, str(number), *map(escape, words), *named)) + "\n").encode()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _MAX_NUMBER


def _check_version(fields: Sequence[str]) -> None:
    if fields[:2] != [NAME, str(VERSION)]:
        raise RemoteProtocolError(
            Code.INVALID_PARAMETER,
            f"this is {NAME}, version {VERSION}, and not what the program is looking for",
            "see whether BROWSERID_AGENT names the right socket",
        )
