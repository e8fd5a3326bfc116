"""The framing of the sample programs, without a socket.

Octets go in with `FrameReader.feed`, strings and replies come out; what is to be sent comes from
`encode_string` and `encode_reply`. The whole conversation is:

=========  ==========================================================================
server     a string: the mechanisms it offers, with spaces between
client     a string: the mechanism it chose; then the string ``Y`` and a string with
           the initial response, or the string ``N``
server     ``C`` and a string to go on, ``O`` for success, or ``N`` for failure
client     after ``C``: a string; then the server replies again
=========  ==========================================================================

A string is ``{``, its length in decimal, ``}``, CR, LF and as many octets. This is what the sample
programs of Cyrus SASL speak; these here read it strictly and limit every length.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError

MAX_STRING: Final = 65536
"""The longest string that is read or written, in octets."""

MAX_MECHANISM: Final = 127
"""The longest mechanism name a server reads, in octets."""

_MAX_DIGITS: Final = len(str(MAX_STRING))
_DIGITS: Final = frozenset(b"0123456789")


class Reply(Enum):
    """What a server says after a message of the client; the values are the octets sent."""

    CONTINUE = b"C"
    OK = b"O"
    NO = b"N"


class ConnectionClosedError(RemoteProtocolError):
    """The other side closed the connection before a string or reply it owed."""


def encode_string(octets: bytes) -> bytes:
    """The octets that carry a string.

    :raises LocalProtocolError: if it is longer than `MAX_STRING`.
    """
    if len(octets) > MAX_STRING:
        raise LocalProtocolError(
            Code.BUFFER_TOO_LONG,
            f"a string of {len(octets)} octets cannot be sent, the limit is {MAX_STRING}",
        )
    return b"{%d}\r\n%b" % (len(octets), octets)


def encode_reply(reply: Reply, challenge: bytes = b"") -> bytes:
    """The octets of a reply; only `Reply.CONTINUE` is followed by a challenge."""
    return reply.value + (encode_string(challenge) if reply is Reply.CONTINUE else b"")


class FrameReader:
    """Takes a stream of octets apart into strings and replies.

    Each reading method returns None until all octets of what it reads have been fed, and then
    takes exactly these out of the buffer. After an error the stream is out of step and unusable.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._closed = False

    def feed(self, octets: bytes) -> None:
        """Add what was received; no octets at all means that the other side closed."""
        self._buffer += octets
        self._closed = self._closed or not octets

    def read_string(self, limit: int = MAX_STRING) -> bytes | None:
        """The next string, None if more octets are needed.

        :param limit: the longest string to accept, in octets.
        :raises ConnectionClosedError: if the stream ended first.
        :raises RemoteProtocolError: if what comes is not a string, or is longer than `limit`.
        """
        return self._take_string(0, limit)

    def read_reply(self) -> tuple[Reply, bytes] | None:
        """The next reply and, after `Reply.CONTINUE`, its challenge; None if octets are missing.

        :raises ConnectionClosedError: if the stream ended first.
        :raises RemoteProtocolError: if what comes is not a reply, or its string is not valid.
        """
        if not self._buffer:
            self._require_open()
            return None
        try:
            reply = Reply(bytes(self._buffer[:1]))
        except ValueError:
            raise _bad_reply(self._buffer[0]) from None
        if reply is not Reply.CONTINUE:
            del self._buffer[:1]
            return reply, b""
        challenge = self._take_string(1, MAX_STRING)
        return None if challenge is None else (reply, challenge)

    def _take_string(self, start: int, limit: int) -> bytes | None:
        header = _parse_header(self._buffer, start)
        if header is None:
            self._require_open()
            return None
        length, body = header
        if length > limit:
            raise _too_long(str(length), limit)
        if len(self._buffer) < body + length:
            self._require_open()
            return None
        string = bytes(self._buffer[body : body + length])
        del self._buffer[: body + length]
        return string

    def _require_open(self) -> None:
        if self._closed:
            where = "in the middle of a string" if self._buffer else "while a message was awaited"
            raise ConnectionClosedError(
                Code.TOKEN_TRUNCATED, f"the other side closed the connection {where}"
            )


def _parse_header(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """Length of the string whose header is at `start`, and where its octets begin."""
    if len(buffer) == start:
        return None
    if buffer[start] != ord("{"):
        raise _bad_header(f"starts with {_shown(buffer[start])}, not with '{{'")
    end = start + 1
    while end < len(buffer) and buffer[end] in _DIGITS:
        end += 1
        if end - start - 1 > _MAX_DIGITS:
            raise _too_long(f"over {10**_MAX_DIGITS - 1}", MAX_STRING)
    if len(buffer) > end and end == start + 1:
        raise _bad_header("has no length")
    for offset, expected in enumerate(b"}\r\n", end):
        if len(buffer) == offset:
            return None
        if buffer[offset] != expected:
            raise _bad_header(f"has {_shown(buffer[offset])} where {_shown(expected)} belongs")
    digits = bytes(buffer[start + 1 : end])
    if len(digits) > 1 and digits.startswith(b"0"):
        raise _bad_header("has a length with leading zeros")
    return int(digits), end + 3


def _shown(octet: int) -> str:
    return f"'{chr(octet)}'" if 0x20 < octet < 0x7F else f"octet 0x{octet:02x}"


def _bad_header(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.BAD_TOKEN_HEADER,
        f"a string {what}",
        "check that the other side is a sample program, and that both use TLS or neither does",
    )


def _too_long(length: str, limit: int) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.BUFFER_TOO_LONG, f"a string of {length} octets was announced, the limit is {limit}"
    )


def _bad_reply(octet: int) -> RemoteProtocolError:
    shown = chr(octet) if 0x20 <= octet < 0x7F else "?"
    return RemoteProtocolError(
        Code.BAD_TOKEN_HEADER,
        f"bad protocol from server ({shown} {octet:x})",
        "check that the other side is a sample program, and that both use TLS or neither does",
    )
