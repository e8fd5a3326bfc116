"""Words and quoted strings in a line, as IMAP and ManageSieve have them."""

from __future__ import annotations

import re

from browserid_sasl.errors import Code, RemoteProtocolError


def read_strings(line: bytes, pattern: re.Pattern[bytes], complaint: str) -> list[bytes]:
    """The strings of a line, in their order.

    :param pattern: of one, with the spaces before it; its first group is what stands in quotes, its
        second what needs none.
    :param complaint: what is wrong with a line that is something else.
    :raises RemoteProtocolError: bad-context-token.
    """
    found: list[bytes] = []
    at = 0
    while at < len(line):
        match = pattern.match(line, at)
        if match is None:
            raise RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, complaint)
        quoted, bare = match.groups()
        found.append(re.sub(rb"\\(.)", rb"\1", quoted) if bare is None else bare)
        at = match.end()
    return found


def escaped(text: str) -> str:
    """A text that can stand between two quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
