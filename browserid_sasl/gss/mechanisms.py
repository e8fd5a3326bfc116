"""The table of mechanisms (PROTOCOL.md section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError

OID_PREFIX: Final = (1, 3, 6, 1, 4, 1, 5322, 24, 1)
PLUS: Final = "-PLUS"


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve for key agreement.

    :param name: as `crv` spells it.
    :param field_size: octets of a coordinate.
    """

    name: str
    field_size: int


P256: Final = Curve("P-256", 32)
P521: Final = Curve("P-521", 66)
CURVES: Final = {curve.name: curve for curve in (P256, P521)}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism of the family.

    :param name: its SASL name, without ``-PLUS``.
    :param enctype: RFC 3961 encryption type, which is also the last arc of its OID;
        0 without key exchange.
    :param curve: its curve, None without key exchange.
    :param binds_transcript: whether an X.509-signed response has to say which message of the
        initiator it answers; in the others it may (PROTOCOL.md section 4.3).
    """

    name: str
    enctype: int
    curve: Curve | None
    binds_transcript: bool = False

    @property
    def oid(self) -> tuple[int, ...]:
        """Its GSS-API object identifier."""
        return (*OID_PREFIX, self.enctype)

    @property
    def plus_name(self) -> str:
        """Its SASL name where channel binding is used (RFC 5801 section 3.4)."""
        return self.name + PLUS


MECHANISMS: Final = (
    Mechanism("BROWSERID-AES256", 18, P521),
    Mechanism("BROWSERID-AES128", 17, P256),
    Mechanism("BROWSERID-A256S2", 20, P521, binds_transcript=True),
    Mechanism("BROWSERID-A128S2", 19, P256, binds_transcript=True),
    Mechanism("BROWSERID", 0, None),
)
"""Every mechanism."""

_BY_NAME: Final = {row.name: row for row in MECHANISMS}
_BY_OID: Final = {row.oid: row for row in MECHANISMS}


def mechanism_by_name(name: str) -> Mechanism:
    """The mechanism with this SASL name, with or without ``-PLUS``, in any case.

    :raises LocalProtocolError: wrong-mech.
    """
    # `str.upper` makes letters of ASCII of others, and so a mechanism's name of what is none.
    row = _BY_NAME.get(name.upper().removesuffix(PLUS)) if name.isascii() else None
    if row is None:
        raise LocalProtocolError(
            Code.WRONG_MECH,
            f"there is no mechanism {name[:40]!r}",
            "the mechanisms are " + ", ".join(_BY_NAME),
        )
    return row


def mechanism_by_oid(oid: tuple[int, ...]) -> Mechanism | None:
    """The mechanism with this object identifier, None if it is not one of ours."""
    return _BY_OID.get(oid)
