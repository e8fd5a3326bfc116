"""How a connection begins TLS in the middle, in each protocol that has a word for it.

What the other side says is read with a limit on time and on length: it may be anybody.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PORTS: Final = {"imap": 143, "pop": 110, "smtp": 587, "ldap": 389, "sieve": 4190}
"""Where a service begins in the clear."""

_LONGEST: Final = 65_536
_SHOWN: Final = 60

# RFC 4511, section 4.14.1: an extended request with the object identifier of StartTLS.
_LDAP_REQUEST: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
_LDAP_SUCCESS: Final = b"\x0a\x01\x00"


class NotOfferedError(Exception):
    """The other side does not begin TLS. Its text says what it did instead."""


class _Talk:
    """A conversation in the clear.

    :param deadline: on the clock of `time.monotonic`.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self.heard = b""

    def say(self, octets: bytes) -> None:
        """Say something; what is heard from then on is an answer to it."""
        self.heard = b""
        self._connection.sendall(octets)

    def until(self, pattern: bytes) -> bytes:
        """Listen until a line matches; that line.

        :raises NotOfferedError: nothing like it came.
        """
        line = re.compile(rb"^(?:%b)\r?\n" % pattern, re.MULTILINE)
        while not (found := line.search(self.heard)):
            self.more()
        return found.group()

    def more(self) -> None:
        """Hear something more."""
        self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
        octets = self._connection.recv(4096)
        if not octets:
            raise NotOfferedError("it hangs up")
        self.heard += octets
        if len(self.heard) > _LONGEST:
            raise NotOfferedError(f"it talks without end, from {_shown(self.heard)} on")

    def agreed(self, pattern: bytes, wanted: bytes) -> None:
        """Listen for an answer, and see that it is yes and the last there is in the clear."""
        line = self.until(pattern)
        if not re.match(wanted, line):
            raise NotOfferedError(f"asked for it, it says {_shown(line)}")
        if not self.heard.endswith(line):
            # Whoever is in the middle could have put it there, to be read as if it had come under
            # TLS (RFC 3207 section 6).
            raise NotOfferedError("it says more in the clear after it has agreed to begin TLS")


@dataclass(frozen=True, slots=True)
class _InLines:
    """A protocol whose server greets, and answers in lines.

    :param last: the last line of a greeting, and of an answer to `hello`.
    :param ask: for TLS.
    :param answer: the last line of an answer to that.
    :param wanted: how it begins when TLS does.
    :param hello: to be said first; empty for nothing.
    """

    last: bytes
    ask: bytes
    answer: bytes
    wanted: bytes
    hello: bytes = b""

    def __call__(self, talk: _Talk) -> None:
        talk.until(self.last)
        if self.hello:
            talk.say(self.hello + b"\r\n")
            talk.until(self.last)
        talk.say(self.ask + b"\r\n")
        talk.agreed(self.answer, self.wanted)


_SMTP_REPLY: Final = rb"[0-9]{3}(?: [^\n]*)?"


def _ldap(talk: _Talk) -> None:
    talk.say(_LDAP_REQUEST)
    while len(talk.heard) < 2 or len(talk.heard) < 2 + talk.heard[1]:
        talk.more()
    if talk.heard[:1] != b"\x30" or _LDAP_SUCCESS not in talk.heard:
        raise NotOfferedError("asked for it, it refuses")


_DIALOGUES: Final[Mapping[str, Callable[[_Talk], None]]] = {
    "imap": _InLines(rb"\* (?:OK|PREAUTH|BYE)[^\n]*", b"a STARTTLS", rb"a [^\n]*", rb"a OK"),
    "pop": _InLines(rb"[+-][^\n]*", b"STLS", rb"[+-][^\n]*", rb"\+OK"),
    "smtp": _InLines(_SMTP_REPLY, b"STARTTLS", _SMTP_REPLY, rb"220", hello=b"EHLO doctor.invalid"),
    "sieve": _InLines(rb"(?:OK|NO|BYE)[^\n]*", b"STARTTLS", rb"(?:OK|NO|BYE)[^\n]*", rb"OK"),
    "ldap": _ldap,
}


def begin(connection: socket.socket, service: str, timeout: float) -> None:
    """Come to where TLS begins.

    :param service: one of `PORTS`.
    :param timeout: s, for all of it.
    :raises NotOfferedError: it does not begin.
    :raises OSError: the connection breaks, or it takes too long.
    """
    _DIALOGUES[service](_Talk(connection, time.monotonic() + timeout))


def _shown(octets: bytes) -> str:
    return ascii(octets.decode("utf-8", "replace").strip()[:_SHOWN])
