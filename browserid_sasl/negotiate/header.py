"""The header fields of HTTP ``Negotiate`` (RFC 4559 section 4.1)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.sasl.channel_binding import ChannelBinding

SCHEME: Final = "Negotiate"
MAX_LENGTH: Final = 16_384
"""Characters of a token in base64. Web servers take no longer header fields."""


def write(token: bytes) -> str:
    """A field's value that carries a token."""
    return f"{SCHEME} {base64.b64encode(token).decode('ascii')}"


def read(value: str) -> bytes | None:
    """The token in the value of ``Authorization`` or ``WWW-Authenticate``.

    :returns: None for a value of another scheme, octets, maybe none, for one of this.
    :raises RemoteProtocolError: buffer-too-long, or invalid-base64.
    """
    scheme, _, text = value.strip().partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    if len(text) > MAX_LENGTH:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"the token in the header is longer than {MAX_LENGTH} characters"
        )
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError(
            Code.INVALID_BASE64, "the token in the header is not base64"
        ) from None


def application_data(binding: ChannelBinding) -> bytes:
    """What GSS-API is given as the channel's binding (RFC 5056 section 2.1)."""
    return binding.type.encode("ascii") + b":" + binding.data
