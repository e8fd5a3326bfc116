"""People's certificates in headers, as front servers hand them on, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from cryptography import x509

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.idp.backends import DeniedError
from browserid_sasl.idp.backends.certificate_headers import Form, read_certificate, read_chain
from browserid_sasl.idp.backends.certificate_names import Naming
from browserid_sasl.idp.backends.certificate_trust import PeopleTrust
from browserid_sasl.x509.paths import UntrustedError
from fuzz.target import Target
from tests.support.cards import Card, CardAuthority, now, upn


@cache
def _authority() -> CardAuthority:
    return CardAuthority()


@cache
def _card() -> Card:
    name = "lena@example.test"
    return _authority().card(x509.RFC822Name(name), upn(name), serial="4711", user_id="lla")


@cache
def _trust() -> PeopleTrust:
    return PeopleTrust([_authority().issued.certificate], None)


def _in_form(form: Form) -> Target:
    def read(octets: bytes) -> None:
        read_certificate(form, octets.decode("latin-1"))

    return Target(f"certificates-{form}", read, lambda: (getattr(_card(), form).encode(),))


def _read_chain(octets: bytes) -> None:
    read_chain(octets.decode("latin-1").split("\n"))


def _chains() -> Iterator[bytes]:
    one = _card().rfc9440.encode()
    yield from (one, one + b", " + one, one + b"\n" + one)


def _denied(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """What is refused in the words of a backend, as an error of this package."""

    def refusing(octets: bytes) -> None:
        try:
            read(octets)
        except (DeniedError, UntrustedError) as error:
            raise RemoteProtocolError(Code.UNTRUSTED_X509_CERT, str(error)) from None

    return refusing


def _verify(octets: bytes) -> None:
    path = _trust().verify([octets], int(now().timestamp() * 1000))
    Naming("serial-number", "email", "example.test").holder(path)


TARGETS = (
    _in_form("rfc9440"),
    _in_form("nginx"),
    _in_form("apache"),
    Target("certificates-chain", _read_chain, _chains),
    Target("certificates-verified", _denied(_verify), lambda: (_card().der,)),
)
