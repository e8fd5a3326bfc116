"""What makes an assertion believed: times, certificate, signatures; and what makes it a replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate, issue
from browserid_sasl.identity.verifier import (
    DEFAULT_MAX_LIFE_MS,
    DEFAULT_SKEW_MS,
    Validity,
    Verifier,
    replay_digest,
)
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from browserid_sasl.jose.secrets import SecretKey
from tests.support.forging import altered, token
from tests.support.refusal import refused
from tests.support.short_keys import short_key
from tests.support.world import ALICE, HOUR, START, key

NOW = START
SKEW = 300_000
DAY = 24 * HOUR
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass
class FixedAuthority:
    """Knows one provider's keys, and what it is asked."""

    published: tuple[PublicKey, ...]
    after_asking_again: tuple[PublicKey, ...] = ()
    asked: list[tuple[str, str, str, int]] = field(default_factory=list)

    def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        self.asked.append(("keys", issuer, email, now))
        if issuer != "idp.test":
            raise RemoteProtocolError(Code.UNTRUSTED_ISSUER, "not trusted")
        return self.published

    def refreshed_keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        self.asked.append(("refreshed", issuer, email, now))
        return self.after_asking_again or self.published


def authority() -> FixedAuthority:
    return FixedAuthority((key("idp").public_key,))


def certificate(
    changes: dict[str, Any] | None = None,
    *,
    user: PrivateKey | None = None,
    signer: PrivateKey | None = None,
    issued_at: int = NOW,
    expires: int = NOW + HOUR,
) -> str:
    signing_key = signer or key("idp")
    text = issue(
        "idp.test",
        ALICE,
        (user or key("alice")).public_key,
        issued_at=issued_at,
        expires=expires,
        signing_key=signing_key,
    )
    return jwt.sign(altered(Jwt.parse(text).claims, changes), signing_key) if changes else text


def backed(*certificates: str, user: PrivateKey | None = None) -> BackedAssertion:
    assertion = jwt.sign({"aud": "imap/mail.example.com"}, user or key("alice"))
    return parse("~".join([*certificates, assertion]))


def parse(text: str) -> BackedAssertion:
    return BackedAssertion.parse(text.encode())


def verify(assertion: BackedAssertion, **options: Any) -> Certificate:
    return verify_by(Verifier(authority(), **options), assertion)


def verify_by(verifier: Verifier, assertion: BackedAssertion) -> Certificate:
    certificate = verifier.certificate_of(assertion)
    verifier.verify_signatures(assertion, certificate, NOW)
    return certificate


class TestAnAssertionsOwnTimes:
    """Both ends of the skew belong to the permitted time."""

    @pytest.mark.parametrize(
        "validity",
        [
            Validity(NOW + 1),
            Validity(NOW),
            Validity(NOW - SKEW),
            Validity(NOW + DAY + SKEW),
            Validity(NOW + HOUR, issued_at=NOW + SKEW, not_before=NOW + SKEW),
            Validity(NOW + HOUR, issued_at=0, not_before=0),
            Validity(NOW - SKEW, issued_at=NOW - SKEW),
        ],
        ids=str,
    )
    def test_within_the_skew(self, validity: Validity) -> None:
        Verifier(authority()).check_times(validity, NOW)

    @pytest.mark.parametrize(
        ("validity", "code", "reason"),
        [
            (Validity(NOW - SKEW - 1), Code.EXPIRED_ASSERTION, "expired 300 s ago"),
            (Validity(0), Code.EXPIRED_ASSERTION, "expired"),
            (Validity(NOW + DAY + SKEW + 1), Code.INVALID_ASSERTION, "implausibly far"),
            (Validity(2**53 - 1), Code.INVALID_ASSERTION, "implausibly far"),
            (Validity(NOW + 1, issued_at=NOW + SKEW + 1), Code.INVALID_ASSERTION, "in the future"),
            (
                Validity(NOW + 1, not_before=NOW + SKEW + 1),
                Code.ASSERTION_NOT_YET_VALID,
                "not valid yet",
            ),
        ],
        ids=str,
    )
    def test_beyond_it(self, validity: Validity, code: Code, reason: str) -> None:
        with refused(code, reason, RemoteProtocolError):
            Verifier(authority()).check_times(validity, NOW)

    def test_the_clocks_are_suspected_first(self) -> None:
        with refused(Code.EXPIRED_ASSERTION, "compare the clocks"):
            Verifier(authority()).check_times(Validity(NOW - HOUR), NOW)

    @pytest.mark.parametrize("skew", [0, 1000, HOUR])
    def test_the_skew_is_configurable(self, skew: int) -> None:
        verifier = Verifier(authority(), skew=skew)
        verifier.check_times(Validity(NOW - skew), NOW)
        with refused(Code.EXPIRED_ASSERTION):
            verifier.check_times(Validity(NOW - skew - 1), NOW)

    def test_defaults(self) -> None:
        assert (DEFAULT_SKEW_MS, DEFAULT_MAX_LIFE_MS) == (SKEW, DAY)


class TestACertificatesTimes:
    @pytest.mark.parametrize(
        ("issued_at", "expires"),
        [
            (NOW, NOW + 1),
            (NOW, NOW + DAY),
            (NOW - DAY + 1, NOW + 1),
            (NOW + SKEW, NOW + SKEW + 1),
        ],
    )
    def test_it_is_valid_from_skew_before_its_beginning_to_its_end(
        self, issued_at: int, expires: int
    ) -> None:
        assert verify(backed(certificate(issued_at=issued_at, expires=expires)))

    @pytest.mark.parametrize(
        ("issued_at", "expires", "code"),
        [
            (NOW - HOUR, NOW, Code.CRED_EXPIRED),
            (NOW - HOUR, NOW - 1, Code.CRED_EXPIRED),
            (NOW - HOUR, NOW - SKEW, Code.CRED_EXPIRED),
            (NOW - HOUR, NOW - SKEW - 1, Code.EXPIRED_CERT),
            (NOW + SKEW + 1, NOW + HOUR, Code.CERT_NOT_YET_VALID),
            (NOW, NOW + DAY + 1, Code.INVALID_ASSERTION),
            (0, NOW + 1, Code.INVALID_ASSERTION),
            (0, 2**53 - 1, Code.INVALID_ASSERTION),
        ],
    )
    def test_skew_helps_clocks_and_not_certificates(
        self, issued_at: int, expires: int, code: Code
    ) -> None:
        with refused(code):
            verify(backed(certificate(issued_at=issued_at, expires=expires)))

    def test_not_before_counts_too(self) -> None:
        assert verify(backed(certificate({"nbf": NOW + SKEW})))
        with refused(Code.CERT_NOT_YET_VALID):
            verify(backed(certificate({"nbf": NOW + SKEW + 1})))

    def test_the_life_is_configurable(self) -> None:
        text = certificate(expires=NOW + 2 * DAY)
        assert verify(backed(text), max_life=2 * DAY)
        with refused(Code.INVALID_ASSERTION, "`max_certificate_life`"):
            verify(backed(text), max_life=2 * DAY - 1)

    def test_who_has_to_sign_in_again_is_told_how(self) -> None:
        expired = certificate(issued_at=NOW - DAY, expires=NOW - HOUR)
        with refused(Code.EXPIRED_CERT, f"browserid login {ALICE}"):
            verify(backed(expired))


class TestSignatures:
    def test_the_certificate_of_a_believed_assertion_is_returned(self) -> None:
        assert verify(backed(certificate())).email == ALICE

    @pytest.mark.parametrize("of_provider", ["RS256", "DS256", "ES256"])
    @pytest.mark.parametrize("of_person", ["RS256", "DS256", "ES256"])
    def test_keys_may_be_of_different_kinds(self, of_provider: str, of_person: str) -> None:
        signer, user = key("idp", of_provider), key("alice", of_person)
        verifier = Verifier(FixedAuthority((signer.public_key,)))
        text = certificate(user=user, signer=signer)
        assert verify_by(verifier, backed(text, user=user))

    def test_any_key_the_provider_publishes_will_do(self) -> None:
        keys = (key("idp", "DS256"), key("another"), key("another", "ES256"), key("idp"))
        verifier = Verifier(FixedAuthority(tuple(each.public_key for each in keys)))
        assert verify_by(verifier, backed(certificate()))

    def test_the_authority_is_asked_about_the_issuer_and_the_address(self) -> None:
        asking = authority()
        verify_by(Verifier(asking), backed(certificate()))
        assert asking.asked == [("keys", "idp.test", ALICE, NOW)]

    def test_a_key_that_was_rotated_in_is_found_by_asking_again(self) -> None:
        new = key("new", "ES256")
        asking = FixedAuthority((key("idp").public_key,), (new.public_key,))
        assert verify_by(Verifier(asking), backed(certificate(signer=new)))
        assert [what for what, *_ in asking.asked] == ["keys", "refreshed"]

    def test_a_certificate_of_another_signer_is_refused(self) -> None:
        asking = authority()
        with refused(Code.INVALID_SIGNATURE, "not signed by a key that idp.test publishes"):
            verify_by(Verifier(asking), backed(certificate(signer=key("evil"))))
        assert [what for what, *_ in asking.asked] == ["keys", "refreshed"]

    def test_an_assertion_of_another_person_is_refused(self) -> None:
        with refused(Code.INVALID_SIGNATURE):
            verify(backed(certificate(), user=key("evil")))

    def test_the_person_cannot_certify_themselves(self) -> None:
        with refused(Code.INVALID_SIGNATURE):
            verify(backed(certificate(signer=key("alice"))))

    def test_the_provider_cannot_sign_the_assertion(self) -> None:
        with refused(Code.INVALID_SIGNATURE):
            verify(backed(certificate(), user=key("idp")))

    def test_an_unsigned_certificate_is_refused(self) -> None:
        with refused(Code.MISSING_SIGNATURE):
            verify(backed(jwt.unsigned(Jwt.parse(certificate()).claims)))

    def test_an_unsigned_assertion_is_refused(self) -> None:
        with refused(Code.MISSING_SIGNATURE):
            verify(parse(f"{certificate()}~{jwt.unsigned({})}"))

    @pytest.mark.parametrize("secret", [key("idp").public_key, key("alice").public_key])
    def test_a_public_key_is_no_shared_secret(self, secret: PublicKey) -> None:
        forger = SecretKey(b64.decode(secret.to_json()["n"], "n"))
        claims = Jwt.parse(certificate()).claims
        with refused(Code.UNKNOWN_ALGORITHM):
            verify(backed(jwt.sign(claims, forger)))
        with refused(Code.UNKNOWN_ALGORITHM):
            verify(parse(f"{certificate()}~{jwt.sign({}, forger)}"))

    def test_short_keys_only_where_they_are_permitted(self) -> None:
        short = {"public-key": {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"}}
        assertion = parse(f"{certificate(short)}~{token({'alg': 'RS128'}, {}, b'x' * 128)}")
        with refused(Code.KEY_TOO_SHORT):
            verify(assertion)
        with refused(Code.INVALID_SIGNATURE):
            verify(assertion, allow_legacy=True)


class TestWhatIsSaidOfACertificatesSignature:
    """That no key of the provider's made it is one reason of several."""

    def problem(
        self, text: str, *published: PublicKey, code: Code, allow_legacy: bool = False
    ) -> str:
        verifier = Verifier(FixedAuthority(published), allow_legacy=allow_legacy)
        with refused(code) as refusal:
            verify_by(verifier, backed(text))
        return str(refusal.value)

    @pytest.mark.parametrize("bits", [511, 1023, 1500])
    def test_a_short_key_that_is_permitted_verifies(self, bits: int) -> None:
        signer = short_key(bits)
        verifier = Verifier(FixedAuthority((signer.public_key,)), allow_legacy=True)
        text = jwt.sign(Jwt.parse(certificate()).claims, signer)
        assert verify_by(verifier, backed(text)).email == ALICE

    @pytest.mark.parametrize("bits", [511, 1023, 1500])
    def test_one_that_is_not_permitted_is_too_short(self, bits: int) -> None:
        text = jwt.sign(Jwt.parse(certificate()).claims, short_key(bits))
        said = self.problem(text, key("idp").public_key, code=Code.KEY_TOO_SHORT)
        assert "too short" in said and "`allow_legacy_keys`" in said

    @pytest.mark.parametrize("allow_legacy", [False, True])
    def test_an_algorithm_that_no_published_key_takes_is_named(self, allow_legacy: bool) -> None:
        text = certificate(signer=key("idp", "ES256"))
        keys = (key("idp").public_key, short_key(1023).public_key)
        said = self.problem(text, *keys, code=Code.UNKNOWN_ALGORITHM, allow_legacy=allow_legacy)
        assert "'ES256'" in said and "RS128, RS256" in said

    def test_a_short_key_under_the_name_of_a_longer_one_is_no_unpublished_key(self) -> None:
        misnamed = token({"alg": "RS256"}, Jwt.parse(certificate()).claims)
        public = short_key(1500).public_key
        said = self.problem(misnamed, public, code=Code.UNKNOWN_ALGORITHM, allow_legacy=True)
        assert "'RS256'" in said and "take RS128" in said

    def test_a_wrong_signature_is_one_whatever_other_keys_there_are(self) -> None:
        keys = (key("idp", "ES256").public_key, key("idp").public_key)
        said = self.problem(certificate(signer=key("evil")), *keys, code=Code.INVALID_SIGNATURE)
        assert "not signed by a key that idp.test publishes" in said

    def test_an_algorithm_of_the_strangers_choice_is_shown_cut_and_quoted(self) -> None:
        text = token({"alg": "\n" * 100}, Jwt.parse(certificate()).claims)
        said = self.problem(text, key("idp").public_key, code=Code.UNKNOWN_ALGORITHM)
        assert said.count("\\n") == 16


class TestTheOrderOfTheChecks:
    """Each certificate below has one more mistake than the one before it, seen earlier."""

    MISTAKES: tuple[tuple[dict[str, Any], Code], ...] = (
        ({}, Code.INVALID_SIGNATURE),
        ({"exp": NOW + 2 * DAY}, Code.INVALID_ASSERTION),
        ({"exp": NOW - 1}, Code.CRED_EXPIRED),
        ({"exp": NOW - HOUR}, Code.EXPIRED_CERT),
        ({"iss": "evil.test"}, Code.UNTRUSTED_ISSUER),
        ({"principal": {"email": "?"}}, Code.UNKNOWN_PRINCIPAL_TYPE),
    )

    @pytest.mark.parametrize("count", range(1, len(MISTAKES) + 1))
    def test_the_first_mistake_decides(self, count: int) -> None:
        changes: dict[str, Any] = {}
        for mistake, _ in self.MISTAKES[:count]:
            changes |= mistake
        text = certificate(changes or {"x": 1}, signer=key("evil"))
        with refused(self.MISTAKES[count - 1][1]):
            verify(backed(text))

    def test_certificates_are_counted_before_they_are_read(self) -> None:
        for count in (2, 10):
            with refused(Code.TOO_MANY_CERTS, f"{count} certificates"):
                verify(backed(*["garbage"] * count))
        with refused(Code.MISSING_CERT):
            verify(backed())

    def test_the_assertions_signature_comes_last(self) -> None:
        with refused(Code.INVALID_SIGNATURE, "not signed by a key that idp.test publishes"):
            verify(backed(certificate(signer=key("evil")), user=key("evil")))


class TestReplays:
    """What was signed, and by whom, makes an assertion the same; not how it is written."""

    USER = key("alice", "ES256")

    def digest(self, text: str) -> bytes:
        assertion = parse(text)
        parsed = Certificate.parse(assertion.certificates[0]) if assertion.certificates else None
        if parsed:
            assertion.assertion.verify(parsed.public_key)
        return replay_digest(assertion, parsed)

    def presented(self) -> tuple[str, str]:
        return certificate(user=self.USER), jwt.sign({"aud": "x", "nonce": "AA"}, self.USER)

    def test_it_is_the_same_the_second_time(self) -> None:
        text = "~".join(self.presented())
        assert self.digest(text) == self.digest(text)

    def test_with_the_twin_of_its_signature(self) -> None:
        proof, assertion = self.presented()
        head, payload, signature = assertion.split(".")
        octets = b64.decode(signature, "signature")
        s = P256_ORDER - int.from_bytes(octets[32:], "big")
        twin = b64.encode(octets[:32] + s.to_bytes(32, "big"))
        assert twin != signature
        assert self.digest(f"{proof}~{assertion}") == self.digest(
            f"{proof}~{head}.{payload}.{twin}"
        )

    def test_with_padding_behind_its_signature(self) -> None:
        proof, assertion = self.presented()
        assert self.digest(f"{proof}~{assertion}") == self.digest(f"{proof}~{assertion}==")

    def test_without_the_leading_zeros_of_its_signature(self) -> None:
        signed = (jwt.sign({"aud": "x", "n": number}, key("alice")) for number in range(10_000))
        assertion = next(text for text in signed if Jwt.parse(text).signature[0] == 0)
        signature = Jwt.parse(assertion).signature.lstrip(b"\0")
        shorter = f"{assertion.rpartition('.')[0]}.{b64.encode(signature)}"
        assert len(shorter) < len(assertion)
        assert self.digest(f"{certificate()}~{assertion}") == self.digest(
            f"{certificate()}~{shorter}"
        )

    def test_under_another_certificate_for_the_same_key(self) -> None:
        proof, assertion = self.presented()
        renewed = certificate(user=self.USER, issued_at=NOW - 1)
        respelled = certificate(
            {"public-key": self.USER.public_key.to_json() | {"kid": "1"}}, signer=key("idp")
        )
        assert len({proof, renewed, respelled}) == 3
        digests = {self.digest(f"{text}~{assertion}") for text in (proof, renewed, respelled)}
        assert len(digests) == 1

    def test_without_the_tilde_in_front(self) -> None:
        assertion = jwt.sign({"tkt": {"tid": "x"}}, SecretKey(bytes(32)))
        assert self.digest(assertion) == self.digest(f"~{assertion}")

    def test_another_assertion_of_the_same_person_is_another(self) -> None:
        proof, assertion = self.presented()
        other = jwt.sign({"aud": "x", "nonce": "AQ"}, self.USER)
        assert self.digest(f"{proof}~{assertion}") != self.digest(f"{proof}~{other}")

    def test_the_same_claims_of_another_person_are_another(self) -> None:
        bob = key("bob", "ES256")
        proof, assertion = self.presented()
        theirs = jwt.sign({"aud": "x", "nonce": "AA"}, bob)
        assert assertion.rpartition(".")[0] == theirs.rpartition(".")[0]
        bobs = certificate({"principal": {"email": "bob@idp.test"}}, user=bob)
        assert self.digest(f"{proof}~{assertion}") != self.digest(f"{bobs}~{theirs}")
