"""What saslplug.h numbers besides results."""

from __future__ import annotations

from enum import IntEnum


class Disposition(IntEnum):
    """What a client does about channel binding (saslplug.h, the flags of RFC 5801 section 5)."""

    NONE = 0
    WANT = 1
    USED = 2
