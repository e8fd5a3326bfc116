"""E-mail addresses, domains and host names: the one place that says what they look like.

Two addresses are one if their domains are, without regard to the case of ASCII, and the parts
before it are the same to the letter: what case means there is for each domain's provider to say,
and a server that took ``Alice`` for ``alice`` would let in one for the other where it tells them
apart. Only a person's own programs are less strict, in finding who is meant (`agent.naming`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_ADDRESS: Final = 254
MAX_DOMAIN: Final = 253
MAX_PORT: Final = 65_535

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# What ends in a number is an IPv4 address to `inet_aton`, and so to resolvers and web browsers:
# 127.1, 0x7f.1 and 017700000001 are all loopback.
_HOST_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)\Z){_LABEL}")
_LOWER_CASE: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_LOCAL_PART: Final = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}")
# RFC 5321, section 4.1.2: Quoted-string and Dot-string.
_QUOTED: Final = re.compile(r'"(?P<local>(?:[^"\\]|\\[ -~])*)"@(?P<domain>[^@]*)')
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")


def is_dot_string(text: str) -> bool:
    """Whether text can stand before the @ of an address without quotes, in ASCII."""
    return _DOT_STRING.fullmatch(text) is not None


def read_port(text: str) -> int | None:
    """The number of a TCP port, None for what is none: they are 1 to `MAX_PORT`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT))):
        return None
    return number if 0 < (number := int(text)) <= MAX_PORT else None


def is_host_name(text: str) -> bool:
    """Whether `text` is a name of a host in lower case: no port, and no IP address in any form."""
    return len(text) <= MAX_DOMAIN and _HOST_NAME.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Whether `text` is a domain that can have addresses: a host name with a dot in it."""
    return "." in text and is_host_name(text)


def read_domain(text: str) -> str | None:
    """A domain in lower case, None if `text` is none. Case is that of ASCII."""
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


def normal_address(address: str) -> str | None:
    """An address with its domain in lower case, None if it is not an address."""
    domain = domain_of(address)
    return None if domain is None else address[: -len(domain)] + domain


def is_same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, or to the letter the same."""
    normal = normal_address(one)
    return one == other or (normal is not None and normal == normal_address(other))


def in_lower_case(text: str) -> str:
    """Text with its ASCII letters in lower case, and no other character changed."""
    return text.translate(_LOWER_CASE)


def without_needless_quotes(address: str) -> str:
    """An address as it is usually written: `"o'neil"@example.org` is `o'neil@example.org`.

    Both are one mailbox (RFC 5321, section 4.1.2). One that cannot do without its quotes stays as
    it is.
    """
    found = _QUOTED.fullmatch(address)
    if found is None:
        return address
    local = re.sub(r"\\(.)", r"\1", found["local"])
    return f"{local}@{found['domain']}" if _DOT_STRING.fullmatch(local) else address


def user_name(address: str, stripped: str) -> str:
    """What a program calls somebody whose address loses its domain if that is a certain one.

    :param address: an address, or whatever else somebody asks to act as, which stays as it is.
    :param stripped: the domain, in lower case; empty for none.
    """
    if not stripped or domain_of(address) != stripped:
        return address
    return address[: -len(stripped) - 1]
