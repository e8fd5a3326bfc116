"""What a mail program logs in with on loopback (RFC 4616, and the mechanism LOGIN)."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field

from browserid_sasl.errors import Code, RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password.

    :param authzid: who to act as; empty for oneself.
    """

    user: str
    password: str = field(repr=False)
    authzid: str = ""


def read_plain(message: bytes) -> Credentials:
    """The message of PLAIN.

    :raises RemoteProtocolError: bad-context-token for what is none.
    """
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise RemoteProtocolError(
            Code.BAD_CONTEXT_TOKEN, "this is no message of the mechanism PLAIN"
        )
    return Credentials(text(parts[1]), text(parts[2]), text(parts[0]))


def text(octets: bytes) -> str:
    """A name or a password.

    :raises RemoteProtocolError: it is not UTF-8, or has an octet 0.
    """
    try:
        decoded = octets.decode()
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded:
        raise RemoteProtocolError(
            Code.BAD_CONTEXT_TOKEN, "names and passwords are UTF-8 without octets that are 0"
        )
    return decoded


def read_base64(line: bytes) -> bytes:
    """A message as protocols carry it; ``=`` is an empty one (RFC 4954 section 4).

    :raises RemoteProtocolError: invalid-base64.
    """
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except ValueError:
        raise RemoteProtocolError(Code.INVALID_BASE64, "the response is not base64") from None
