"""Keys: their spellings, their algorithms, what they sign and what they refuse."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import (
    PrivateKey,
    PublicKey,
    Spelling,
    parse_public_key,
    public_key_from,
)
from browserid_sasl.jose.secrets import SecretKey
from tests.support.refusal import refused
from tests.support.short_keys import short_key
from tests.support.world import key

ALGORITHMS = ("RS256", "DS256", "ES256")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
DATA = b"what is signed"

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_spelling = pytest.mark.parametrize("spelling", get_args(Spelling))


def number(value: int) -> str:
    return b64.encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_json(n: int, e: int = 65537) -> dict[str, str]:
    return {"kty": "RSA", "n": number(n), "e": number(e)}


def ec_json(x: int, y: int) -> dict[str, str]:
    return {"kty": "EC", "crv": "P-256", "x": number(x), "y": number(y)}


def ec_numbers() -> ec.EllipticCurvePublicNumbers:
    public = key("signer", "ES256").public_key.key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public.public_numbers()


class TestSpellings:
    @every_spelling
    @every_algorithm
    def test_a_key_reads_as_it_was_written(self, algorithm: str, spelling: Spelling) -> None:
        public = key("signer", algorithm).public_key
        assert parse_public_key(public.to_json(spelling)) == public

    def test_each_spelling_looks_as_described(self) -> None:
        public = key("signer").public_key
        classic, versioned, jwk = (public.to_json(spelling) for spelling in get_args(Spelling))
        assert classic["algorithm"] == "RS" and "version" not in classic
        assert classic["e"] == "65537" and classic["n"].isdecimal()
        assert versioned["algorithm"] == "RS" and versioned["version"] == "2012.08.15"
        assert jwk["kty"] == "RSA" and versioned["n"] == jwk["n"] and jwk["e"] == "AQAB"
        assert int(classic["n"]) == int.from_bytes(b64.decode(jwk["n"], "n"), "big")

    def test_classic_dsa_numbers_are_hexadecimal(self) -> None:
        public = key("signer", "DS256").public_key
        classic = public.to_json("classic")
        assert int(classic["q"], 16).bit_length() == 256
        assert parse_public_key({n: v.upper() for n, v in classic.items()}) == public

    @every_spelling
    def test_an_elliptic_key_is_a_jwk_always(self, spelling: Spelling) -> None:
        written = key("signer", "ES256").public_key.to_json(spelling)
        assert written.keys() == {"kty", "crv", "x", "y"}
        assert len(b64.decode(written["x"], "x")) == len(b64.decode(written["y"], "y")) == 32

    def test_coordinates_may_come_without_leading_zeros_or_with_more(self) -> None:
        numbers = ec_numbers()
        public = key("signer", "ES256").public_key
        assert parse_public_key(ec_json(numbers.x, numbers.y)) == public
        longer = ec_json(numbers.x, numbers.y) | {"x": b64.encode(numbers.x.to_bytes(40, "big"))}
        assert parse_public_key(longer) == public

    @every_algorithm
    def test_a_thumbprint_is_the_same_for_every_spelling(self, algorithm: str) -> None:
        public = key("signer", algorithm).public_key
        thumbprints = {
            parse_public_key(public.to_json(spelling)).thumbprint for spelling in get_args(Spelling)
        }
        assert thumbprints == {public.thumbprint}
        assert public.thumbprint != key("another", algorithm).public_key.thumbprint

    def test_the_thumbprint_of_rfc_7638_section_3_1(self) -> None:
        n = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6"
            "tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5"
            "v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD0"
            "8qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU"
            "8awapJzKnqDKgw"
        )
        public = parse_public_key({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256"})
        assert b64.encode(public.thumbprint) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_members_that_are_not_needed_are_ignored(self) -> None:
        public = key("signer").public_key
        assert parse_public_key(public.to_json("jwk") | {"use": "sig", "kid": "1"}) == public


class TestAlgorithms:
    @every_algorithm
    def test_an_algorithm_follows_from_the_key(self, algorithm: str) -> None:
        private = key("signer", algorithm)
        assert private.algorithm.name == private.public_key.algorithm.name == algorithm

    @pytest.mark.parametrize(
        ("bits", "name"),
        [
            (511, "RS64"),
            (512, "RS64"),
            (1022, "RS64"),
            (1023, "RS128"),
            (1024, "RS128"),
            (2046, "RS128"),
            (2047, "RS256"),
            (2048, "RS256"),
            (8192, "RS256"),
        ],
    )
    def test_rsa_goes_by_the_size_of_the_modulus(self, bits: int, name: str) -> None:
        written = rsa_json(2**bits - 1)
        assert parse_public_key(written, allow_legacy=True).algorithm.name == name
        if name != "RS256":
            with refused(Code.KEY_TOO_SHORT) as refusal:
                parse_public_key(written)
            assert f"{bits} bits" in refusal.value.message
            assert "allow_legacy_keys" in refusal.value.remedy

    @pytest.mark.parametrize("bits", [510, 8193])
    def test_rsa_of_an_impossible_size_is_refused_even_then(self, bits: int) -> None:
        with refused(Code.INVALID_KEY):
            parse_public_key(rsa_json(2**bits - 1), allow_legacy=True)

    @every_spelling
    @pytest.mark.parametrize("legacy", [False, True])
    def test_a_key_one_bit_short_verifies_in_every_spelling(
        self, legacy: bool, spelling: Spelling
    ) -> None:
        private = rsa.generate_private_key(65537, 2047)
        wrapped = PrivateKey.from_pem(to_pem(private))
        public = parse_public_key(wrapped.public_key.to_json(spelling), allow_legacy=legacy)
        assert public == public_key_from(private.public_key())
        assert public.algorithm.name == wrapped.algorithm.name == "RS256"
        public.verify(wrapped.sign(DATA), DATA)

    @pytest.mark.parametrize(("bits", "name"), [(511, "RS64"), (1023, "RS128"), (2047, "RS256")])
    def test_so_do_the_smaller_ones_where_they_are_permitted(self, bits: int, name: str) -> None:
        private = short_key(bits)
        assert private.algorithm.name == name
        private.public_key.verify(private.sign(DATA), DATA)

    def test_short_dsa_keys_are_legacy(self) -> None:
        written = legacy_dsa().public_key.to_json()
        assert parse_public_key(written, allow_legacy=True).algorithm.name == "DS128"
        with refused(Code.KEY_TOO_SHORT):
            parse_public_key(written)

    def test_there_is_nothing_between_the_two_sizes_of_dsa(self) -> None:
        written = {"kty": "DSA"} | {"p": number(2**1535 + 1), "q": number(2**255 + 1)}
        written |= {"g": number(2), "y": number(4)}
        with refused(Code.INVALID_KEY):
            parse_public_key(written, allow_legacy=True)

    def test_keys_are_made_for_the_three_current_algorithms_only(self) -> None:
        unknown: Any = "RS128"
        with refused(Code.UNKNOWN_ALGORITHM):
            PrivateKey.generate(unknown)


class TestSignatures:
    @every_algorithm
    def test_a_signature_verifies_with_its_key_over_its_data_only(self, algorithm: str) -> None:
        private = key("signer", algorithm)
        signature = private.sign(DATA)
        private.public_key.verify(signature, DATA)
        another = key("another", algorithm).public_key
        with refused(Code.INVALID_SIGNATURE):
            another.verify(signature, DATA)
        with refused(Code.INVALID_SIGNATURE):
            private.public_key.verify(signature, DATA + b".")

    @pytest.mark.parametrize("bits", [1023, 2047])
    def test_an_rsa_signature_may_lack_its_leading_zero_octets(self, bits: int) -> None:
        private = replace(short_key(bits), drop_zeros=True)
        size = (bits + 7) // 8
        messages = (bytes([a, b]) for a in range(256) for b in range(256))
        data = next(each for each in messages if len(private.sign(each)) < size)
        private.public_key.verify(private.sign(data), data)
        with refused(Code.INVALID_SIGNATURE):
            private.public_key.verify(private.sign(data)[:-1], data)
        with refused(Code.INVALID_SIGNATURE):
            private.public_key.verify(private.sign(data).rjust(size + 1, b"\0"), data)

    @pytest.mark.parametrize(("algorithm", "size"), [("RS256", 256), ("DS256", 64), ("ES256", 64)])
    def test_a_signature_has_one_size(self, algorithm: str, size: int) -> None:
        private = key("signer", algorithm)
        signature = private.sign(DATA)
        assert len(signature) == size
        for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature, b"\0" * size):
            with refused(Code.INVALID_SIGNATURE):
                private.public_key.verify(wrong, DATA)

    @pytest.mark.parametrize("algorithm", ["DS256", "ES256"])
    def test_both_halves_are_padded_to_their_size(self, algorithm: str) -> None:
        private = key("signer", algorithm)
        assert {len(private.sign(bytes([i]))) for i in range(64)} == {64}

    @pytest.mark.parametrize("algorithm", ["DS256", "ES256"])
    def test_a_der_signature_is_refused(self, algorithm: str) -> None:
        private = key("signer", algorithm)
        if isinstance(private.key, dsa.DSAPrivateKey):
            der = private.key.sign(DATA, hashes.SHA256())
        else:
            assert isinstance(private.key, ec.EllipticCurvePrivateKey)
            der = private.key.sign(DATA, ec.ECDSA(hashes.SHA256()))
        with refused(Code.INVALID_SIGNATURE):
            private.public_key.verify(der, DATA)

    def test_an_ecdsa_signature_has_a_twin_that_verifies(self) -> None:
        # Why the replay store must not remember signatures.
        private = key("signer", "ES256")
        signature = private.sign(DATA)
        twin = P256_ORDER - int.from_bytes(signature[32:], "big")
        private.public_key.verify(signature[:32] + twin.to_bytes(32, "big"), DATA)

    def test_a_half_is_not_shortened_even_if_its_number_is_the_same(self) -> None:
        # Else a signature with a small half would have two spellings.
        private = key("signer", "ES256")
        signatures = (private.sign(DATA) for _ in range(20_000))
        signature = next(each for each in signatures if each[32] == 0)
        private.public_key.verify(signature, DATA)
        with refused(Code.INVALID_SIGNATURE):
            private.public_key.verify(signature[:32] + signature[33:], DATA)

    @pytest.mark.parametrize("halves", [(0, 0), (0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER)])
    def test_halves_out_of_range_are_refused(self, halves: tuple[int, int]) -> None:
        public = key("signer", "ES256").public_key
        signature = b"".join(half.to_bytes(32, "big") for half in halves)
        with refused(Code.INVALID_SIGNATURE):
            public.verify(signature, DATA)

    def test_legacy_keys_sign_too_where_they_are_permitted(self) -> None:
        legacy = legacy_dsa()
        signature = legacy.sign(DATA)
        assert len(signature) == 40
        legacy.public_key.verify(signature, DATA)

    @pytest.mark.parametrize("n", [2**2048 - 2, 2**2047], ids=["even", "a power of two"])
    def test_a_modulus_that_is_none_verifies_nothing(self, n: int) -> None:
        public = parse_public_key(rsa_json(n))
        with refused(Code.INVALID_SIGNATURE):
            public.verify(b"\1" * 256, DATA)

    @pytest.mark.parametrize(
        ("p", "q"), [(2**2048 - 2, 2**256 - 1), (2**2048 - 1, 2**256 - 2), (2**2047, 2**255)]
    )
    def test_dsa_groups_that_are_none_verify_nothing(self, p: int, q: int) -> None:
        numbers = {"p": p, "q": q, "g": 5, "y": 7}
        public = parse_public_key({"kty": "DSA"} | {n: number(v) for n, v in numbers.items()})
        with refused(Code.INVALID_SIGNATURE):
            public.verify(b"\1" * 64, DATA)


PERMITTED: dict[str, dict[str, Any]] = {
    "to sign": {"use": "sig"},
    "its algorithm": {"alg": "ALG"},
    "to verify": {"key_ops": ["verify"]},
    "to verify and more": {"key_ops": ["sign", "verify", "of the future"]},
    "all of it": {"use": "sig", "alg": "ALG", "key_ops": ["verify"]},
}
NOT_PERMITTED: dict[str, dict[str, Any]] = {
    "to encrypt": {"use": "enc"},
    "a use of the future": {"use": "tls"},
    "in capitals": {"use": "SIG"},
    "no use": {"use": None},
    "a list of uses": {"use": ["sig"]},
    "another algorithm": {"alg": "RS512"},
    "an algorithm of another kind": {"alg": "HS256"},
    "none": {"alg": "none"},
    "no algorithm": {"alg": None},
    "a list of algorithms": {"alg": ["ALG"]},
    "to sign only": {"key_ops": ["sign"]},
    "to encrypt and decrypt": {"key_ops": ["encrypt", "decrypt"]},
    "nothing": {"key_ops": []},
    "a text": {"key_ops": "verify"},
    "an object": {"key_ops": {"verify": True}},
    "null": {"key_ops": None},
    "one of them": {"use": "sig", "key_ops": ["deriveKey"]},
}


class TestWhatAKeySaysItIsFor:
    def key(self, algorithm: str, spelling: Spelling, members: dict[str, Any]) -> dict[str, Any]:
        said = {
            name: algorithm if value == "ALG" else [algorithm] if value == ["ALG"] else value
            for name, value in members.items()
        }
        return key("signer", algorithm).public_key.to_json(spelling) | said

    @every_spelling
    @every_algorithm
    @pytest.mark.parametrize("members", PERMITTED.values(), ids=PERMITTED)
    def test_it_may_be_verified_with(
        self, members: dict[str, Any], algorithm: str, spelling: Spelling
    ) -> None:
        assert parse_public_key(self.key(algorithm, spelling, members))

    @every_spelling
    @every_algorithm
    @pytest.mark.parametrize("members", NOT_PERMITTED.values(), ids=NOT_PERMITTED)
    def test_or_it_may_not(
        self, members: dict[str, Any], algorithm: str, spelling: Spelling
    ) -> None:
        with refused(Code.INVALID_KEY, f"`{next(reversed(members))}`"):
            parse_public_key(self.key(algorithm, spelling, members))


class TestPublicKeysThatAreNone:
    @pytest.mark.parametrize("e", [1, 2, 65536, 2**33, 2**33 + 1])
    def test_exponents_are_odd_and_small(self, e: int) -> None:
        with refused(Code.INVALID_KEY):
            parse_public_key(rsa_json(2**2048 - 1, e))

    @pytest.mark.parametrize("changed", [{"g": 1}, {"y": 1}, {"g": 2**2048}, {"y": 2**2048}])
    def test_dsa_numbers_are_within_the_group(self, changed: dict[str, int]) -> None:
        written = key("signer", "DS256").public_key.to_json("jwk")
        written |= {name: number(value) for name, value in changed.items()}
        with refused(Code.INVALID_KEY):
            parse_public_key(written)

    def test_points_are_on_the_curve(self) -> None:
        point = ec_numbers()
        for x, y in [(point.x, point.y + 1), (point.y, point.x), (1, 1), (2**256 - 1, point.y)]:
            with refused(Code.INVALID_KEY):
                parse_public_key(ec_json(x, y))

    def test_infinity_is_no_public_key(self) -> None:
        zero = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
        with refused(Code.INVALID_KEY):
            parse_public_key(zero)

    def test_coordinates_are_reduced(self) -> None:
        point = ec_numbers()
        for x, y in [(point.x + P256_FIELD, point.y), (point.x, point.y + P256_FIELD)]:
            with refused(Code.INVALID_KEY):
                parse_public_key(ec_json(x, y))

    def test_a_point_whose_x_is_small_cannot_be_written_larger(self) -> None:
        # 5 is the x of a point on P-256: 5 and 5 + p are the same, and only one is right.
        x = 5
        y_squared = (x**3 - 3 * x + P256_B) % P256_FIELD
        y = pow(y_squared, (P256_FIELD + 1) // 4, P256_FIELD)
        assert y * y % P256_FIELD == y_squared
        assert parse_public_key(ec_json(x, y))
        with refused(Code.INVALID_KEY):
            parse_public_key(ec_json(x + P256_FIELD, y))


P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class TestPem:
    @every_algorithm
    def test_a_private_key_survives_the_journey(self, algorithm: str) -> None:
        private = key("signer", algorithm)
        again = PrivateKey.from_pem(private.to_pem())
        assert again.public_key == private.public_key
        private.public_key.verify(again.sign(DATA), DATA)

    @pytest.mark.parametrize(
        "pem",
        [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    )
    def test_what_is_no_key_is_refused(self, pem: bytes) -> None:
        with refused(Code.INVALID_KEY) as refusal:
            PrivateKey.from_pem(pem)
        assert isinstance(refusal.value, LocalProtocolError)
        assert "unencrypted PEM" in refusal.value.remedy

    def test_an_encrypted_key_is_refused(self) -> None:
        private = key("signer", "ES256").key
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
        with refused(Code.INVALID_KEY):
            PrivateKey.from_pem(pem)

    def test_keys_of_other_kinds_are_refused_as_the_callers_mistake(self) -> None:
        for other, code in [
            (ed25519.Ed25519PrivateKey.generate(), Code.INVALID_KEY),
            (ec.generate_private_key(ec.SECP384R1()), Code.INVALID_KEY),
            (rsa.generate_private_key(65537, 1024), Code.KEY_TOO_SHORT),
        ]:
            pem = to_pem(other)
            with refused(code) as refusal:
                PrivateKey.from_pem(pem)
            assert isinstance(refusal.value, LocalProtocolError)

    def test_a_legacy_key_is_read_where_that_is_permitted(self) -> None:
        pem = to_pem(rsa.generate_private_key(65537, 1024))
        assert PrivateKey.from_pem(pem, allow_legacy=True).algorithm.name == "RS128"


class TestKeysOfTheLibrary:
    def test_a_key_of_cryptography_can_be_wrapped(self) -> None:
        for algorithm in ALGORITHMS:
            public = key("signer", algorithm).public_key
            assert public_key_from(public.key) == public

    def test_keys_of_other_kinds_cannot(self) -> None:
        for other in (ed25519.Ed25519PrivateKey.generate().public_key(), None, "key"):
            with refused(Code.INVALID_KEY):
                public_key_from(other)
        on_p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
        with refused(Code.INVALID_KEY):
            public_key_from(on_p384)


class TestSecrets:
    def test_a_mac_verifies_with_its_key_over_its_data_only(self) -> None:
        secret = SecretKey(b"k" * 32)
        assert secret.algorithm.name == "HS256"
        secret.verify(secret.sign(DATA), DATA)
        for other, data in [(SecretKey(b"l" * 32), DATA), (secret, DATA + b".")]:
            with refused(Code.INVALID_SIGNATURE):
                other.verify(secret.sign(DATA), data)

    def test_a_shortened_mac_is_no_mac(self) -> None:
        secret = SecretKey(b"k" * 32)
        for size in (0, 1, 16, 31):
            part = secret.sign(DATA)[:size]
            with refused(Code.INVALID_SIGNATURE):
                secret.verify(part, DATA)

    def test_no_key_shows_what_is_secret(self) -> None:
        private_numbers = key("signer", "ES256").key
        assert isinstance(private_numbers, ec.EllipticCurvePrivateKey)
        secret_number = private_numbers.private_numbers().private_value
        shown = (
            repr(key("signer", "ES256"))
            + repr(SecretKey(b"very secret octets"))
            + repr(key("signer"))
        )
        assert "very secret" not in shown
        assert "PRIVATE" not in shown
        assert str(secret_number) not in shown
        assert base64.b64encode(secret_number.to_bytes(32, "big")).decode() not in shown


def test_equal_keys_are_equal_however_they_came() -> None:
    public = key("signer").public_key
    assert public == PublicKey(public.algorithm, public.key)
    assert public != key("another").public_key
    assert public != key("signer", "ES256").public_key


@cache
def legacy_dsa() -> PrivateKey:
    return PrivateKey.from_pem(to_pem(dsa.generate_private_key(1024)), allow_legacy=True)


def to_pem(private: Any) -> bytes:
    return bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
