"""Elliptic-curve key agreement on P-256 and P-521 (PROTOCOL.md sections 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.mechanisms import P256, P521, Curve

_PARAMETERS: Final[dict[str, ec.EllipticCurve]] = {
    P256.name: ec.SECP256R1(),
    P521.name: ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True)
class Point:
    """A public point as it came or as it goes; it need not be on any curve.

    :param x: big-endian; leading zero octets may be missing.
    :param y: likewise.
    """

    x: bytes
    y: bytes


class EcdhKey:
    """A key pair made for one exchange.

    :param curve: row of the curve table.
    :param private_key: the key, secret.
    """

    __slots__ = ("curve", "private_key")

    def __init__(self, curve: Curve, private_key: ec.EllipticCurvePrivateKey) -> None:
        self.curve = curve
        self.private_key = private_key

    @classmethod
    def generate(cls, curve: Curve) -> EcdhKey:
        """A new key pair."""
        return cls(curve, ec.generate_private_key(_PARAMETERS[curve.name]))

    @classmethod
    def from_number(cls, curve: Curve, number: int) -> EcdhKey:
        """The key pair of a known private key.

        :raises ValueError: when the curve has no such key.
        """
        return cls(curve, ec.derive_private_key(number, _PARAMETERS[curve.name]))

    @property
    def point(self) -> Point:
        """See `EphemeralKey.point`."""
        numbers = self.private_key.public_key().public_numbers()
        return Point(_octets(numbers.x), _octets(numbers.y))

    def agree(self, peer: Point) -> bytes:
        """See `EphemeralKey.agree`."""
        size = self.curve.field_size
        encoded = b"\x04" + peer.x.rjust(size, b"\0") + peer.y.rjust(size, b"\0")
        parameters = _PARAMETERS[self.curve.name]
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(parameters, encoded)
            return self.private_key.exchange(ec.ECDH(), public)
        except ValueError:
            raise RemoteProtocolError(
                Code.CRYPTO_ERROR, f"the other side's point is not on the curve {self.curve.name}"
            ) from None


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
