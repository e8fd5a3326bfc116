"""Octets in a field of a line: base64 (RFC 4648 section 4)."""

from __future__ import annotations

import binascii

from browserid_sasl.errors import Code, RemoteProtocolError


def encode(octets: bytes) -> str:
    """Octets as a field."""
    return binascii.b2a_base64(octets, newline=False).decode("ascii")


def decode(text: str) -> bytes:
    """The octets that a field stands for; programs write ``=`` for none (RFC 4954 section 4).

    :raises RemoteProtocolError: invalid-base64.
    """
    if text in ("", "="):
        return b""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise RemoteProtocolError(Code.INVALID_BASE64, "the data is not base64") from None
