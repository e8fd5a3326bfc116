"""Framing of context tokens (PROTOCOL.md section 4.2, RFC 2743 section 3.1)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from pyasn1.codec.der import encoder
from pyasn1.type.univ import ObjectIdentifier

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.der import read_der

MAX_LENGTH: Final = 65_536

_APPLICATION_0: Final = 0x60
_OID_TAG: Final = 0x06
_MAX_OID: Final = 32
_LENGTH_SIZE: Final = 3


class TokenId(bytes, Enum):
    """The two octets in front of every context token."""

    INITIATOR = b"c,"
    ACCEPTOR = b"C,"
    DELETE = b"D,"
    INITIATOR_METADATA = b"m,"
    ACCEPTOR_METADATA = b"M,"


def frame(token_id: TokenId, body: str) -> bytes:
    """Put the identifier in front of a backed assertion."""
    return token_id + body.encode("ascii")


def unframe(token: bytes, expected: TokenId) -> bytes:
    """Take the identifier off.

    :raises RemoteProtocolError: token-truncated, buffer-too-long, bad-direction when the token
        is one that this side sends, wrong-token-id.
    """
    if len(token) > MAX_LENGTH:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"the token is longer than {MAX_LENGTH} octets"
        )
    identifier = token[:2]
    if len(identifier) < 2:
        raise RemoteProtocolError(Code.TOKEN_TRUNCATED, "the token ends before it has begun")
    if identifier == expected:
        return token[2:]
    if identifier.swapcase() == expected:
        raise RemoteProtocolError(
            Code.BAD_DIRECTION, "the token came from the wrong side: it may be a reflection"
        )
    raise RemoteProtocolError(
        Code.WRONG_TOKEN_ID, f"the token begins with {identifier!r} instead of {expected.value!r}"
    )


def wrap_initial(oid: tuple[int, ...], token: bytes) -> bytes:
    """Frame the first token of a plain GSS-API exchange (RFC 2743 section 3.1)."""
    # SASL does without this frame, and so do most processes without what reads and writes it.
    content = bytes(encoder.encode(ObjectIdentifier(oid))) + token
    return bytes([_APPLICATION_0]) + _der_length(len(content)) + content


def unwrap_initial(octets: bytes) -> tuple[tuple[int, ...], bytes]:
    """Take the first token of a plain GSS-API exchange out of its frame; strictly DER.

    :returns: the mechanism's object identifier, and the token.
    :raises RemoteProtocolError: bad-token-header, token-truncated, wrong-size.
    """
    if octets[:1] != bytes([_APPLICATION_0]):
        raise _bad_header("it does not begin with an application tag")
    length, start = _read_der_length(octets, 1)
    if len(octets) - start != length:
        code = Code.TOKEN_TRUNCATED if len(octets) - start < length else Code.WRONG_SIZE
        raise RemoteProtocolError(code, "the token is not as long as its frame says")
    end = start + 2 + (octets[start + 1] if length > 1 else 0)
    if octets[start : start + 1] != bytes([_OID_TAG]) or end > len(octets):
        raise _bad_header("it names no mechanism")
    if end - start > _MAX_OID:
        raise _bad_header("its mechanism is no object identifier of a sane length")
    return _read_oid(octets[start:end]), octets[end:]


def _read_oid(encoded: bytes) -> tuple[int, ...]:
    oid = read_der(encoded, ObjectIdentifier())
    if oid is None:
        raise _bad_header("its mechanism is not an object identifier in DER")
    return tuple(oid)


def _der_length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def _read_der_length(octets: bytes, at: int) -> tuple[int, int]:
    first = octets[at : at + 1]
    if not first:
        raise RemoteProtocolError(Code.TOKEN_TRUNCATED, "the token ends in its frame")
    if first[0] < 0x80:
        return first[0], at + 1
    size = first[0] & 0x7F
    end = at + 1 + size
    if not 1 <= size <= _LENGTH_SIZE or end > len(octets):
        raise _bad_header("its length is not readable")
    length = int.from_bytes(octets[at + 1 : end], "big")
    if _der_length(length) != octets[at:end]:
        raise _bad_header("its length is not in DER")
    return length, end


def _bad_header(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_TOKEN_HEADER, f"the token's frame cannot be read: {why}")
