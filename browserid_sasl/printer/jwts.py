"""JSON web tokens and backed assertions in words."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt, VerificationKey
from browserid_sasl.jose.keys import parse_public_key
from browserid_sasl.printer.certificates import certificate, key_of
from browserid_sasl.printer.claims import claims
from browserid_sasl.printer.documents import other_members
from browserid_sasl.printer.node import Mood, Node, branch, wrong

_SHOWN_OF_SIGNATURE: Final = 4
"""Octets: enough to tell two signatures apart, and of no other use."""

_PART: Final = "this part"


def backed_assertion(label: str, text: str, now: int) -> Node:
    """A backed assertion: its certificates, then the assertion."""
    *certificates, assertion = text.removeprefix("~").split("~")
    nodes = [jwt("certificate", each, now) for each in certificates]
    signer = _certified_key(certificates[-1]) if certificates else None
    nodes.append(jwt("assertion" if certificates else "token", assertion, now, signer))
    return branch(label, nodes)


def jwt(label: str, text: str, now: int, signer: VerificationKey | None = None) -> Node:
    """A JSON web token: header, claims, signature.

    :param signer: the key it should be signed with, as far as that shows from what came with it.
    """
    return branch(label, _parts(text, now, signer))


def _parts(text: str, now: int, signer: VerificationKey | None) -> Iterator[Node]:
    parts = text.split(".")
    if len(parts) != 3:
        yield wrong("malformed", f"{len(parts)} parts instead of 3, {len(text)} characters")
        return
    try:
        token = Jwt.parse(text)
    except BrowserIDError as error:
        yield wrong("malformed", error.message)
        token = None
    for name, part, describe in (("header", parts[0], _header), ("claims", parts[1], claims)):
        members = _members(part, name)
        if isinstance(members, Node):
            yield members
        else:
            yield branch(name, describe(members, now))
    yield _signature(parts[2], token, signer)


def _members(part: str, name: str) -> Mapping[str, Any] | Node:
    try:
        return strict_json.parse_object(b64.decode(part, _PART), _PART)
    except BrowserIDError as error:
        return wrong(name, error.message)


def _header(members: Mapping[str, Any], now: int) -> Iterator[Node]:
    chain = members.get("x5c")
    yield from other_members({name: members[name] for name in members if name != "x5c"})
    if isinstance(chain, list):
        for number, item in enumerate(chain):
            yield _x5c(f"x5c[{number}]", item, now)
    elif chain is not None:
        yield wrong("x5c", "it is not a list")


def _x5c(label: str, item: object, now: int) -> Node:
    try:
        der = binascii.a2b_base64(item, strict_mode=True) if isinstance(item, str) else b""
    except ValueError:
        return wrong(label, "it is not base64")
    return certificate(label, der, now)


def _signature(part: str, token: Jwt | None, signer: VerificationKey | None) -> Node:
    if not part:
        return Node("signature", "none: anybody can have written this", mood=Mood.BAD)
    try:
        octets = b64.decode(part, "the signature")
    except BrowserIDError as error:
        return wrong("signature", error.message)
    text = f"{octets[:_SHOWN_OF_SIGNATURE].hex()}..., {len(octets)} octets"
    if token is None:
        return Node("signature", text)
    if token.header.x5c:
        return _verdict(text, token, key_of(token.header.x5c[0]), "the certificate in `x5c`")
    return _verdict(text, token, signer, "the certificate before it")


def _verdict(text: str, token: Jwt, key: VerificationKey | None, whose: str) -> Node:
    if key is None:
        return Node("signature", f"{text}, not checked: its key is not in here")
    try:
        token.verify(key)
    except BrowserIDError as error:
        return wrong("signature", f"{text}, does not fit {whose}: {error.message}")
    return Node("signature", f"{text}, fits {whose}", mood=Mood.GOOD)


def _certified_key(text: str) -> VerificationKey | None:
    try:
        return parse_public_key(Jwt.parse(text).claims.get("public-key"), allow_legacy=True)
    except BrowserIDError:
        return None
