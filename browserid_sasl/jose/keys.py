"""Keys: RSA, DSA and P-256 in the three spellings of PROTOCOL.md section 1.1."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.jose import b64
from browserid_sasl.jose.algorithms import Algorithm, algorithm_for, bad_signature

Spelling = Literal["classic", "2012.08.15", "jwk"]
"""Which of the three spellings to write."""

CryptoPublicKey = rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey
CryptoPrivateKey = rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey

_VERSION: Final = "2012.08.15"
_P256_FIELD: Final = 32
_MAX_NUMBER_LENGTH: Final = 4096
_MAX_EXPONENT_BITS: Final = 33
_KTY: Final = {"RSA": "RS", "DSA": "DS", "EC": "ES"}
_WHAT: Final = "the key"
_DIGITS: Final = {10: re.compile("[0-9]+"), 16: re.compile("[0-9A-Fa-f]+")}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key and the one algorithm it verifies.

    :param algorithm: row of the algorithm table.
    :param key: the key in `cryptography`'s form.
    """

    algorithm: Algorithm
    key: CryptoPublicKey

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature.

        :raises RemoteProtocolError: invalid-signature.
        """
        # Not by `isinstance`: these classes are abstract, and to ask them takes many times as long.
        key: Any = self.key
        algorithm = self.algorithm
        try:
            if algorithm.family == "RS":
                # Some write it as a number and drop its leading zero octets.
                padded = signature.rjust((key.key_size + 7) // 8, b"\0")
                key.verify(padded, data, _PKCS1V15, _HASHES[algorithm.digest])
            elif algorithm.family == "DS":
                size = algorithm.subgroup // 8
                key.verify(_to_der(signature, size), data, _HASHES[algorithm.digest])
            else:
                key.verify(_to_der(signature, _P256_FIELD), data, _ECDSA_SHA256)
        except InvalidSignature:
            raise bad_signature() from None

    def to_json(self, spelling: Spelling = "2012.08.15") -> dict[str, str]:
        """The key as a JSON object; an EC key is a JWK in any case."""
        names = _public_numbers(self.key)
        if self.algorithm.family == "ES":
            size = {"x": _P256_FIELD, "y": _P256_FIELD}
            return {"kty": "EC", "crv": "P-256"} | _base64url(names, size)
        if spelling == "jwk":
            kty = "RSA" if self.algorithm.family == "RS" else "DSA"
            return {"kty": kty} | _base64url(names)
        if spelling == "2012.08.15":
            head = {"version": _VERSION, "algorithm": self.algorithm.family}
            return head | _base64url(names)
        form = "d" if self.algorithm.family == "RS" else "x"
        numbers = {name: format(number, form) for name, number in names.items()}
        return {"algorithm": self.algorithm.family} | numbers

    @property
    def thumbprint(self) -> bytes:
        """SHA-256 of the key as a JWK (RFC 7638): the same for every spelling.

        DSA keys, which that does not know, are treated alike.
        """
        members = self.to_json("jwk")
        text = ",".join(f'"{name}":"{members[name]}"' for name in sorted(members))
        return hashlib.sha256(f"{{{text}}}".encode("ascii")).digest()


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key and the one algorithm it signs with.

    :param algorithm: row of the algorithm table.
    :param key: the key in `cryptography`'s form, secret.
    """

    algorithm: Algorithm
    key: CryptoPrivateKey = field(repr=False)

    @classmethod
    def generate(cls, name: Literal["RS256", "DS256", "ES256"] = "RS256") -> PrivateKey:
        """A new key for this algorithm."""
        key: CryptoPrivateKey
        if name == "RS256":
            key = rsa.generate_private_key(65537, 2048)
        elif name == "DS256":
            key = dsa.generate_private_key(2048)
        elif name == "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            raise LocalProtocolError(Code.UNKNOWN_ALGORITHM, f"no keys are made for {name}")
        return cls(_algorithm_of(key.public_key(), allow_legacy=False), key)

    @classmethod
    def from_pem(cls, pem: bytes, *, allow_legacy: bool = False) -> PrivateKey:
        """Read an unencrypted PEM key.

        :raises LocalProtocolError: invalid-key, key-too-short.
        """
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise LocalProtocolError(
                Code.INVALID_KEY,
                "the private key cannot be read",
                "it has to be an unencrypted PEM file with an RSA, DSA or P-256 key",
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise LocalProtocolError(
                Code.INVALID_KEY, "the private key is of a kind that is not used here"
            )
        try:
            return cls(_algorithm_of(key.public_key(), allow_legacy=allow_legacy), key)
        except RemoteProtocolError as error:
            raise LocalProtocolError(error.code, error.message, error.remedy) from None

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS #8 PEM. Secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.algorithm, self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`; for DSA and ECDSA it is `r || s`."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, _PKCS1V15, _HASHES[self.algorithm.digest])
        if isinstance(self.key, dsa.DSAPrivateKey):
            return _from_der(
                self.key.sign(data, _HASHES[self.algorithm.digest]), self.algorithm.subgroup // 8
            )
        return _from_der(self.key.sign(data, _ECDSA_SHA256), _P256_FIELD)


def parse_public_key(value: object, *, allow_legacy: bool = False) -> PublicKey:
    """Read a public key from a document, in any of the three spellings.

    :param value: the parsed JSON value.
    :param allow_legacy: whether RSA under 2047 bits and DSA 1024/160 are taken.
    :raises RemoteProtocolError: invalid-key, also when the key says itself that it is not for
        verifying; key-too-short, unknown-ec-curve, invalid-base64.
    """
    if not isinstance(value, dict):
        raise _invalid_key("it is not an object")
    key = _load(value, allow_legacy=allow_legacy)
    _check_purpose(value, key.algorithm)
    return key


def _load(value: dict[str, Any], *, allow_legacy: bool) -> PublicKey:
    family, radix = _family_and_radix(value)
    if family == "RS":
        n, e = _numbers(value, ("n", "e"), 10 if radix else 0)
        return _load_rsa(n, e, allow_legacy=allow_legacy)
    if family == "DS":
        p, q, g, y = _numbers(value, ("p", "q", "g", "y"), 16 if radix else 0)
        return _load_dsa(p, q, g, y, allow_legacy=allow_legacy)
    return _load_ec(value)


def _check_purpose(value: dict[str, Any], algorithm: Algorithm) -> None:
    """Heed what a key says of its own purpose (RFC 7517 sections 4.2 to 4.4)."""
    if value.get("use", "sig") != "sig":
        raise _invalid_key("its `use` is not `sig`")
    if value.get("alg", algorithm.name) != algorithm.name:
        raise _invalid_key(f"its `alg` is not {algorithm.name}, which such a key takes here")
    operations = value.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _invalid_key("its `key_ops` does not permit to verify with it")


def public_key_from(key: object, *, allow_legacy: bool = False) -> PublicKey:
    """Wrap a key in `cryptography`'s form, for example an X.509 certificate's.

    :raises RemoteProtocolError: invalid-key, key-too-short.
    """
    if not isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey):
        raise _invalid_key("it is of a kind that is not used here")
    return PublicKey(_algorithm_of(key, allow_legacy=allow_legacy), key)


def _family_and_radix(value: dict[str, Any]) -> tuple[str, bool]:
    """The key's family, and whether its numbers are written in digits (classic spelling)."""
    if "kty" in value:
        family = _KTY.get(value["kty"]) if isinstance(value["kty"], str) else None
        if family is None:
            raise _invalid_key("its `kty` is not RSA, DSA or EC")
        return family, False
    family = value.get("algorithm")
    if family not in ("RS", "DS"):
        raise _invalid_key("it has neither a `kty` nor an `algorithm` of RS or DS")
    if "version" in value and value["version"] != _VERSION:
        raise _invalid_key(f"its `version` is not {_VERSION}")
    return family, "version" not in value


def _numbers(value: dict[str, Any], names: tuple[str, ...], radix: int) -> list[int]:
    return [_number(value, name, radix) for name in names]


def _number(value: dict[str, Any], name: str, radix: int) -> int:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise _invalid_key(f"its `{name}` is missing or not a string")
    if len(text) > _MAX_NUMBER_LENGTH:
        raise _invalid_key(f"its `{name}` is too long")
    if not radix:
        return int.from_bytes(b64.decode(text, f"the key's `{name}`"), "big")
    if not _DIGITS[radix].fullmatch(text):
        raise _invalid_key(f"its `{name}` is not a number")
    return int(text, radix)


def _load_rsa(n: int, e: int, *, allow_legacy: bool) -> PublicKey:
    algorithm = algorithm_for("RS", n.bit_length(), 0, allow_legacy=allow_legacy)
    if e.bit_length() > _MAX_EXPONENT_BITS:
        raise _invalid_key("its exponent is too large")
    try:
        return PublicKey(algorithm, rsa.RSAPublicNumbers(e, n).public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid_key("its numbers make no RSA key") from None


def _load_dsa(p: int, q: int, g: int, y: int, *, allow_legacy: bool) -> PublicKey:
    algorithm = algorithm_for("DS", p.bit_length(), q.bit_length(), allow_legacy=allow_legacy)
    if not (1 < g < p and 1 < y < p):
        raise _invalid_key("its numbers make no DSA key")
    numbers = dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, q, g))
    try:
        return PublicKey(algorithm, numbers.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid_key("its numbers make no DSA key") from None


def _load_ec(value: dict[str, Any]) -> PublicKey:
    if value.get("crv") != "P-256":
        raise RemoteProtocolError(
            Code.UNKNOWN_EC_CURVE, "the key is on a curve that does not sign here: only P-256 does"
        )
    x, y = _numbers(value, ("x", "y"), 0)
    algorithm = algorithm_for("ES", 256, 0, allow_legacy=False)
    try:
        # Unlike `EllipticCurvePublicNumbers` this refuses numbers beyond the field.
        point = b"\x04" + x.to_bytes(_P256_FIELD, "big") + y.to_bytes(_P256_FIELD, "big")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except (ValueError, OverflowError):
        raise _invalid_key("its point is not on the curve") from None
    return PublicKey(algorithm, key)


def _algorithm_of(key: CryptoPublicKey, *, allow_legacy: bool) -> Algorithm:
    if isinstance(key, rsa.RSAPublicKey):
        return algorithm_for("RS", key.key_size, 0, allow_legacy=allow_legacy)
    if isinstance(key, dsa.DSAPublicKey):
        q = key.public_numbers().parameter_numbers.q
        return algorithm_for("DS", key.key_size, q.bit_length(), allow_legacy=allow_legacy)
    if not isinstance(key.curve, ec.SECP256R1):
        raise _invalid_key("it is on a curve that does not sign here: only P-256 does")
    return algorithm_for("ES", 256, 0, allow_legacy=allow_legacy)


def _public_numbers(key: CryptoPublicKey) -> dict[str, int]:
    if isinstance(key, rsa.RSAPublicKey):
        rsa_numbers = key.public_numbers()
        return {"n": rsa_numbers.n, "e": rsa_numbers.e}
    if isinstance(key, dsa.DSAPublicKey):
        dsa_numbers = key.public_numbers()
        group = dsa_numbers.parameter_numbers
        return {"p": group.p, "q": group.q, "g": group.g, "y": dsa_numbers.y}
    ec_numbers = key.public_numbers()
    return {"x": ec_numbers.x, "y": ec_numbers.y}


def _base64url(numbers: dict[str, int], sizes: dict[str, int] | None = None) -> dict[str, str]:
    sizes = sizes or {}
    return {
        name: b64.encode(number.to_bytes(sizes.get(name, (number.bit_length() + 7) // 8), "big"))
        for name, number in numbers.items()
    }


def _to_der(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        raise bad_signature()
    r = int.from_bytes(signature[:size], "big")
    s = int.from_bytes(signature[size:], "big")
    return encode_dss_signature(r, s)


def _from_der(signature: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _invalid_key(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.INVALID_KEY, f"{_WHAT} cannot be used: {why}")


_HASHES: Final = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}  # noqa: S303 - legacy keys
_ECDSA_SHA256: Final = ec.ECDSA(_HASHES["sha256"])
_PKCS1V15: Final = padding.PKCS1v15()
