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
            raise ValueError
        return _decode(padded)
    except ValueError:
        raise RemoteProtocolError(
            Code.INVALID_BASE64,
            f"{what} is not base64url",
            "only A-Z, a-z, 0-9, - and _ are, with no padding or the right one, and no bits "
            "left over at the end",
        ) from None


def decode_standard(value: object, what: str) -> bytes:
    """Decode a string of plain base64 (RFC 4648 section 4), which is padded.

    :param value: what stands where the string should be.
    :param what: names it in the error.
    :raises RemoteProtocolError: invalid-base64, also when it is no string.
    """
    try:
        return _decode(value.encode("ascii") if isinstance(value, str) else b"=")
    except ValueError:
        raise RemoteProtocolError(Code.INVALID_BASE64, f"{what} is not base64") from None


def _decode(padded: bytes) -> bytes:
    octets = binascii.a2b_base64(padded, strict_mode=True)
    # The last character may have bits that no octet takes up: with them set, the same octets
    # would have several spellings.
    if binascii.b2a_base64(octets, newline=False) != padded:
        raise ValueError
    return octets
