"""Web origins, the audiences of assertions for web sites (RFC 6454)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.identity.addresses import MAX_DOMAIN, MAX_PORT, is_host_name

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "app": 80}
"""Schemes of origins, with the port that an origin without one has."""

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)
_IPV4: Final = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", re.ASCII)
_MAX_LENGTH: Final = MAX_DOMAIN + 16


@dataclass(frozen=True, slots=True)
class WebOrigin:
    """Where a web site is. Two are the same when they compare equal.

    :param scheme: one of `DEFAULT_PORTS`.
    :param host: in lower case; an IPv6 address in brackets.
    :param port: the one that is meant where none is written, too.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> WebOrigin:
        """Read ``scheme://host[:port]``, with a slash at its end or without.

        :raises RemoteProtocolError: bad-audience when it is none.
        """
        found = _ORIGIN.fullmatch(text.lower()) if is_origin(text) else None
        if found is None or found["scheme"] not in DEFAULT_PORTS or not _is_host(found["host"]):
            raise _bad(text)
        port = int(found["port"] or DEFAULT_PORTS[found["scheme"]])
        if not 0 < port <= MAX_PORT:
            raise _bad(text)
        return cls(found["scheme"], found["host"], port)

    @classmethod
    def of_site(cls, text: str) -> WebOrigin:
        """Read what a web site calls itself: an origin, or a host and perhaps a port.

        Persona's verifier took both, and a name without a scheme for one of ``http``. So nothing
        that is made for a site with TLS is good for it.

        :raises RemoteProtocolError: bad-audience when it is neither.
        """
        return cls.parse(text if "://" in text else f"http://{text}")

    def __str__(self) -> str:
        usual = self.port == DEFAULT_PORTS[self.scheme]
        return f"{self.scheme}://{self.host}" + ("" if usual else f":{self.port}")


def is_origin(text: str) -> bool:
    """Whether a text is meant as an origin, and short enough and of characters for one."""
    return "://" in text and text.isascii() and len(text) <= _MAX_LENGTH


def _is_host(text: str) -> bool:
    return text.startswith("[") or bool(_IPV4.fullmatch(text)) or is_host_name(text)


def _bad(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.BAD_AUDIENCE,
        f"{text[:60]!a} is not the origin of a web site",
        "an origin is a scheme, a host and perhaps a port, such as https://example.org:8443",
    )
