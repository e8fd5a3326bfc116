"""The credential source: whose key signs, and when signing in is needed first."""

from __future__ import annotations

import pytest

from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity import certificate
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.memory import MemoryIdentityStore

ALICE = "alice@example.test"
BOB = "bob@example.test"
NOW = 1_795_282_504_224
HOUR = 3_600_000
KEY = PrivateKey.generate("ES256")


def record(identity: str, expires: int = NOW + HOUR) -> IdentityRecord:
    text = certificate.issue(
        "example.test",
        identity,
        KEY.public_key,
        issued_at=NOW - HOUR,
        expires=expires,
        signing_key=KEY,
    )
    return IdentityRecord(identity, KEY.to_pem(), text, expires)


def source(
    *records: IdentityRecord, identity: str = "", default: str = ""
) -> AgentCredentialSource:
    store = MemoryIdentityStore()
    for entry in records:
        store.put(entry)
    return AgentCredentialSource(store, identity, lambda: NOW, default=default)


class TestIdentity:
    def test_is_the_only_one(self) -> None:
        assert source(record(ALICE)).identity == ALICE

    def test_is_the_configured_one_of_several(self) -> None:
        assert source(record(ALICE), record(BOB), default=BOB).identity == BOB
        assert source(record(ALICE), record(BOB), default=BOB, identity=ALICE).identity == ALICE

    def test_is_found_whatever_its_case(self) -> None:
        assert source(record(ALICE), identity="Alice@Example.test").identity == ALICE

    def test_has_to_be_chosen_of_several(self) -> None:
        with pytest.raises(CredentialError, match=f"{ALICE}, {BOB}") as raised:
            _ = source(record(ALICE), record(BOB)).identity
        assert raised.value.code is Code.NO_DEFAULT_IDENTITY

    def test_needs_a_sign_in_when_there_is_none(self) -> None:
        with pytest.raises(CredentialError, match="nobody is signed in") as raised:
            _ = source().identity
        assert raised.value.code is Code.INTERACT_REQUIRED
        assert "browserid login you@example.org" in raised.value.remedy

    def test_needs_a_sign_in_when_it_is_not_the_configured_one(self) -> None:
        with pytest.raises(CredentialError, match=f"{BOB} is not signed in") as raised:
            _ = source(record(ALICE), identity=BOB).identity
        assert f"browserid login {BOB}" in raised.value.remedy

    def test_is_not_one_without_a_certificate(self) -> None:
        with pytest.raises(CredentialError, match="nobody is signed in"):
            _ = source(IdentityRecord(ALICE, KEY.to_pem(), "", 0)).identity

    def test_is_known_after_the_certificate_has_expired_for_tickets(self) -> None:
        assert source(record(ALICE, expires=NOW - 1)).identity == ALICE


class TestAssertion:
    CLAIMS = b'{"aud":"urn:x-gss:imap/mail.example.org", "exp":1}'

    def test_is_backed_by_the_certificate_and_signed_by_its_key(self) -> None:
        signed_in = record(ALICE)
        backed = BackedAssertion.parse(source(signed_in).assertion(self.CLAIMS).encode())
        assert backed.certificates == (signed_in.certificate,)
        backed.assertion.verify(Certificate.parse(signed_in.certificate).public_key)

    def test_has_the_claims_octet_for_octet(self) -> None:
        text = source(record(ALICE)).assertion(self.CLAIMS)
        payload = text.rpartition("~")[2].split(".")[1]
        assert b64.decode(payload, "the payload") == self.CLAIMS

    @pytest.mark.parametrize("left", [-HOUR, 0, 29_999, 30_000])
    def test_needs_a_sign_in_when_the_certificate_is_about_to_expire(self, left: int) -> None:
        with pytest.raises(CredentialError, match="has expired") as raised:
            source(record(ALICE, expires=NOW + left)).assertion(self.CLAIMS)
        assert raised.value.code is Code.INTERACT_REQUIRED
        assert f"browserid login {ALICE}" in raised.value.remedy

    def test_is_made_until_then(self) -> None:
        assert source(record(ALICE, expires=NOW + 30_001)).assertion(self.CLAIMS)

    def test_the_key_is_in_no_representation(self) -> None:
        assert "PRIVATE" not in repr(source(record(ALICE)).__dict__)
        assert "PRIVATE" not in repr(record(ALICE))
