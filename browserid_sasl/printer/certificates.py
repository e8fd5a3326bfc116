"""X.509 certificates in words, as they stand in a token's `x5c`."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.jose.keys import PublicKey, public_key_from
from browserid_sasl.printer.documents import kind_of
from browserid_sasl.printer.node import Node, branch, wrong
from browserid_sasl.printer.times import beginning, expiry
from browserid_sasl.x509.names import UNREADABLE, names_of


def certificate(label: str, der: bytes, now: int) -> Node:
    """A certificate: for whom, from whom, for how long, and its key."""
    try:
        return branch(label, _facts(x509.load_der_x509_certificate(der), now))
    except UNREADABLE:
        return wrong(label, f"{len(der)} octets that are no X.509 certificate")


def key_of(der: bytes) -> PublicKey | None:
    """The key of a certificate, None if it is none that is used here."""
    try:
        return public_key_from(x509.load_der_x509_certificate(der).public_key(), allow_legacy=True)
    except (*UNREADABLE, BrowserIDError):
        return None


def _facts(parsed: x509.Certificate, now: int) -> Iterator[Node]:
    yield Node("subject", parsed.subject.rfc4514_string())
    yield Node("issuer", parsed.issuer.rfc4514_string())
    hosts, services = names_of(parsed)
    yield Node("names", ", ".join(services or hosts) or "none")
    yield beginning("not before", _ms(parsed.not_valid_before_utc.timestamp()), now)
    yield expiry("not after", _ms(parsed.not_valid_after_utc.timestamp()), now)
    yield Node("key", _key(parsed))


def _key(parsed: x509.Certificate) -> str:
    try:
        return kind_of(public_key_from(parsed.public_key(), allow_legacy=True))
    except BrowserIDError as error:
        return error.message


def _ms(seconds: float) -> int:
    return int(seconds) * 1000
