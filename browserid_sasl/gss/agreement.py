"""What key agreement is to a context (PROTOCOL.md sections 3 and 5); `ecdh` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
