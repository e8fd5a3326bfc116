"""X.509 certificates in words, as they stand in a token's `x5c`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.gss.x509_names import names_of
from browserid_sasl.jose.keys import public_key_from
from browserid_sasl.printer.documents import kind_of
from browserid_sasl.printer.node import Node, branch, wrong
from browserid_sasl.printer.times import beginning, expiry

_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def certificate(label: str, der: bytes, now: int) -> Node:
    """A certificate: for whom, from whom, for how long, and its key."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        return branch(label, list(_facts(parsed, now)))
    except _UNREADABLE:
        return wrong(label, f"{len(der)} octets that are no X.509 certificate")


def _facts(parsed: x509.Certificate, now: int) -> Iterator[Node]:
    yield Node("subject", parsed.subject.rfc4514_string())
    yield Node("issuer", parsed.issuer.rfc4514_string())
    hosts, services = names_of(parsed)
    yield Node("names", ", ".join(services or hosts) or "none")
    yield beginning("not before", _ms(parsed.not_valid_before_utc.timestamp()), now)
    yield expiry("not after", _ms(parsed.not_valid_after_utc.timestamp()), now)
    yield _key(parsed)


def _key(parsed: x509.Certificate) -> Node:
    try:
        return Node("key", kind_of(public_key_from(parsed.public_key(), allow_legacy=True)))
    except BrowserIDError as error:
        return wrong("key", error.message)


def _ms(seconds: float) -> int:
    return int(seconds) * 1000
