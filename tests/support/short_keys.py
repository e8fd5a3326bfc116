"""RSA keys of sizes that `cryptography` makes no longer, in plain arithmetic."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache

from browserid_sasl.jose.algorithms import Algorithm
from browserid_sasl.jose.keys import PublicKey, parse_public_key

E = 65537
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True)
class ShortKey:
    """An RSA key; a `SigningKey` whose signatures can come without their leading zero octets."""

    n: int
    d: int
    drop_zeros: bool = False

    @property
    def public_key(self) -> PublicKey:
        numbers = {"n": str(self.n), "e": str(E)}
        return parse_public_key({"algorithm": "RS"} | numbers, allow_legacy=True)

    @property
    def algorithm(self) -> Algorithm:
        return self.public_key.algorithm

    def sign(self, data: bytes) -> bytes:
        """A signature of PKCS #1 v1.5 with SHA-256."""
        size = (self.n.bit_length() + 7) // 8
        digest = _SHA256_INFO + hashlib.sha256(data).digest()
        padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        signature = pow(int.from_bytes(padded, "big"), self.d, self.n).to_bytes(size, "big")
        return signature.lstrip(b"\0") if self.drop_zeros else signature


@cache
def short_key(bits: int) -> ShortKey:
    """A key whose modulus has exactly so many bits."""
    while True:
        p, q = _prime(bits // 2), _prime(bits - bits // 2)
        if (p * q).bit_length() == bits and p != q:
            return ShortKey(p * q, pow(E, -1, (p - 1) * (q - 1)))


def _prime(bits: int) -> int:
    while True:
        number = secrets.randbits(bits) | 1 << (bits - 1) | 1
        if number % E != 1 and all(
            pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11, 13)
        ):
            return number
