"""The key schedule (PROTOCOL.md section 5)."""

from __future__ import annotations

import hmac
from typing import Final

_LABEL: Final = b"BrowserID"


def derive(key: bytes, salt: bytes) -> bytes:
    """``HMAC-SHA256(key, "BrowserID" || key || salt || 0x01)``, 32 octets.

    The key is also part of the input: the protocol has it so.
    """
    return hmac.digest(key, b"%b%b%b\x01" % (_LABEL, key, salt), "sha256")


def response_key(context_master_key: bytes) -> bytes:
    """RRK, which signs the acceptor's response."""
    return derive(context_master_key, b"RRK")


def authenticator_root_key(context_master_key: bytes) -> bytes:
    """ARK, kept with a ticket; signs re-authentication assertions."""
    return derive(context_master_key, b"ARK")


def authenticator_session_key(authenticator_root_key: bytes, nonce: bytes) -> bytes:
    """ASK, the context master key of a re-authentication."""
    return derive(authenticator_root_key, nonce)


def extra_round_trip_key(context_master_key: bytes, jti: bytes) -> bytes:
    """XRTK, the context master key after an extra round trip."""
    return derive(context_master_key, jti)


def context_root_key(context_master_key: bytes) -> bytes:
    """The 32 octets from which CRK, the RFC 4121 base key, is made by `random-to-key`."""
    return derive(context_master_key, b"CRK")
