"""JSON web tokens: what is read, what a signature proves, and with which key."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.secrets import SecretKey
from tests.support.forging import token
from tests.support.refusal import refused
from tests.support.world import key

SECRET = SecretKey(b"s" * 32)
CLAIMS = {"b": 1, "a": ["é", None]}


def refuse_text(text: str, code: Code, reason: str) -> None:
    with refused(code, reason):
        Jwt.parse(text, "the assertion")


class TestSigning:
    @pytest.mark.parametrize("algorithm", ["RS256", "DS256", "ES256"])
    def test_a_signed_token_reads_and_verifies(self, algorithm: str) -> None:
        signer = key("signer", algorithm)
        parsed = Jwt.parse(jwt.sign(CLAIMS, signer))
        assert parsed.claims == CLAIMS
        assert parsed.header.alg == algorithm
        assert parsed.is_signed
        parsed.verify(signer.public_key)

    def test_a_token_under_a_shared_secret(self) -> None:
        parsed = Jwt.parse(jwt.sign(CLAIMS, SECRET))
        assert parsed.header.alg == "HS256"
        parsed.verify(SECRET)

    def test_the_header_is_minimal_and_the_members_keep_their_order(self) -> None:
        head, payload, _ = jwt.sign(CLAIMS, SECRET).split(".")
        assert b64.decode(head, "header") == b'{"alg":"HS256"}'
        assert b64.decode(payload, "payload") == '{"b":1,"a":["é",null]}'.encode()

    def test_a_ready_made_payload_is_signed_as_it_is(self) -> None:
        text = jwt.sign(b'{ "a" : 1 }', SECRET)
        assert b64.decode(text.split(".")[1], "payload") == b'{ "a" : 1 }'
        assert Jwt.parse(text).claims == {"a": 1}

    def test_certificates_go_into_the_header_in_standard_base64(self) -> None:
        chain = (b"\xff\xfe\xfd", b"\xfb\xff")
        text = jwt.sign(CLAIMS, SECRET, x5c=chain)
        assert b'"x5c":["//79","+/8="]' in b64.decode(text.split(".")[0], "header")
        assert Jwt.parse(text).header.x5c == chain

    def test_an_unsigned_token_has_an_empty_third_part(self) -> None:
        text = jwt.unsigned(CLAIMS)
        assert text.endswith(".") and text.count(".") == 2
        assert not Jwt.parse(text).is_signed


class TestWhatASignatureProves:
    def test_the_key_decides_on_the_algorithm(self) -> None:
        signed = Jwt.parse(jwt.sign(CLAIMS, key("signer")))
        with refused(Code.UNKNOWN_ALGORITHM) as refusal:
            signed.verify(key("signer", "ES256").public_key)
        assert "RS256" in refusal.value.message and "ES256" in refusal.value.message

    def test_a_public_key_is_no_shared_secret(self) -> None:
        # The oldest trick: sign with HMAC, and the octets of the public key as the secret.
        public = key("signer").public_key
        for spelling in (str(public.to_json()).encode(), public.thumbprint):
            forged = Jwt.parse(jwt.sign(CLAIMS, SecretKey(spelling)))
            with refused(Code.UNKNOWN_ALGORITHM):
                forged.verify(public)

    def test_a_shared_secret_verifies_no_other_algorithm(self) -> None:
        signed = Jwt.parse(jwt.sign(CLAIMS, key("signer")))
        with refused(Code.UNKNOWN_ALGORITHM):
            signed.verify(SECRET)

    def test_an_unsigned_token_verifies_with_nothing(self) -> None:
        for verifier in (SECRET, key("signer").public_key):
            unsigned = Jwt.parse(jwt.unsigned(CLAIMS))
            with refused(Code.MISSING_SIGNATURE):
                unsigned.verify(verifier)

    @pytest.mark.parametrize("alg", ["None", "NONE", "nOnE", "none ", "hs256", "RS256 ", "RS512"])
    def test_other_spellings_are_other_algorithms(self, alg: str) -> None:
        parsed = Jwt.parse(token({"alg": alg}))
        assert parsed.is_signed
        for verifier in (SECRET, key("signer").public_key):
            with refused(Code.UNKNOWN_ALGORITHM):
                parsed.verify(verifier)

    def test_the_signature_covers_header_and_payload_as_they_came(self) -> None:
        text = jwt.sign(CLAIMS, SECRET)
        head, payload, signature = text.split(".")
        for forged in (
            token(b'{ "alg":"HS256"}', CLAIMS, b64.decode(signature, "it")),
            token({"alg": "HS256"}, {"b": 2}, b64.decode(signature, "it")),
            f"{head}.{payload}.{b64.encode(bytes(32))}",
        ):
            parsed = Jwt.parse(forged)
            with refused(Code.INVALID_SIGNATURE):
                parsed.verify(SECRET)

    def test_padding_is_covered_too(self) -> None:
        head, payload, signature = jwt.sign({"a": 1}, SECRET).split(".")
        assert len(payload) % 4
        padded = payload + "=" * (-len(payload) % 4)
        parsed = Jwt.parse(f"{head}.{padded}.{signature}")
        assert parsed.claims == {"a": 1}
        with refused(Code.INVALID_SIGNATURE):
            parsed.verify(SECRET)


class TestHeaders:
    @pytest.mark.parametrize(
        "members",
        [
            {"typ": "JWS"},
            {"typ": "JWT", "cty": "JWT"},
            {"crit": ["alg"]},
            {"crit": ["x5c", "x5t"], "x5c": ["AAAA"], "x5t": "anything"},
            {"kid": "ignored", "jku": "https://evil.example/", "jwk": {}, "b64": False},
        ],
        ids=str,
    )
    def test_what_is_understood_or_may_be_ignored(self, members: dict[str, Any]) -> None:
        assert Jwt.parse(token({"alg": "HS256"} | members))

    @pytest.mark.parametrize("alg", [None, "", 1, ["RS256"], {"RS256": 1}, True])
    def test_an_algorithm_has_to_be_named(self, alg: object) -> None:
        refuse_text(token({"alg": alg}), Code.MISSING_ALGORITHM, "names no algorithm")
        refuse_text(token({}), Code.MISSING_ALGORITHM, "the header of the assertion")

    @pytest.mark.parametrize("member", ["typ", "cty"])
    @pytest.mark.parametrize("value", ["jwt", "JWE", "", None, 1, ["JWT"]])
    def test_only_tokens_of_this_kind(self, member: str, value: object) -> None:
        refuse_text(token({"alg": "HS256", member: value}), Code.INVALID_JSON_WEB_TOKEN, member)

    @pytest.mark.parametrize("value", [[], {}, "alg", None, 1])
    def test_crit_is_a_list_of_names(self, value: object) -> None:
        refuse_text(
            token({"alg": "HS256", "crit": value}), Code.INVALID_JSON_WEB_TOKEN, "list of names"
        )

    @pytest.mark.parametrize("name", ["b64", "exp", "ALG", "", 1, None, ["alg"], {"a": "b"}])
    def test_nothing_unknown_is_critical(self, name: object) -> None:
        crit = {"alg": "HS256", "crit": ["alg", name]}
        refuse_text(token(crit), Code.INVALID_JSON_WEB_TOKEN, "not understood")

    @pytest.mark.parametrize("value", [[], {}, "AAAA", None, ["AAAA"] * 11])
    def test_x5c_is_a_list_of_one_to_ten(self, value: object) -> None:
        refuse_text(token({"alg": "RS256", "x5c": value}), Code.INVALID_JSON_WEB_TOKEN, "1 to 10")
        assert len(Jwt.parse(token({"alg": "RS256", "x5c": ["AAAA"] * 10})).header.x5c) == 10

    @pytest.mark.parametrize("value", ["AA", "-_-_", "AAA\n", "AAAé", 1, None, ["AAAA"]])
    def test_x5c_holds_standard_base64(self, value: object) -> None:
        refuse_text(token({"alg": "RS256", "x5c": [value]}), Code.INVALID_BASE64, "`x5c`")


class TestForm:
    @pytest.mark.parametrize("text", ["", ".", "a.b", "a.b.c.d", "e30", "...."])
    def test_a_token_has_three_parts(self, text: str) -> None:
        refuse_text(text, Code.INVALID_JSON_WEB_TOKEN, "parts instead of 3")

    @pytest.mark.parametrize(
        ("index", "part"),
        list(enumerate(["the header of", "the payload of", "the signature of"])),
    )
    def test_every_part_is_base64url(self, index: int, part: str) -> None:
        parts = token({"alg": "HS256"}).split(".")
        for garbage in ("=", "a", "+/+/", "é"):
            parts[index] = garbage
            refuse_text(".".join(parts), Code.INVALID_BASE64, f"{part} the assertion")

    @pytest.mark.parametrize("octets", [b"", b"[]", b"{", b"\xff", b'{"alg":"HS256","alg":"none"}'])
    def test_header_and_payload_are_json_objects(self, octets: bytes) -> None:
        refuse_text(token(octets), Code.INVALID_JSON, "the header of the assertion")
        refuse_text(token({"alg": "HS256"}, octets), Code.INVALID_JSON, "the payload of")

    def test_a_signed_token_has_a_signature_and_an_unsigned_one_has_none(self) -> None:
        refuse_text(token({"alg": "HS256"}, {}, b""), Code.MISSING_SIGNATURE, "no signature")
        refuse_text(token({"alg": "none"}, {}, b"x"), Code.INVALID_JSON_WEB_TOKEN, "unsigned")

    def test_a_token_has_a_limited_length(self) -> None:
        refuse_text("." * (jwt.MAX_LENGTH + 1), Code.BUFFER_TOO_LONG, "65536 characters")
        refuse_text("." * jwt.MAX_LENGTH, Code.INVALID_JSON_WEB_TOKEN, "65537 parts")

    def test_nobody_is_shown_the_signature(self) -> None:
        text = jwt.sign(CLAIMS, SECRET)
        parsed = Jwt.parse(text)
        assert "signature" not in repr(parsed).replace("signing_input", "")
        assert base64.b64encode(parsed.signature).decode() not in repr(parsed)
        assert text not in repr(parsed)
