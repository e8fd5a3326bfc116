"""Exported names: octets for access control lists (RFC 2743 section 3.2).

::

    04 01  length of OID (2)  OID in DER  length of name (4)  name

Two exported names of one mechanism are equal octet by octet exactly when the names are.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from pyasn1.codec.der import encoder
from pyasn1.type.univ import ObjectIdentifier

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.gss.names import Name, NameType, display_name, import_name

_TOKEN_ID: Final = b"\x04\x01"
_OID_LENGTH: Final = Struct(">H")
_NAME_LENGTH: Final = Struct(">I")


def _der(mechanism: Mechanism) -> bytes:
    return bytes(encoder.encode(ObjectIdentifier(mechanism.oid)))


_BY_DER: Final = {_der(row): row for row in MECHANISMS}


def export_name(name: Name, mechanism: Mechanism) -> bytes:
    """A name in the form that is compared octet by octet (``GSS_Export_name``).

    :param mechanism: the mechanism that authenticated it.
    """
    oid = _der(mechanism)
    text = display_name(name).encode("utf-8")
    return b"".join(
        (_TOKEN_ID, _OID_LENGTH.pack(len(oid)), oid, _NAME_LENGTH.pack(len(text)), text)
    )


def import_exported_name(octets: bytes) -> tuple[Mechanism, Name]:
    """Read an exported name.

    :raises RemoteProtocolError: bad-name-token, token-truncated, wrong-mech.
    """
    if octets[:2] != _TOKEN_ID:
        raise _bad("it does not begin with 04 01")
    oid, rest = _take(octets[2:], _OID_LENGTH)
    text, rest = _take(rest, _NAME_LENGTH)
    if rest:
        raise _bad("there is more behind the name")
    if oid not in _BY_DER:
        raise RemoteProtocolError(
            Code.WRONG_MECH, "the exported name is not one of this family of mechanisms"
        )
    return _BY_DER[oid], _name(text)


def _take(octets: bytes, header: Struct) -> tuple[bytes, bytes]:
    """A value with its length before it, and what follows it."""
    if len(octets) >= header.size:
        (length,) = header.unpack_from(octets)
        value, rest = octets[header.size : header.size + length], octets[header.size + length :]
        if len(value) == length:
            return value, rest
    raise RemoteProtocolError(
        Code.TOKEN_TRUNCATED, "the exported name is shorter than its lengths say"
    )


def _name(octets: bytes) -> Name:
    try:
        text = octets.decode("utf-8")
        name = import_name(text, NameType.EMAIL_OR_SPN)
    except UnicodeDecodeError:
        raise _bad("it is not UTF-8") from None
    except BrowserIDError as error:
        raise _bad(error.message) from None
    if display_name(name) != text:
        raise _bad("it is not in canonical form")
    return name


def _bad(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_NAME_TOKEN, f"the exported name cannot be read: {why}")
