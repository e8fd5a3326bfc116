"""Backed assertions: an assertion with the certificates behind it (PROTOCOL.md section 1.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.jose.jwt import Jwt

MAX_LENGTH: Final = 65_536
MAX_CERTIFICATES: Final = 10


@dataclass(frozen=True, slots=True)
class BackedAssertion:
    """A backed assertion taken apart; nothing in it is verified.

    :param text: its canonical spelling: ``cert~assertion``, or ``~assertion`` without any.
    :param certificates: texts of the certificates, the root's first.
    :param assertion: the assertion.
    """

    text: str = field(repr=False)
    certificates: tuple[str, ...]
    assertion: Jwt

    @classmethod
    def parse(cls, octets: bytes) -> BackedAssertion:
        """Take a backed assertion apart.

        :raises RemoteProtocolError: invalid-assertion, buffer-too-long, and the errors of
            `Jwt.parse`.
        """
        if len(octets) > MAX_LENGTH:
            raise RemoteProtocolError(
                Code.BUFFER_TOO_LONG, f"the assertion is longer than {MAX_LENGTH} octets"
            )
        try:
            text = octets.decode("ascii")
        except UnicodeDecodeError:
            raise _malformed("it has octets outside of ASCII") from None
        *certificates, assertion = text.removeprefix("~").split("~")
        if len(certificates) > MAX_CERTIFICATES:
            raise _malformed(f"it has more than {MAX_CERTIFICATES} certificates")
        if "" in certificates or (certificates and text.startswith("~")):
            raise _malformed("a certificate in it is empty")
        canonical = text if certificates else f"~{assertion}"
        return cls(canonical, tuple(certificates), Jwt.parse(assertion, "the assertion"))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical text: the ticket identifier's octets (section 5.2)."""
        return hashlib.sha256(self.text.encode("ascii")).digest()

    @property
    def ticket_id(self) -> str:
        """`digest` in base64url, as `tid` carries it."""
        return b64.encode(self.digest)


def _malformed(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.INVALID_ASSERTION, f"the assertion is malformed: {why}")
