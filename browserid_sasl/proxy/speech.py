"""How each protocol says that a login has succeeded or failed: one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.proxy.accounts import Kind
from browserid_sasl.proxy.failures import passes
from browserid_sasl.proxy.strings import escaped

_LONGEST: Final = 400
"""Characters of a sentence: SMTP's lines have 512 octets (RFC 5321 section 4.5.3.1.5)."""


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


@dataclass(frozen=True, slots=True)
class Speech:
    """Forms of a protocol; ``{}`` stands for a sentence, what comes before it for the reader.

    :param success: of a login.
    :param refused: it is refused for good.
    :param later: it is refused for now.
    :param farewell: the connection is closed.
    :param fit: makes a text one that the protocol can carry.
    """

    success: str
    refused: str
    later: str
    farewell: str
    fit: Callable[[str], str] = _ascii

    def failure(self, error: BrowserIDError) -> bytes:
        """What tells of a failure, without a tag and the end of the line."""
        return self._say(self.later if passes(error) else self.refused, str(error))

    def goodbye(self, text: str) -> bytes:
        """The last line of a connection."""
        return self._say(self.farewell, text) + b"\r\n"

    def welcome(self, text: str) -> bytes:
        """What tells of success, without a tag and the end of the line."""
        return self._say(self.success, text)

    def _say(self, form: str, text: str) -> bytes:
        line = "".join(each if each.isprintable() else " " for each in text)[:_LONGEST]
        return form.replace("{}", self.fit(line)).encode()


SPEECH: Final = {
    # RFC 9051 section 7.1, RFC 5530
    Kind.IMAP: Speech("OK {}", "NO [AUTHENTICATIONFAILED] {}", "NO [UNAVAILABLE] {}", "* BYE {}"),
    # RFC 1939 section 3, RFC 3206
    Kind.POP: Speech("+OK {}", "-ERR [AUTH] {}", "-ERR [SYS/TEMP] {}", "-ERR [SYS/TEMP] {}"),
    # RFC 4954 section 6, RFC 5321 section 3.8
    Kind.SUBMISSION: Speech("235 2.7.0 {}", "535 5.7.8 {}", "454 4.7.0 {}", "421 4.3.2 {}"),
    # RFC 5804 section 1.3
    Kind.SIEVE: Speech('OK "{}"', 'NO "{}"', 'NO (TRYLATER) "{}"', 'BYE "{}"', escaped),
}
