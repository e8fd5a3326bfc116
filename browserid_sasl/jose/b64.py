"""base64url (RFC 4648 section 5), as JSON carries binary values in this protocol."""

from __future__ import annotations

import binascii
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError

_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
# The two letters that only standard base64 has become ones that no alphabet has.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")


def encode(data: bytes) -> str:
    """Encode without padding."""
    standard = binascii.b2a_base64(data, newline=False)
    return standard.rstrip(b"=").translate(_TO_URLSAFE).decode("ascii")


def decode(text: str, what: str) -> bytes:
    """Decode, with or without padding.

    :param what: names the value in the error, for example ``the signature``.
    :raises RemoteProtocolError: invalid-base64.
    """
    try:
        octets = text.encode("ascii").translate(_TO_STANDARD)
        bare = octets.rstrip(b"=")
        padded = bare + b"=" * (-len(bare) % 4)
        if len(octets) not in (len(bare), len(padded)):
            raise binascii.Error
        return binascii.a2b_base64(padded, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise RemoteProtocolError(
            Code.INVALID_BASE64,
            f"{what} is not base64url",
            "only A-Z, a-z, 0-9, - and _ are, with no padding or the right one",
        ) from None
