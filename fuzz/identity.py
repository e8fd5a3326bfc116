"""Certificates, assertions, support documents, revocation lists and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from browserid_sasl.identity.addresses import domain_of, is_host_name, read_domain
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.revocations import parse_revocation_list
from browserid_sasl.identity.support import parse_support_document
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import Jwt
from fuzz.jose import SECRET, as_text
from fuzz.target import Target
from fuzz.worlds import recorded, world
from tests.support.world import key, support_document


def backed_assertions() -> Iterator[bytes]:
    """As they are recorded, and one of each shape."""
    yield from (message.partition(b",")[2] for message in recorded("initiator") if b"~" in message)
    yield b"~" + jwt.unsigned({}).encode()


def _certificate() -> str:
    return world().person.certificate()


def _read_claims(octets: bytes) -> None:
    Certificate.parse(jwt.sign(octets, SECRET), allow_legacy=True)


def _support_documents() -> Iterator[bytes]:
    document = support_document(key("idp"), key("new", "ES256"))
    yield strict_json.dumps(document)
    yield strict_json.dumps(document | {"certify": "/certify", "disabled": False})
    yield b'{"authority":"other.test"}'
    yield b'{"disabled":true}'


_REVOKED: Final = {
    "iss": "idp.test",
    "iat": 1_795_282_504_224,
    "exp": 1_795_282_804_224,
    "revoked": ["x" * 43],
}


def _read_revocation_list(octets: bytes) -> None:
    keys = (key("idp").public_key, key("new", "ES256").public_key)
    parse_revocation_list(octets, "idp.test", keys, 1_795_282_504_224, 0)


TARGETS: Final = (
    Target("identity-backed-assertion", BackedAssertion.parse, backed_assertions),
    Target(
        "identity-certificate",
        lambda octets: Certificate.parse(as_text(octets)),
        lambda: (_certificate().encode(),),
    ),
    Target(
        "identity-certificate-claims",
        _read_claims,
        lambda: (strict_json.dumps(Jwt.parse(_certificate()).claims),),
    ),
    Target("identity-support-document", parse_support_document, _support_documents),
    Target(
        "identity-address",
        lambda octets: domain_of(as_text(octets)),
        lambda: (b"alice@idp.test", b"a.b+c@xn--mnchen-3ya.example"),
    ),
    Target(
        "identity-domain",
        lambda octets: (read_domain(as_text(octets)), is_host_name(as_text(octets))),
        lambda: (b"idp.test", b"xn--mnchen-3ya.example", b"192.0.2.1", b"[::1]"),
    ),
    Target(
        "identity-revocation-list",
        _read_revocation_list,
        lambda: (
            jwt.sign(_REVOKED, key("idp")).encode(),
            jwt.sign(_REVOKED | {"revoked": []}, key("new", "ES256")).encode(),
        ),
    ),
    Target(
        "identity-revocation-list-claims",
        lambda octets: _read_revocation_list(jwt.sign(octets, key("idp")).encode()),
        lambda: (strict_json.dumps(_REVOKED),),
    ),
)
