"""What browsers send to the identity provider's pages: answers of passkeys, and forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, Final

from webauthn.helpers import encode_cbor

from browserid_sasl.idp.passkey_answers import Answer, authentication, registration
from browserid_sasl.idp.relying_party import RelyingParty
from browserid_sasl.idp.web.forms import parse_fields
from fuzz.target import Target
from tests.support.authenticator import Authenticator, cose

PARTY: Final = RelyingParty.at("https://example.test")
ALGORITHMS: Final = (-7, -8, -257)
CREATE: Final[dict[str, Any]] = {
    "challenge": "AAAA",
    "rp": {"id": "example.test"},
    "user": {"id": "AAAA"},
}
GET: Final = {"challenge": "AAAA", "rpId": "example.test"}


@cache
def _devices() -> tuple[Authenticator, ...]:
    return tuple(Authenticator(algorithm=algorithm) for algorithm in ALGORITHMS)


@cache
def _public_key() -> bytes:
    device, *_ = _devices()
    assert device.key
    return encode_cbor(cose(device.key, device.algorithm))


def _made() -> Iterator[bytes]:
    for device in _devices():
        yield device.create(CREATE).encode()


def _used() -> Iterator[bytes]:
    for device in _devices():
        yield device.get(GET).encode()


def _register(octets: bytes) -> None:
    registration(Answer.parse(octets), PARTY)


def _authenticate(octets: bytes) -> None:
    authentication(Answer.parse(octets), _public_key(), PARTY)


def _parts(name: str, answers: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    """Seeds for one part of an answer."""

    def seeds() -> Iterator[bytes]:
        for text in answers():
            answer = Answer.parse(text)
            yield answer.client_data if name == "clientDataJSON" else answer.response[name]

    return seeds


def _register_attestation(octets: bytes) -> None:
    answer = Answer.parse(next(_made()))
    registration(replace(answer, response={"attestationObject": octets}), PARTY)


def _authenticate_data(octets: bytes) -> None:
    answer = Answer.parse(next(_used()))
    response = answer.response | {"authenticatorData": octets}
    authentication(replace(answer, response=response), _public_key(), PARTY)


def _read_key(octets: bytes) -> None:
    answer = Answer.parse(next(_used()))
    authentication(answer, octets, PARTY)


def _read_form(octets: bytes) -> None:
    parse_fields(octets.decode("ascii", "replace"))


TARGETS: Final = (
    Target("idp-made", _register, _made),
    Target("idp-used", _authenticate, _used),
    Target("idp-attestation", _register_attestation, _parts("attestationObject", _made)),
    Target("idp-authenticator-data", _authenticate_data, _parts("authenticatorData", _used)),
    Target("idp-public-key", _read_key, lambda: (_public_key(),)),
    Target(
        "idp-form",
        _read_form,
        lambda: (b"csrf=abc&next=%2Fbrowserid%2Faccount&password=correct+horse%C3%A9", b"a=&b="),
    ),
)
