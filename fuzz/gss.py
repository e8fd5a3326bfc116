"""Tokens, claims, names, exported contexts, message protection, and the contexts themselves."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from browserid_sasl.attributes.saml import saml_attributes
from browserid_sasl.gss import tokens
from browserid_sasl.gss.claims import InitiatorClaims, Response
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.gss.dialects import read_audience
from browserid_sasl.gss.export import KEY_SIZE, export_context, import_context
from browserid_sasl.gss.exported_names import export_name, import_exported_name
from browserid_sasl.gss.initiator import InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.gss.names import NameType, ServiceName, UserName, import_name
from browserid_sasl.gss.negoex import (
    acceptor_metadata,
    initiator_metadata,
    read_acceptor_metadata,
    read_initiator_metadata,
)
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.krb5.enctypes import ENCTYPES, random_to_key
from browserid_sasl.krb5.message import MessageProtection, Role
from fuzz.jose import as_text
from fuzz.target import Target
from fuzz.worlds import acceptor, initiator, recorded
from tests.support.exchanges import server_credential, server_trust
from tests.support.world import AES128, ALICE, HOUR, IMAP, START

_KEY: Final = bytes(KEY_SIZE)
_NONCE: Final = bytes(12)
_EXPORTED: Final = b"BIDX\x01"
_WHAT: Final = "it"

# Tokens and claims


def _initial_tokens() -> Iterator[bytes]:
    yield tokens.wrap_initial((1, 3, 6, 1, 4, 1, 5322, 24, 1, 17), b"c,token")
    yield tokens.wrap_initial((1, 2), b"c," + b"token" * 60)


def _claims(sender: str) -> Iterator[bytes]:
    """What the tokens of one side say, each set of members once."""
    seen = set()
    for message in recorded(sender):
        text = message.rpartition(b"~")[2]
        if text.count(b".") == 2:
            claims = Jwt.parse(text.decode()).claims
            if frozenset(claims) not in seen:
                seen.add(frozenset(claims))
                yield strict_json.dumps(dict(claims))


# Names


def _import_names(octets: bytes) -> None:
    for name_type in NameType:
        import_name(as_text(octets), name_type, local_host="mail.example.com")


def _exported_names() -> Iterator[bytes]:
    yield export_name(UserName.make(ALICE), AES128)
    yield export_name(IMAP, AES128)


# Exported contexts


@cache
def _context(saml: str = "") -> SecurityContext:
    return SecurityContext(
        mechanism=AES128,
        is_initiator=False,
        identity=ALICE,
        target=IMAP,
        issuer="idp.test",
        expires=START + HOUR,
        flags=ContextFlag.TRANSFERABLE,
        ticket_used=False,
        extra_round_trip=False,
        attributes={"saml": saml} if saml else {"groups": ["staff"]},
        root_key=None if saml else bytes(32),
    )


def _read_context(octets: bytes) -> None:
    """What an exporting process has sealed: damage of the seal is seen by its own target."""
    sealed = AESGCM(_KEY).encrypt(_NONCE, octets, _EXPORTED)
    import_context(_EXPORTED + _NONCE + sealed, _KEY, START)


def _sealed_context() -> bytes:
    return export_context(_context(), None, _KEY, bytes)


def _opened_context() -> bytes:
    sealed = _sealed_context().removeprefix(_EXPORTED + _NONCE)
    return AESGCM(_KEY).decrypt(_NONCE, sealed, _EXPORTED)


# SAML and NegoEx


def _read_saml(octets: bytes) -> None:
    saml_attributes(_context(base64.b64encode(octets).decode()), START)


_SAML: Final = (
    b'<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><Issuer>x</Issuer>'
    b'<Conditions NotBefore="2020-01-01T00:00:00Z"/><AttributeStatement>'
    b'<Attribute Name="n" NameFormat="f"><AttributeValue>v</AttributeValue></Attribute>'
    b"</AttributeStatement></Assertion>"
)

# Messages


def _end(enctype: int, role: Role) -> MessageProtection:
    return MessageProtection(random_to_key(enctype, bytes(32)), role)


def _on_each(read: Callable[[MessageProtection, bytes], object]) -> Callable[[bytes], None]:
    """Read by each encryption type in turn; the first octet says which."""
    kinds = tuple(ENCTYPES)

    def on_one(octets: bytes) -> None:
        kind = kinds[(octets[0] if octets else 0) % len(kinds)]
        read(_end(kind, Role.ACCEPTOR), octets[1:])

    return on_one


def _messages(make: Callable[[MessageProtection], bytes]) -> Callable[[], Iterator[bytes]]:
    def each() -> Iterator[bytes]:
        for index, enctype in enumerate(ENCTYPES):
            yield bytes([index]) + make(_end(enctype, Role.INITIATOR))

    return each


# Contexts

_OPTIONS: Final = (
    InitiatorOptions(),
    InitiatorOptions(mutual=Mutual.PREFERRED),
    InitiatorOptions(mutual=Mutual.REQUIRED, extra_round_trip=True),
)


def _accept(octets: bytes) -> bytes | None:
    return acceptor(credential=server_credential()).step(octets)


def _first_token(options: InitiatorOptions) -> bytes:
    token = initiator(options, trust=server_trust()).step()
    assert token is not None
    return token


def _first_tokens() -> Iterator[bytes]:
    yield from map(_first_token, _OPTIONS)
    yield from recorded("initiator")


def _be_answered(octets: bytes) -> None:
    asking = initiator(_OPTIONS[1], trust=server_trust())
    asking.step()
    asking.step(octets)


def _answers() -> Iterator[bytes]:
    for options in _OPTIONS:
        answer = _accept(_first_token(options))
        assert answer is not None
        yield answer
    yield from recorded("acceptor")


TARGETS: Final = (
    Target("gss-initial-token", tokens.unwrap_initial, _initial_tokens),
    Target(
        "gss-token-identifier",
        lambda octets: tokens.unframe(octets, TokenId.INITIATOR),
        lambda: (b"c,token", b"C,a"),
    ),
    Target(
        "gss-assertion",
        lambda octets: InitiatorClaims.parse(strict_json.parse_object(octets, _WHAT)),
        lambda: _claims("initiator"),
    ),
    Target(
        "gss-response",
        lambda octets: Response.parse(strict_json.parse_object(octets, _WHAT)),
        lambda: _claims("acceptor"),
    ),
    Target(
        "gss-service-name",
        lambda octets: ServiceName.parse(as_text(octets)),
        lambda: (b"imap/mail.example.com/specific", b"imap/mail.example.com", b"a/[::1]"),
    ),
    Target(
        "gss-name",
        _import_names,
        lambda: (b"imap@mail.example.com", ALICE.encode(), rb"a\/b/c.test/d\@e"),
    ),
    Target(
        "gss-audience",
        lambda octets: read_audience(as_text(octets)),
        lambda: (b"urn:x-gss:imap/mail.example.com", b"imap://mail.example.com", b"https://a.test"),
    ),
    Target(
        "gss-mechanism",
        lambda octets: mechanism_by_name(as_text(octets)),
        lambda: (b"BROWSERID-AES128-PLUS", b"BROWSERID"),
    ),
    Target("gss-exported-name", import_exported_name, _exported_names),
    Target(
        "gss-exported-context",
        lambda octets: import_context(octets, _KEY, START),
        lambda: (_sealed_context(),),
    ),
    Target("gss-exported-context-members", _read_context, lambda: (_opened_context(),)),
    Target(
        "gss-negoex-acceptor",
        lambda octets: read_acceptor_metadata(octets, server_trust(), IMAP, START),
        lambda: (acceptor_metadata(server_credential(), START),),
    ),
    Target("gss-negoex-initiator", read_initiator_metadata, lambda: (initiator_metadata(),)),
    Target("gss-saml", _read_saml, lambda: (_SAML,)),
    Target(
        "gss-wrap",
        _on_each(lambda end, octets: end.unwrap(octets)),
        _messages(lambda end: end.wrap(b"message")),
    ),
    Target(
        "gss-wrap-clear",
        _on_each(lambda end, octets: end.unwrap_aead(octets, b"associated")),
        _messages(lambda end: end.wrap_aead(b"message", b"associated", confidential=False)),
    ),
    Target(
        "gss-mic",
        _on_each(lambda end, octets: end.verify_mic(b"message", octets)),
        _messages(lambda end: end.get_mic(b"message")),
    ),
    Target("gss-acceptor", _accept, _first_tokens),
    Target("gss-initiator", _be_answered, _answers),
)
