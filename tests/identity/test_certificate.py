"""Identity certificates: what they have to say, and how one is made."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import Jwt
from tests.support.forging import altered
from tests.support.refusal import refused
from tests.support.world import ALICE, HOUR, START, key


def issued(**further: Any) -> str:
    return certificate.issue(
        "idp.test",
        ALICE,
        key("alice").public_key,
        issued_at=START,
        expires=START + HOUR,
        signing_key=key("idp"),
        **further,
    )


def with_claims(changes: dict[str, Any]) -> str:
    return jwt.sign(altered(Jwt.parse(issued()).claims, changes), key("idp"))


class TestMaking:
    def test_a_certificate_says_who_vouches_for_whose_key_and_how_long(self) -> None:
        parsed = Certificate.parse(issued())
        assert parsed.issuer == "idp.test"
        assert parsed.email == ALICE
        assert parsed.public_key == key("alice").public_key
        assert (parsed.issued_at, parsed.expires, parsed.not_before) == (START, START + HOUR, None)
        assert parsed.attributes == {}
        parsed.jwt.verify(key("idp").public_key)

    def test_further_claims_become_attributes(self) -> None:
        parsed = Certificate.parse(issued(attributes={"groups": ["staff"], "name": "Alice"}))
        assert parsed.attributes == {"groups": ["staff"], "name": "Alice"}

    @pytest.mark.parametrize("name", ["iss", "iat", "exp", "nbf", "public-key", "principal", "sub"])
    def test_an_attribute_cannot_stand_in_for_what_the_certificate_says(self, name: str) -> None:
        with refused(Code.INVALID_PARAMETER, f"'{name}'", LocalProtocolError):
            issued(attributes={"name": "Alice", name: "anything"})


class TestReading:
    def test_registered_claims_are_no_attributes(self) -> None:
        parsed = Certificate.parse(with_claims({"nbf": START, "jti": "1"}))
        assert parsed.attributes == {"jti": "1"}
        assert parsed.not_before == START

    def test_domains_are_read_in_lower_case_and_addresses_as_they_are(self) -> None:
        changes = {"iss": "IDP.Test", "principal": {"email": "Alice@IDP.test"}}
        parsed = Certificate.parse(with_claims(changes))
        assert parsed.issuer == "idp.test"
        assert parsed.email == "Alice@IDP.test"

    def test_the_address_may_stand_in_sub(self) -> None:
        parsed = Certificate.parse(with_claims({"principal": None, "sub": ALICE}))
        assert parsed.email == ALICE
        assert parsed.attributes == {}

    @pytest.mark.parametrize("same", [ALICE, "alice@IDP.TEST"])
    def test_or_in_both_places(self, same: str) -> None:
        parsed = Certificate.parse(with_claims({"sub": same}))
        assert parsed.email == ALICE
        assert parsed.attributes == {}

    @pytest.mark.parametrize("algorithm", ["RS256", "DS256", "ES256"])
    def test_the_key_may_be_of_any_kind(self, algorithm: str) -> None:
        public = key("alice", algorithm).public_key
        parsed = Certificate.parse(with_claims({"public-key": public.to_json()}))
        assert parsed.public_key == public


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": None}, Code.MISSING_ISSUER),
        ({"iss": 1}, Code.INVALID_ISSUER),
        ({"iss": ""}, Code.INVALID_ISSUER),
        ({"iss": ["idp.test"]}, Code.INVALID_ISSUER),
        ({"iss": "https://idp.test"}, Code.INVALID_ISSUER),
        ({"iss": "idp.test/../evil.test"}, Code.INVALID_ISSUER),
        ({"iss": "idp.test\n"}, Code.INVALID_ISSUER),
        ({"iss": "\u212adp.test"}, Code.INVALID_ISSUER),
        ({"iat": None}, Code.UNKNOWN_JSON_KEY),
        ({"exp": None}, Code.UNKNOWN_JSON_KEY),
        ({"exp": "tomorrow"}, Code.INVALID_JSON),
        ({"iat": -1}, Code.INVALID_JSON),
        ({"nbf": 1.5}, Code.INVALID_JSON),
        ({"principal": None}, Code.MISSING_PRINCIPAL),
        ({"principal": ALICE}, Code.MISSING_PRINCIPAL),
        ({"principal": {}}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": {"host": "idp.test"}}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": {"email": "alice"}}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": {"email": [ALICE]}}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": None, "sub": "alice"}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": None, "sub": ""}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": None, "sub": [ALICE]}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": None, "sub": {"email": ALICE}}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": {}, "sub": ALICE}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"principal": ALICE, "sub": ALICE}, Code.MISSING_PRINCIPAL),
        ({"sub": "bob@idp.test"}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"sub": "Alice@idp.test"}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"sub": "alice@other.test"}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"sub": "4711"}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"sub": 4711}, Code.UNKNOWN_PRINCIPAL_TYPE),
        ({"public-key": None}, Code.INVALID_KEY),
        ({"public-key": "key"}, Code.INVALID_KEY),
        ({"public-key": {}}, Code.INVALID_KEY),
        ({"public-key": {"kty": "oct", "k": "AAAA"}}, Code.INVALID_KEY),
    ],
    ids=str,
)
def test_what_is_missing_or_wrong_is_refused_by_its_own_code(
    changes: dict[str, Any], code: Code
) -> None:
    with refused(code):
        Certificate.parse(with_claims(changes))


def test_a_key_that_is_not_for_verifying_is_refused() -> None:
    for_encryption = key("alice").public_key.to_json() | {"use": "enc"}
    with refused(Code.INVALID_KEY):
        Certificate.parse(with_claims({"public-key": for_encryption}))


def test_a_short_key_is_refused_unless_it_is_permitted() -> None:
    short = {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}
    text = with_claims({"public-key": short})
    with refused(Code.KEY_TOO_SHORT):
        Certificate.parse(text)
    assert Certificate.parse(text, allow_legacy=True).public_key.algorithm.name == "RS128"
