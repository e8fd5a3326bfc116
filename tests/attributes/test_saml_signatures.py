"""SAML assertions that their authority has signed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.attributes.claims import NameAttribute
from browserid_sasl.attributes.saml import ASSERTION_NAME, ATTRIBUTE_PREFIX, SamlVerifier
from tests.support.certificates import DAY, NOW, Issued, issue
from tests.support.saml import ISSUER, MEMBER, MEMBER_NAME, URI, assertion, attribute, read
from tests.support.world import START

pytest.importorskip("signxml", reason="needs the extra `saml`")

from signxml.algorithms import DigestAlgorithm

from browserid_sasl.attributes.saml_signatures import SignatureVerifier
from tests.support import saml_signing

AUTHORITY = issue("authority", key=rsa.generate_private_key(65537, 2048))
STRANGER = issue("stranger")
KEYS = SignatureVerifier(
    {ISSUER: [STRANGER.certificate, AUTHORITY.certificate], "https://other.example.org": []}
)


def sign(xml: str, signer: Issued = AUTHORITY, **options: Any) -> str:
    return saml_signing.sign(xml, signer, **options)


def is_authenticated(xml: str, verifier: SamlVerifier = KEYS, now: int = START) -> bool:
    found = read(xml, verifier, now)
    (verdict,) = {each.authenticated for each in found.values()}
    return verdict


def conditions(**times: str) -> str:
    return "<saml:Conditions {}/>".format(" ".join(f'{k}="{v}"' for k, v in times.items()))


class TestSignedAssertion:
    @pytest.mark.parametrize("signer", [AUTHORITY, STRANGER], ids=["RSA", "P-256"])
    def test_is_authenticated_by_a_configured_key(self, signer: Issued) -> None:
        xml = sign(assertion(MEMBER), signer)
        found = read(xml, KEYS)
        assert found[MEMBER_NAME] == NameAttribute(MEMBER_NAME, ("staff", "member"), True)
        assert found[ASSERTION_NAME].authenticated
        assert not is_authenticated(xml, SignatureVerifier({}))

    def test_by_another_issuer_s_key_it_is_not(self) -> None:
        xml = sign(assertion(MEMBER, issuer="https://other.example.org"))
        assert not is_authenticated(xml)

    def test_by_a_key_that_only_comes_with_it_it_is_not(self) -> None:
        verifier = SignatureVerifier({ISSUER: [STRANGER.certificate]})
        assert not is_authenticated(sign(assertion(MEMBER)), verifier)

    def test_without_a_signature_it_is_not(self) -> None:
        assert not is_authenticated(assertion(MEMBER))

    def test_altered_it_is_not(self) -> None:
        xml = sign(assertion(MEMBER)).replace(">staff<", ">admin<")
        assert not is_authenticated(xml)

    def test_under_an_expired_certificate_it_is_not(self) -> None:
        old = issue("old", key=AUTHORITY.key, ends=NOW - DAY / 2)
        verifier = SignatureVerifier({ISSUER: [old.certificate]})
        assert not is_authenticated(sign(assertion(MEMBER)), verifier)

    @pytest.mark.parametrize(
        "options",
        [{"digest_algorithm": DigestAlgorithm.SHA224}, {"signature_algorithm": "rsa-sha224"}],
    )
    def test_by_a_weak_algorithm_it_is_not(self, options: dict[str, Any]) -> None:
        assert not is_authenticated(sign(assertion(MEMBER), **options))

    def test_a_signed_assertion_wrapped_in_a_forged_one_is_not(self) -> None:
        genuine = sign(assertion(MEMBER))
        signature = genuine[genuine.index("<ds:Signature ") : genuine.index("</saml:Assertion>")]
        inner = genuine.replace(signature, "")
        forged = assertion(attribute("role", "root")).replace('ID="_1"', 'ID="_2"')
        wrapped = forged.replace("</saml:Assertion>", f"{signature}{inner}</saml:Assertion>")
        found = read(wrapped, KEYS)
        # Either nothing is believed, or what was signed and nothing of what was put around it.
        assert all(
            not each.authenticated or "root" not in "".join(each.values) for each in found.values()
        )
        assert f"{ATTRIBUTE_PREFIX} {URI} role" not in {
            name for name, each in found.items() if each.authenticated
        }

    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            ({}, True),
            ({"NotBefore": "2026-11-21T16:00:00Z", "NotOnOrAfter": "2026-11-21T17:00:00Z"}, True),
            ({"NotBefore": "2026-11-21T17:00:00+01:00"}, True),
            ({"NotBefore": "2026-11-21T17:00:00Z"}, False),
            ({"NotOnOrAfter": "2026-11-21T16:00:00Z"}, False),
            ({"NotOnOrAfter": "2026-11-21T16:07:24Z"}, False),
            ({"NotOnOrAfter": "2030-01-01T00:00:00"}, False),
            ({"NotOnOrAfter": "some day"}, False),
        ],
    )
    def test_is_authenticated_while_it_is_in_force(
        self, times: dict[str, str], expected: bool
    ) -> None:
        assert START == 1_795_277_244_000  # 2026-11-21 16:07:24 UTC
        xml = sign(assertion(MEMBER, conditions=conditions(**times)))
        assert is_authenticated(xml) is expected

    def test_only_what_was_signed_is_surfaced(self) -> None:
        class Elsewhere:
            """Says that something else than what came was signed."""

            def signed_part(self, xml: bytes, issuer: str, now: int) -> bytes | None:
                return assertion(MEMBER, issuer="https://other.example.org").encode()

        xml = assertion(attribute("role", "root"))
        found = read(xml, Elsewhere())
        assert MEMBER_NAME in found
        assert "root" not in str(found)
        assert not any(each.authenticated for each in found.values())

    @given(st.data())
    def test_whatever_is_altered_is_not_authenticated(self, data: st.DataObject) -> None:
        octets = bytearray(SIGNED.encode())
        position = data.draw(st.integers(0, len(octets) - 1))
        octets[position] ^= data.draw(st.integers(1, 127))
        issuer = ISSUER
        signed = KEYS.signed_part(bytes(octets), issuer, START)
        assert signed in (None, KEYS.signed_part(SIGNED.encode(), issuer, START))


SIGNED = sign(assertion(MEMBER))
