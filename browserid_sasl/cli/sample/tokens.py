"""Tokens written out for a person to read, without signatures and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json

_MESSAGE: Final = re.compile(
    r"(?P<header>(?:[ny]|p=[A-Za-z0-9.-]+),(?:a=[^,]*)?,)?(?P<identifier>[cCDmM]),(?P<text>.*)",
    re.DOTALL,
)
_SENDER: Final = {
    "c": "initiator's token",
    "C": "acceptor's token",
    "D": "context deletion token",
    "m": "initiator's metadata",
    "M": "acceptor's metadata",
}
_KEY_HOLDERS: Final = frozenset({"public-key", "ecdh", "epk", "x5c"})
_KEY_NAMES_SHOWN: Final = frozenset({"algorithm", "version", "kty", "crv"})


def describe(message: bytes) -> list[str] | None:
    """What a SASL message says (PROTOCOL.md sections 4.2 and 6), a line for each thing.

    Nothing is verified. Signatures are counted but not shown, and of keys only the kind is: what
    is written here may end up in a log.

    :returns: the lines, None if it is not a message of this protocol.
    """
    match = _MESSAGE.fullmatch(message.decode("latin-1"))
    if match is None:
        return None
    lines = [f"GS2 header {match['header']}"] if match["header"] else []
    lines.append(f"{_SENDER[match['identifier']]}, {len(match['text'])} octets")
    parts = match["text"].split("~")
    for certificate in filter(None, parts[:-1]):
        lines += _describe_jwt("certificate", certificate)
    lines += _describe_jwt("response" if match["identifier"] == "C" else "assertion", parts[-1])
    return lines


def _describe_jwt(what: str, text: str) -> Iterator[str]:
    fields = text.split(".")
    if len(fields) != 3:
        yield f"{what}: not a JSON web token, {len(text)} octets not shown"
        return
    for name, encoded in zip((what, "  claims"), fields[:2], strict=True):
        yield f"{name}: {_describe_json(encoded)}"
    signature = len(fields[2]) * 3 // 4
    yield f"  signature: {signature} octets, not shown" if signature else "  not signed"


def _describe_json(encoded: str) -> str:
    try:
        members = strict_json.parse_object(b64.decode(encoded, "this part"), "this part")
    except BrowserIDError as error:
        return str(error)
    return json.dumps(_without_keys(members), separators=(",", ":"))


def _without_keys(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _key_kind(value) if name in _KEY_HOLDERS else value for name, value in members.items()
    }


def _key_kind(value: object) -> object:
    if not isinstance(value, Mapping):
        return "not shown"
    return {
        name: member if name in _KEY_NAMES_SHOWN else "not shown" for name, member in value.items()
    }
