"""Tokens made by hand: well formed or not, signed by whom one likes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.jwt import Jwt, SigningKey

NOT_A_SIGNATURE = b"not a signature"


def token(header: Any, payload: Any = None, signature: bytes = NOT_A_SIGNATURE) -> str:
    """A token with these parts; what is not octets is written as JSON."""
    parts = (header, {} if payload is None else payload, signature)
    return ".".join(b64.encode(part if isinstance(part, bytes) else dump(part)) for part in parts)


def dump(value: Any) -> bytes:
    """JSON as `json` writes it, which refuses nothing."""
    return json.dumps(value, separators=(",", ":")).encode()


def last_token(message: bytes) -> Jwt:
    """The assertion, or the response, in a context token or SASL message."""
    return Jwt.parse(message.split(b"~")[-1].decode())


def claims_of(message: bytes) -> dict[str, Any]:
    """Its payload."""
    return dict(last_token(message).claims)


def certificate_in(message: bytes) -> str:
    """The certificate in a context token."""
    return message.partition(b"c,")[2].partition(b"~")[0].decode()


def altered(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The claims with some replaced; None takes one away."""
    return {
        name: value for name, value in (dict(claims) | dict(changes)).items() if value is not None
    }


def resigned(message: bytes, key: SigningKey, **changes: Any) -> bytes:
    """The context token with other claims in its last token, signed by this key."""
    head, tilde, _ = message.rpartition(b"~")
    claims = altered(
        claims_of(message), {name.replace("_", "-"): changes[name] for name in changes}
    )
    return head + tilde + jwt.sign(claims, key).encode()
