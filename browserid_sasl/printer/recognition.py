"""Telling what some octets are."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.exported_names import import_exported_name
from browserid_sasl.gss.mechanisms import mechanism_by_oid
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.jose import json as strict_json
from browserid_sasl.printer import documents, jwts, protected
from browserid_sasl.printer.node import Node, branch, wrong
from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.gs2 import BindingFlag

MAX_SIZE: Final = 1 << 20

_SENDERS: Final = {
    TokenId.INITIATOR.value: "initiator's token",
    TokenId.ACCEPTOR.value: "acceptor's token",
    TokenId.DELETE.value: "context deletion token",
    TokenId.INITIATOR_METADATA.value: "initiator's metadata",
    TokenId.ACCEPTOR_METADATA.value: "acceptor's metadata",
}
_BINDING_FLAGS: Final = {
    BindingFlag.NONE: "none",
    BindingFlag.NOT_OFFERED: "none, because the server did not offer it",
    BindingFlag.USED: "used,",
}
_GS2_HEADER: Final = re.compile(rb"(?:F,)?(?:[ny]|p=[^,]*),(?:a=[^,]*)?,")
_BASE64URL: Final = r"[A-Za-z0-9_-]+={0,2}"
_JWT: Final = re.compile(rf"{_BASE64URL}\.{_BASE64URL}\.(?:{_BASE64URL})?")
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")


class Encoding(Enum):
    """How octets are written down."""

    RAW = "raw"
    BASE64 = "base64"
    HEX = "hex"
    AUTO = "auto"


def describe(octets: bytes, now: int) -> Node | None:
    """What some octets say.

    They may be a SASL message, a GSS token with or without its frame, a per-message token, a
    backed assertion, a JSON web token, a key or support document, an exported name or context.

    :param now: the time to judge validity by, ms.
    :returns: the description, None if they are nothing of this protocol.
    """
    for recognise in _RECOGNISERS:
        node = recognise(octets, now)
        if node is not None:
            return node
    return None


def decode(written: bytes, encoding: Encoding = Encoding.AUTO) -> bytes:
    """The octets that were written down.

    :param encoding: how. `Encoding.AUTO` takes the first reading that `describe` recognises: the
        octets themselves, then hexadecimal, then base64.
    :raises LocalProtocolError: invalid-base64, or invalid-parameter for what is not hexadecimal,
        not recognised, or too long.
    """
    if len(written) > MAX_SIZE:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER, f"the token is longer than {MAX_SIZE} octets"
        )
    if encoding is not Encoding.AUTO:
        return _READINGS[encoding](written)
    for reading in _READINGS.values():
        try:
            octets = reading(written)
        except LocalProtocolError:
            continue
        if describe(octets, 0) is not None:
            return octets
    raise LocalProtocolError(
        Code.INVALID_PARAMETER,
        "this is no token of the protocol, neither as it is nor as hexadecimal or base64",
        "say how it is written with --encoding",
    )


def _raw(written: bytes) -> bytes:
    """The octets, without the line's end that a file of text has and a binary token has not."""
    text = written.strip()
    try:
        return text if text.decode("utf-8").isprintable() else written
    except UnicodeDecodeError:
        return written


def _from_hex(written: bytes) -> bytes:
    try:
        return bytes.fromhex(written.decode("ascii"))
    except ValueError:
        raise LocalProtocolError(Code.INVALID_PARAMETER, "the token is not hexadecimal") from None


def _from_base64(written: bytes) -> bytes:
    compact = b"".join(written.split()).rstrip(b"=").translate(_URLSAFE)
    try:
        return binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)
    except ValueError:
        raise LocalProtocolError(Code.INVALID_BASE64, "the token is not base64") from None


_READINGS: Final = {
    Encoding.RAW: _raw,
    Encoding.HEX: _from_hex,
    Encoding.BASE64: _from_base64,
}


# Recognisers, the surest first


def _per_message(octets: bytes, _now: int) -> Node | None:
    return protected.token(octets) if octets[:2] in protected.TOKEN_IDS else None


def _exported_context(octets: bytes, _now: int) -> Node | None:
    return protected.exported_context(octets) if octets.startswith(b"BIDX") else None


def _exported_name(octets: bytes, _now: int) -> Node | None:
    if octets[:2] != b"\x04\x01":
        return None
    try:
        mechanism, name = import_exported_name(octets)
    except BrowserIDError as error:
        return wrong("exported name", error.message)
    return branch("exported name", [Node("mechanism", mechanism.name), Node("name", str(name))])


def _framed(octets: bytes, now: int) -> Node | None:
    if octets[:1] != b"\x60":
        return None
    try:
        oid, inner = tokens.unwrap_initial(octets)
    except BrowserIDError as error:
        return wrong("GSS-API token", error.message)
    mechanism = mechanism_by_oid(oid)
    dotted = ".".join(map(str, oid))
    name = Node("mechanism", f"{mechanism.name if mechanism else 'another'} ({dotted})")
    return branch("GSS-API token", [name, _inner(inner, now)])


def _sasl_message(octets: bytes, now: int) -> Node | None:
    match = _GS2_HEADER.match(octets)
    if match is None:
        return None
    token = _inner(octets[match.end() :], now)
    try:
        header, _, _ = gs2.split(octets)
    except BrowserIDError as error:
        return branch("SASL message", [wrong("GS2 header", error.message), token])
    binding = f" {header.binding_type}" if header.binding_type else ""
    parts = [
        Node("GS2 header", match.group().decode("utf-8")),
        Node("channel binding", f"{_BINDING_FLAGS[header.flag]}{binding}"),
        Node("authorization identity", header.authzid or "that of the certificate"),
    ]
    return branch("SASL message", [*parts, token])


def _inner(octets: bytes, now: int) -> Node:
    return _context_token(octets, now) or wrong("token", f"{len(octets)} octets, not recognised")


def _context_token(octets: bytes, now: int) -> Node | None:
    sender = _SENDERS.get(octets[:2])
    if sender is None:
        return None
    label = f"{sender}, {len(octets)} octets"
    if len(octets) == len(TokenId.INITIATOR_METADATA.value):
        return Node(label)
    return jwts.backed_assertion(label, octets[2:].decode("latin-1"), now)


def _json(octets: bytes, _now: int) -> Node | None:
    text = octets.strip()
    if not text.startswith(b"{"):
        return None
    try:
        return documents.document(strict_json.parse_object(text, "the document", MAX_SIZE))
    except BrowserIDError as error:
        return wrong("JSON document", error.message)


def _compact(octets: bytes, now: int) -> Node | None:
    text = octets.decode("latin-1")
    parts = text.removeprefix("~").split("~")
    if not all(_JWT.fullmatch(part) for part in parts):
        return None
    if "~" not in text:
        return jwts.jwt("JSON web token", text, now)
    return jwts.backed_assertion("backed assertion", text, now)


_RECOGNISERS: Final[tuple[Callable[[bytes, int], Node | None], ...]] = (
    _per_message,
    _exported_context,
    _exported_name,
    _framed,
    _sasl_message,
    _context_token,
    _json,
    _compact,
)
