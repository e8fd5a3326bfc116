"""JSON documents in words: keys, support documents, and others with what is secret left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.identity.support import (
    Delegation,
    Disabled,
    SupportDocument,
    parse_support_document,
)
from browserid_sasl.jose.keys import PublicKey, parse_public_key
from browserid_sasl.printer.node import Mood, Node, branch, wrong

_SECRET_MEMBERS: Final = frozenset(
    {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "x", "secret-key", "ark", "password"}
)
"""Where private and secret keys are in JSON. `p`, `q` and `x` are public in some kinds of keys;
they are not missed."""

_SUPPORT_MARKS: Final = ("public-key", "keys", "authority", "disabled")
_KEY_MARKS: Final = ("kty", "algorithm")
_NOT_SHOWN: Final = "not shown"


def is_key(value: object) -> bool:
    """Whether a JSON value looks like a key."""
    return isinstance(value, Mapping) and any(mark in value for mark in _KEY_MARKS)


def key(label: str, value: object) -> Node:
    """A key: its kind and size."""
    try:
        parsed = parse_public_key(value, allow_legacy=True)
    except BrowserIDError as error:
        return wrong(label, error.message)
    legacy = parsed.algorithm.legacy
    note = ", short: refused unless configured otherwise" if legacy else ""
    secret = ", with its private half, which is not shown" if _has_private_half(value) else ""
    mood = Mood.BAD if legacy or secret else Mood.PLAIN
    return Node(label, f"{kind_of(parsed)}{note}{secret}", mood=mood)


def kind_of(public_key: PublicKey) -> str:
    """The algorithm and size of a key, and the beginning of its thumbprint."""
    bits = public_key.key.key_size
    return f"{public_key.algorithm.name}, {bits} bits, {public_key.thumbprint[:8].hex()}"


def _has_private_half(value: Any) -> bool:
    is_dsa = "DS" in (value.get("algorithm"), str(value.get("kty"))[:2])
    return "d" in value or "k" in value or (is_dsa and "x" in value)


def document(members: Mapping[str, Any]) -> Node:
    """A JSON object that came by itself."""
    if is_key(members):
        return key("key", members)
    if any(name in members for name in _SUPPORT_MARKS):
        return _support_document(members)
    return branch("JSON object", other_members(members))


def _support_document(members: Mapping[str, Any]) -> Node:
    try:
        parsed = parse_support_document(json.dumps(members).encode(), allow_legacy=True)
    except BrowserIDError as error:
        return branch("support document", [wrong("malformed", error.message)])
    if isinstance(parsed, Disabled):
        return Node("support document", "the domain has no identity provider")
    if isinstance(parsed, Delegation):
        return Node("support document", f"delegates to {parsed.authority}")
    return branch("support document", _support_members(members, parsed))


def _support_members(members: Mapping[str, Any], parsed: SupportDocument) -> Iterator[Node]:
    if "public-key" in members:
        yield key("public-key", members["public-key"])
    for further in members.get("keys", ()):
        yield key("key", further)
    yield Node("authentication", parsed.authentication)
    yield Node("provisioning", parsed.provisioning)
    if parsed.certify is not None:
        yield Node("certify", parsed.certify)


def other_members(members: Mapping[str, Any]) -> Iterator[Node]:
    """Members without a meaning here, as they are."""
    for name, value in members.items():
        yield Node(name, as_text(value, name))


def as_text(value: object, name: str = "") -> str:
    """A value as text: a string as it is, anything else in JSON."""
    shown = without_secrets(value, name)
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def without_secrets(value: object, name: str = "") -> object:
    """A JSON value with what may be a secret key replaced."""
    if name in _SECRET_MEMBERS:
        return _NOT_SHOWN
    if isinstance(value, Mapping):
        return {member: without_secrets(inner, member) for member, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    return value
