"""base64url (RFC 4648 section 5), as JSON carries binary values in this protocol."""

from __future__ import annotations

import binascii
import re
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError

_URLSAFE_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]*={0,2}", re.ASCII)


def encode(data: bytes) -> str:
    """Encode without padding."""
    standard = binascii.b2a_base64(data, newline=False)
    return standard.rstrip(b"=").translate(_STANDARD_TO_URLSAFE).decode("ascii")


_STANDARD_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")


def decode(text: str, what: str) -> bytes:
    """Decode, with or without padding.

    :param what: names the value in the error, for example ``the signature``.
    :raises RemoteProtocolError: invalid-base64.
    """
    if not _SHAPE.fullmatch(text):
        raise _invalid(what, "it has characters outside of the base64url alphabet")
    bare = text.rstrip("=")
    missing = -len(bare) % 4
    if missing == 3 or len(text) not in (len(bare), len(bare) + missing):
        raise _invalid(what, "its length or its padding is wrong")
    padded = bare.encode("ascii").translate(_URLSAFE_TO_STANDARD) + b"=" * missing
    return binascii.a2b_base64(padded)


def _invalid(what: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.INVALID_BASE64, f"{what} is not base64url: {why}")
