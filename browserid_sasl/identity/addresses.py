"""E-mail addresses and domain names as certificates carry them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_ADDRESS: Final = 254
MAX_DOMAIN: Final = 253

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
_LOCAL_PART: Final = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}")


def is_domain(text: str) -> bool:
    """Whether `text` is a host name in lower case and nothing else: no port, no IP address."""
    return len(text) <= MAX_DOMAIN and _DOMAIN.fullmatch(text) is not None


def read_domain(text: str) -> str | None:
    """A host name in lower case, None if `text` is none. Case is that of ASCII."""
    return _read_domain(text) if len(text) <= MAX_DOMAIN else None


@lru_cache(maxsize=1024)
def _read_domain(text: str) -> str | None:
    # `str.lower` turns the Kelvin sign into a `k`, and so one domain into another.
    domain = text.lower() if text.isascii() else text
    return domain if is_domain(domain) else None


def domain_of(address: str) -> str | None:
    """The domain of an e-mail address in lower case, None if it is not an address."""
    return _domain_of(address) if len(address) <= MAX_ADDRESS else None


@lru_cache(maxsize=1024)
def _domain_of(address: str) -> str | None:
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or not local.isprintable():
        return None
    return read_domain(domain)
