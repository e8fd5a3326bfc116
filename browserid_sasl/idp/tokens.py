"""Secrets that stand for something in the database, which has only their digests.

Whoever reads the database, or a copy of it, can use none of them.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from browserid_sasl.jose import b64

MAX_TOKEN: Final = 128
"""Characters of a token that is looked for at the most."""

_OCTETS: Final = 32


def new_token() -> str:
    """A secret of 256 random bits, in base64url."""
    return b64.encode(secrets.token_bytes(_OCTETS))


def digest(token: str) -> str:
    """What is kept of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
