"""Elliptic-curve key agreement on P-256 and P-521 (PROTOCOL.md sections 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.mechanisms import Curve


@dataclass(frozen=True, slots=True)
class Point:
    """A public point as it came or as it goes; it need not be on any curve.

    :param x: big-endian; leading zero octets may be missing.
    :param y: likewise.
    """

    x: bytes
    y: bytes


class EphemeralKey(Protocol):
    """A key pair made for one exchange."""

    @property
    def point(self) -> Point:
        """The public point."""

    def agree(self, peer: Point) -> bytes:
        """DHK: the shared x coordinate, padded to the field's size.

        :raises RemoteProtocolError: crypto-error when the peer's point is not on the curve.
        """


class EphemeralKeySource(Protocol):
    """Makes key pairs; a fixed one reproduces an exchange."""

    def __call__(self, curve: Curve) -> EphemeralKey:
        """A new key pair on this curve."""


@dataclass(frozen=True, slots=True)
class EcdhKey:
    """A key pair in memory.

    :param curve: row of the curve table.
    :param private_key: the key, secret.
    """

    curve: Curve
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls, curve: Curve) -> EcdhKey:
        """A new key pair."""
        return cls(curve, ec.generate_private_key(curve.parameters))

    @property
    def point(self) -> Point:
        """See `EphemeralKey.point`."""
        encoded = self.private_key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        middle = 1 + self.curve.field_size
        return Point(encoded[1:middle].lstrip(b"\0"), encoded[middle:].lstrip(b"\0"))

    def agree(self, peer: Point) -> bytes:
        """See `EphemeralKey.agree`."""
        size = self.curve.field_size
        encoded = b"\x04" + peer.x.rjust(size, b"\0") + peer.y.rjust(size, b"\0")
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(self.curve.parameters, encoded)
            return self.private_key.exchange(ec.ECDH(), public)
        except ValueError:
            raise RemoteProtocolError(
                Code.CRYPTO_ERROR, f"the other side's point is not on the curve {self.curve.name}"
            ) from None
