"""Servers that may be the right ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity.addresses import in_lower_case, is_host_name, read_port
from browserid_sasl.proxy.accounts import Kind, Security

PORTS: Final[Mapping[Kind, tuple[tuple[int, Security], ...]]] = {
    Kind.IMAP: ((993, Security.TLS), (143, Security.STARTTLS)),
    Kind.POP: ((995, Security.TLS), (110, Security.STARTTLS)),
    Kind.SUBMISSION: ((465, Security.TLS), (587, Security.STARTTLS)),
    Kind.SIEVE: ((4190, Security.STARTTLS),),
}
"""Where servers usually are; TLS from the first octet first (RFC 8314 section 3)."""

_GUESSED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.IMAP: ("imap.", "mail.", ""),
    Kind.POP: ("pop.", "mail.", ""),
    Kind.SUBMISSION: ("smtp.", "mail.", ""),
    Kind.SIEVE: ("sieve.", "imap.", "mail.", ""),
}


class Source(StrEnum):
    """Who says that a server is one."""

    OPTION = "option"
    DNS = "dns"
    AUTOCONFIG = "autoconfig"
    GUESS = "guess"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that may be the right one.

    :param host: its name, in lower case.
    """

    kind: Kind
    host: str
    port: int
    security: Security
    source: Source

    @property
    def place(self) -> tuple[Kind, str, int, Security]:
        """What it is, whoever says so."""
        return self.kind, self.host, self.port, self.security

    def belongs_to(self, domain: str) -> bool:
        """Whether its name is the domain's own."""
        return self.host == domain or self.host.endswith(f".{domain}")

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.security})"


def guesses(domain: str, kind: Kind) -> Iterator[Candidate]:
    """The usual names in a domain, at the usual ports."""
    for prefix in _GUESSED[kind]:
        yield from at_host(f"{prefix}{domain}", kind, Source.GUESS)


def at_host(host: str, kind: Kind, source: Source) -> Iterator[Candidate]:
    """The usual ports of a host."""
    for port, security in PORTS[kind]:
        yield Candidate(kind, host, port, security, source)


def everywhere(host: str) -> Iterator[Candidate]:
    """All services that a host that somebody has named may have, at the usual ports."""
    for kind in Kind:
        yield from at_host(host, kind, Source.OPTION)


def read_option(text: str, kind: Kind) -> list[Candidate]:
    """What somebody means by ``HOST[:PORT][/tls|/starttls]``; several are tried in their order.

    :raises LocalProtocolError: it is no such thing.
    """
    place, slash, word = text.partition("/")
    host, colon, port = place.partition(":")
    host = in_lower_case(host)
    number = read_port(port)
    if not is_host_name(host) or (colon and number is None) or (slash and word not in [*Security]):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{text[:300]!r} is not the place of a server",
            "such as mail.example.org, mail.example.org:1993 or mail.example.org:1143/starttls; a"
            " certificate proves a name, and no address",
        )
    return list(_meant(kind, host, number, Security(word) if slash else None))


def _meant(
    kind: Kind, host: str, port: int | None, security: Security | None
) -> Iterator[Candidate]:
    usual = dict(PORTS[kind])
    if port is None:
        yield from (
            each
            for each in at_host(host, kind, Source.OPTION)
            if security is None or each.security is security
        )
    elif security is not None:
        yield Candidate(kind, host, port, security, Source.OPTION)
    else:
        for way in (usual[port],) if port in usual else tuple(Security):
            yield Candidate(kind, host, port, way, Source.OPTION)
