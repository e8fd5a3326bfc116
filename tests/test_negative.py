"""Bad input at every level, each with the reason that is given for it.

A line is one mistake in something that is otherwise right. The files beside the modules go into
more detail; this one shows that every level says what was wrong, and that nothing gets past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.config import load
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, DiscoveryError
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.gss.tokens import wrap_initial
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument
from browserid_sasl.identity.support import parse_support_document
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import parse_public_key
from browserid_sasl.jose.secrets import SecretKey
from browserid_sasl.store import memory_acceptor
from tests.support.exchanges import (
    acceptor_tickets,
    first_token,
    initiator_tickets,
    log_in,
    server_credential,
    server_trust,
)
from tests.support.forging import altered, certificate_in, claims_of, dump, resigned, token
from tests.support.refusal import refused
from tests.support.sasl import BINDINGS, bound_client, make_client, make_server
from tests.support.world import AES128, ALICE, HOUR, IMAP, START, World, key, support_document

MINUTE = 60_000
DAY = 24 * HOUR
SKEW = 5 * MINUTE
CAROL = key("carol")
"""Somebody whose keys nobody trusts."""

SECRET = SecretKey(b"s" * 32)
P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1


# JSON

DOCUMENTS: dict[str, tuple[bytes, Code]] = {
    "nothing at all": (b"", Code.INVALID_JSON),
    "an array": (b"[]", Code.INVALID_JSON),
    "a string": (b'"{}"', Code.INVALID_JSON),
    "an object without end": (b'{"a":1', Code.INVALID_JSON),
    "two objects": (b"{}{}", Code.INVALID_JSON),
    "a comma too many": (b'{"a":1,}', Code.INVALID_JSON),
    "a comment": (b'{"a":1 /* one */}', Code.INVALID_JSON),
    "a member twice": (b'{"exp":1,"exp":2}', Code.INVALID_JSON),
    "a member twice inside": (b'{"a":{"b":1,"b":1}}', Code.INVALID_JSON),
    "a member twice, once escaped": (b'{"a":1,"\\u0061":1}', Code.INVALID_JSON),
    "seventeen levels": (b'{"a":' * 17 + b"1" + b"}" * 17, Code.INVALID_JSON),
    "not a number": (b'{"a":NaN}', Code.INVALID_JSON),
    "minus infinity": (b'{"a":-Infinity}', Code.INVALID_JSON),
    "a number that is infinite": (b'{"a":1e999}', Code.INVALID_JSON),
    "a number of 33 digits": (b'{"a":' + b"1" * 33 + b"}", Code.INVALID_JSON),
    "Latin-1": ('{"a":"\u00e9"}'.encode("latin-1"), Code.INVALID_JSON),
    "UTF-16": ('{"a":1}'.encode("utf-16"), Code.INVALID_JSON),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', Code.INVALID_JSON),
    "half of a surrogate pair": (b'{"a":"\\ud800"}', Code.INVALID_JSON),
    "a line break in a string": (b'{"a":"\n"}', Code.INVALID_JSON),
    "65,537 octets": (b"{}" + b" " * 65_535, Code.BUFFER_TOO_LONG),
}


@pytest.mark.parametrize(("octets", "code"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_json(octets: bytes, code: Code) -> None:
    with refused(code, "the document"):
        strict_json.parse_object(octets, "the document")


# Headers of tokens

HS = {"alg": "HS256"}
TOKENS: dict[str, tuple[str, Code]] = {
    "an empty token": ("", Code.INVALID_JSON_WEB_TOKEN),
    "two parts": ("e30.e30", Code.INVALID_JSON_WEB_TOKEN),
    "five parts, as if encrypted": ("a.b.c.d.e", Code.INVALID_JSON_WEB_TOKEN),
    "a header in standard base64": ("+/+/.e30.AA", Code.INVALID_BASE64),
    "a payload with a space": (f"{b64.encode(dump(HS))}.e3 0.AA", Code.INVALID_BASE64),
    "a signature of five characters": (f"{b64.encode(dump(HS))}.e30.AAAAA", Code.INVALID_BASE64),
    "a signature with half its padding": (f"{b64.encode(dump(HS))}.e30.AA=", Code.INVALID_BASE64),
    "a header that is no object": (token([]), Code.INVALID_JSON),
    "a payload that is no object": (token(HS, []), Code.INVALID_JSON),
    "no algorithm": (token({}), Code.MISSING_ALGORITHM),
    "an algorithm that is a number": (token({"alg": 256}), Code.MISSING_ALGORITHM),
    "an algorithm twice": (token(b'{"alg":"none","alg":"HS256"}'), Code.INVALID_JSON),
    "another type": (token(HS | {"typ": "JWE"}), Code.INVALID_JSON_WEB_TOKEN),
    "another content type": (token(HS | {"cty": "text/plain"}), Code.INVALID_JSON_WEB_TOKEN),
    "crit of what is not known": (token(HS | {"crit": ["exp"]}), Code.INVALID_JSON_WEB_TOKEN),
    "crit of one known and one not": (
        token(HS | {"crit": ["alg", "b64"]}),
        Code.INVALID_JSON_WEB_TOKEN,
    ),
    "crit of nothing": (token(HS | {"crit": []}), Code.INVALID_JSON_WEB_TOKEN),
    "crit that is no list": (token(HS | {"crit": "alg"}), Code.INVALID_JSON_WEB_TOKEN),
    "certificates that are no list": (token(HS | {"x5c": "AAAA"}), Code.INVALID_JSON_WEB_TOKEN),
    "eleven certificates": (token(HS | {"x5c": ["AAAA"] * 11}), Code.INVALID_JSON_WEB_TOKEN),
    "a certificate in base64url": (token(HS | {"x5c": ["-_-_"]}), Code.INVALID_BASE64),
    "signed and without signature": (token(HS, {}, b""), Code.MISSING_SIGNATURE),
    "unsigned and with signature": (token({"alg": "none"}), Code.INVALID_JSON_WEB_TOKEN),
    "65,537 characters": ("a" * 65_537, Code.BUFFER_TOO_LONG),
}


@pytest.mark.parametrize(("text", "code"), TOKENS.values(), ids=TOKENS)
def test_tokens(text: str, code: Code) -> None:
    with refused(code, "the token"):
        Jwt.parse(text)


SIGNED = jwt.sign({"a": 1}, key("alice"))
HEAD, PAYLOAD, SIGNATURE = SIGNED.split(".")
PUBLIC = key("alice").public_key
SIGNATURES: dict[str, tuple[str, Any, Code]] = {
    "another key": (SIGNED, key("idp").public_key, Code.INVALID_SIGNATURE),
    "another payload": (f"{HEAD}.e30.{SIGNATURE}", PUBLIC, Code.INVALID_SIGNATURE),
    "a key of another kind": (SIGNED, key("a", "ES256").public_key, Code.UNKNOWN_ALGORITHM),
    "a shared secret": (SIGNED, SECRET, Code.UNKNOWN_ALGORITHM),
    "the public key as a shared secret": (
        jwt.sign({"a": 1}, SecretKey(b64.decode(PUBLIC.to_json()["n"], "n"))),
        PUBLIC,
        Code.UNKNOWN_ALGORITHM,
    ),
    "no signature": (jwt.unsigned({"a": 1}), PUBLIC, Code.MISSING_SIGNATURE),
    "a header that claims another algorithm": (
        token({"alg": "ES256"}, {"a": 1}, b64.decode(SIGNATURE, "it")),
        PUBLIC,
        Code.UNKNOWN_ALGORITHM,
    ),
    "an algorithm in small letters": (token({"alg": "rs256"}), PUBLIC, Code.UNKNOWN_ALGORITHM),
    "half a signature": (SIGNED[:-174], PUBLIC, Code.INVALID_SIGNATURE),
}


@pytest.mark.parametrize(("text", "verifier", "code"), SIGNATURES.values(), ids=SIGNATURES)
def test_signatures(text: str, verifier: Any, code: Code) -> None:
    with refused(code):
        Jwt.parse(text).verify(verifier)


# Keys

RSA = key("alice").public_key.to_json("jwk")
DSA = key("alice", "DS256").public_key.to_json("jwk")
EC = key("alice", "ES256").public_key.to_json("jwk")
CLASSIC = key("alice").public_key.to_json("classic")


def octets(number: int) -> str:
    return b64.encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


KEYS: dict[str, tuple[object, Code]] = {
    "a text": ("key", Code.INVALID_KEY),
    "a list": ([RSA], Code.INVALID_KEY),
    "neither kty nor algorithm": ({"n": RSA["n"], "e": RSA["e"]}, Code.INVALID_KEY),
    "a secret key": ({"kty": "oct", "k": "AAAA"}, Code.INVALID_KEY),
    "an Edwards key": ({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, Code.INVALID_KEY),
    "kty that is a list": (RSA | {"kty": ["RSA"]}, Code.INVALID_KEY),
    "another algorithm": (CLASSIC | {"algorithm": "HS"}, Code.INVALID_KEY),
    "another version": (CLASSIC | {"version": "2011"}, Code.INVALID_KEY),
    "no modulus": (altered(RSA, {"n": None}), Code.INVALID_KEY),
    "an empty modulus": (RSA | {"n": ""}, Code.INVALID_KEY),
    "a modulus that is a number": (RSA | {"n": 65537}, Code.INVALID_KEY),
    "a modulus that is no base64url": (RSA | {"n": "+/=="}, Code.INVALID_BASE64),
    "a modulus of 1,024 bits": (RSA | {"n": octets(2**1024 - 1)}, Code.KEY_TOO_SHORT),
    "a modulus of 8,193 bits": (RSA | {"n": octets(2**8193 - 1)}, Code.INVALID_KEY),
    "a modulus of 5,000 characters": (RSA | {"n": "A" * 5000}, Code.INVALID_KEY),
    "an exponent of 1": (RSA | {"e": "AQ"}, Code.INVALID_KEY),
    "an even exponent": (RSA | {"e": "AQAA"}, Code.INVALID_KEY),
    "an exponent of 34 bits": (RSA | {"e": octets(2**34 - 1)}, Code.INVALID_KEY),
    "classic numbers with a sign": (CLASSIC | {"n": f"-{CLASSIC['n']}"}, Code.INVALID_KEY),
    "classic numbers with underscores": (CLASSIC | {"e": "65_537"}, Code.INVALID_KEY),
    "classic numbers in other digits": (CLASSIC | {"e": "\u0663"}, Code.INVALID_KEY),
    "classic numbers in hexadecimal": (CLASSIC | {"e": "0x10001"}, Code.INVALID_KEY),
    "a DSA key of 1,024 bits": (
        DSA | {"p": octets(2**1023 + 1), "q": octets(2**159 + 1)},
        Code.KEY_TOO_SHORT,
    ),
    "a DSA subgroup of 224 bits": (DSA | {"q": octets(2**223 + 1)}, Code.INVALID_KEY),
    "a DSA generator of 1": (DSA | {"g": "AQ"}, Code.INVALID_KEY),
    "a DSA key of 1": (DSA | {"y": "AQ"}, Code.INVALID_KEY),
    "no curve": (altered(EC, {"crv": None}), Code.UNKNOWN_EC_CURVE),
    "a curve that does not sign here": (EC | {"crv": "P-521"}, Code.UNKNOWN_EC_CURVE),
    "a point that is not on the curve": (EC | {"y": EC["x"]}, Code.INVALID_KEY),
    "the point at infinity": (EC | {"x": "AA", "y": "AA"}, Code.INVALID_KEY),
    "a coordinate beyond the field": (EC | {"x": octets(P256_FIELD)}, Code.INVALID_KEY),
    "a coordinate with the prime added": (
        EC | {"y": octets(int.from_bytes(b64.decode(EC["y"], "y"), "big") + P256_FIELD)},
        Code.INVALID_KEY,
    ),
}


@pytest.mark.parametrize(("value", "code"), KEYS.values(), ids=KEYS)
def test_keys(value: object, code: Code) -> None:
    with refused(code, "key"):
        parse_public_key(value)


# Support documents

SUPPORT = support_document(key("idp"))
SUPPORT_DOCUMENTS: dict[str, tuple[object, Code]] = {
    "a page": (b"<!DOCTYPE html>", Code.INVALID_JSON),
    "an empty object": ({}, Code.NO_KEY),
    "an empty list of keys": ({"keys": []}, Code.NO_KEY),
    "disabled that is false and nothing else": ({"disabled": False}, Code.NO_KEY),
    "disabled that is a text": ({"disabled": "true"}, Code.INVALID_JSON),
    "a delegation to a URL": ({"authority": "https://b.test"}, Code.INVALID_ISSUER),
    "a delegation to an address": ({"authority": "192.0.2.1"}, Code.INVALID_ISSUER),
    "a delegation to a port": ({"authority": "b.test:8443"}, Code.INVALID_ISSUER),
    "a delegation to nothing": ({"authority": ""}, Code.INVALID_ISSUER),
    "a key that is none": (SUPPORT | {"public-key": {}}, Code.INVALID_KEY),
    "keys that are no list": (SUPPORT | {"keys": RSA}, Code.INVALID_KEYSET),
    "seventeen further keys": (SUPPORT | {"keys": [RSA] * 17}, Code.INVALID_KEYSET),
    "no key that is one": ({"keys": ["key", {}]}, Code.INVALID_KEY),
    "no key that is long enough": (
        {"keys": [RSA | {"n": octets(2**1024 - 1)}]},
        Code.KEY_TOO_SHORT,
    ),
    "no key that may sign": (SUPPORT | {"public-key": RSA | {"use": "enc"}}, Code.INVALID_KEY),
    "a path with a query": (SUPPORT | {"authentication": "/in?a"}, Code.INVALID_JSON),
    "a path with a fragment": (SUPPORT | {"provisioning": "/in#a"}, Code.INVALID_JSON),
    "a path that climbs": (SUPPORT | {"certify": "/a/../b"}, Code.INVALID_JSON),
    "no path for signing in": (altered(SUPPORT, {"authentication": None}), Code.UNKNOWN_JSON_KEY),
    "a path on another host": (SUPPORT | {"authentication": "//evil.test/"}, Code.INVALID_JSON),
    "a path that is a URL": (SUPPORT | {"provisioning": "https://evil.test/"}, Code.INVALID_JSON),
    "a relative path": (SUPPORT | {"certify": "certify"}, Code.INVALID_JSON),
    "a path with a backslash": (SUPPORT | {"certify": "/\\evil.test"}, Code.INVALID_JSON),
}


@pytest.mark.parametrize(("document", "code"), SUPPORT_DOCUMENTS.values(), ids=SUPPORT_DOCUMENTS)
def test_support_documents(document: object, code: Code) -> None:
    body = document if isinstance(document, bytes) else dump(document)
    with refused(code, kind=DiscoveryError):
        parse_support_document(body)


PUBLISHED: dict[str, tuple[dict[str, Any], str, Code]] = {
    "an issuer that is not the address's domain": (
        {"evil.test": SUPPORT, "idp.test": SUPPORT},
        "evil.test",
        Code.UNTRUSTED_ISSUER,
    ),
    "an issuer that has delegated": (
        {"idp.test": {"authority": "b.test"}, "b.test": SUPPORT},
        "idp.test",
        Code.UNTRUSTED_ISSUER,
    ),
    "an issuer on the way of a delegation": (
        {"idp.test": {"authority": "b.test"}, "b.test": {"authority": "c.test"}, "c.test": SUPPORT},
        "b.test",
        Code.UNTRUSTED_ISSUER,
    ),
    "a delegation in a circle": (
        {"idp.test": {"authority": "b.test"}, "b.test": {"authority": "idp.test"}},
        "b.test",
        Code.UNTRUSTED_ISSUER,
    ),
    "a domain that is disabled": (
        {"idp.test": {"disabled": True}},
        "idp.test",
        Code.UNTRUSTED_ISSUER,
    ),
    "a domain that does not answer": ({}, "idp.test", Code.HTTP_ERROR),
    "an authority of former times": (
        {"idp.test": SUPPORT, "login.persona.org": SUPPORT},
        "login.persona.org",
        Code.UNTRUSTED_ISSUER,
    ),
}


@pytest.mark.parametrize(("documents", "issuer", "code"), PUBLISHED.values(), ids=PUBLISHED)
def test_authorities(documents: dict[str, Any], issuer: str, code: Code) -> None:
    class Published:
        def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
            if domain not in documents:
                raise DiscoveryError(Code.HTTP_ERROR, "nobody answers")
            return FetchedDocument(dump(documents[domain]), HOUR)

    resolver = AuthorityResolver(Published(), memory_acceptor().authorities)
    with refused(code):
        resolver.keys_for(issuer, ALICE, START)


# What an acceptor is sent first. Every error token names the reason.

Forge = Callable[[World], bytes]


def assertion(**changes: Any) -> Forge:
    """An assertion of Alice's that says something else."""
    return lambda world: resigned(first_token(world), key("alice"), **changes)


def certificate(signer: Any = None, **changes: Any) -> Forge:
    """A certificate of Alice's that says something else, and her assertion."""

    def forge(world: World) -> bytes:
        message = first_token(world)
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        claims = altered(Jwt.parse(certificate_in(message)).claims, named)
        forged = jwt.sign(claims, signer or key("idp"))
        return b"c," + forged.encode() + message[message.index(b"~") :]

    return forge


def point(**changes: Any) -> Forge:
    """An assertion with another half of the key agreement."""

    def forge(world: World) -> bytes:
        message = first_token(world)
        return resigned(message, key("alice"), ecdh=altered(claims_of(message)["ecdh"], changes))

    return forge


def edited(edit: Callable[[bytes], bytes]) -> Forge:
    return lambda world: edit(first_token(world))


def flipped(text: bytes) -> bytes:
    """The assertion's signature with one bit the other way round."""
    middle = len(text) - 100
    return (
        text[:middle] + (b"A" if text[middle : middle + 1] != b"A" else b"B") + text[middle + 1 :]
    )


FIRST: dict[str, tuple[Forge, Code]] = {
    "nothing": (lambda _: b"", Code.TOKEN_TRUNCATED),
    "one octet": (lambda _: b"c", Code.TOKEN_TRUNCATED),
    "no assertion": (lambda _: b"c,", Code.INVALID_JSON_WEB_TOKEN),
    "a response": (edited(lambda text: b"C" + text[1:]), Code.BAD_DIRECTION),
    "a metadata token": (edited(lambda text: b"m" + text[1:]), Code.WRONG_TOKEN_ID),
    "a token with OID": (edited(lambda text: wrap_initial(AES128.oid, text)), Code.WRONG_TOKEN_ID),
    "70,000 octets": (lambda _: b"c," + b"x" * 70_000, Code.BUFFER_TOO_LONG),
    "octets outside of ASCII": (edited(lambda text: text + b"\xff"), Code.INVALID_ASSERTION),
    "no certificate": (
        edited(lambda text: b"c,~" + text.rpartition(b"~")[2]),
        Code.MISSING_CERT,
    ),
    "a certificate that is empty": (
        edited(lambda text: b"c,~" + text[2:]),
        Code.INVALID_ASSERTION,
    ),
    "two certificates": (
        edited(lambda text: text[:2] + certificate_in(text).encode() + b"~" + text[2:]),
        Code.TOO_MANY_CERTS,
    ),
    "eleven certificates": (
        edited(lambda text: b"c," + b"x~" * 10 + text[2:]),
        Code.INVALID_ASSERTION,
    ),
    "a certificate that is no token": (
        edited(lambda text: b"c,garbage" + text[text.index(b"~") :]),
        Code.INVALID_JSON_WEB_TOKEN,
    ),
    "an assertion that is altered": (edited(flipped), Code.INVALID_SIGNATURE),
    "an assertion of somebody else's": (
        lambda world: resigned(first_token(world), CAROL),
        Code.INVALID_SIGNATURE,
    ),
    "an assertion that is not signed": (
        lambda world: (
            first_token(world).rpartition(b"~")[0]
            + b"~"
            + jwt.unsigned(claims_of(first_token(world))).encode()
        ),
        Code.MISSING_SIGNATURE,
    ),
    "no audience": (assertion(aud=None), Code.MISSING_AUDIENCE),
    "another host": (assertion(aud="urn:x-gss:imap/other.example.com"), Code.BAD_AUDIENCE),
    "another service": (assertion(aud="urn:x-gss:smtp/mail.example.com"), Code.BAD_AUDIENCE),
    "the host instead of the service": (
        assertion(aud="urn:x-gss:host/mail.example.com"),
        Code.BAD_AUDIENCE,
    ),
    "an audience of a website": (assertion(aud="urn:x-web:mail"), Code.INVALID_AUDIENCE_URN),
    "an audience that is no name": (assertion(aud="urn:x-gss:imap"), Code.BAD_SERVICE_NAME),
    "two audiences": (assertion(aud=["imap/mail.example.com"]), Code.INVALID_JSON),
    "two dialects": (assertion(epk={"crv": "P-256"}), Code.INVALID_ASSERTION),
    "the audience of the other dialect": (
        assertion(aud="imap/mail.example.com"),
        Code.INVALID_ASSERTION,
    ),
    "no expiry": (assertion(exp=None), Code.UNKNOWN_JSON_KEY),
    "an expiry in seconds": (assertion(exp=START // 1000), Code.EXPIRED_ASSERTION),
    "an expiry as a text": (assertion(exp=str(START)), Code.INVALID_JSON),
    "an expiry with a fraction": (assertion(exp=START + 0.5), Code.INVALID_JSON),
    "an expiry just beyond the skew": (assertion(exp=START - SKEW - 1), Code.EXPIRED_ASSERTION),
    "an expiry next year": (assertion(exp=START + 365 * DAY), Code.INVALID_ASSERTION),
    "issued in the future": (assertion(iat=START + SKEW + 1), Code.INVALID_ASSERTION),
    "not valid yet": (assertion(nbf=START + SKEW + 1), Code.ASSERTION_NOT_YET_VALID),
    "no key agreement": (assertion(ecdh=None), Code.NO_KEY),
    "a key agreement that is a text": (assertion(ecdh="P-256"), Code.NO_KEY),
    "no curve": (point(crv=None), Code.UNKNOWN_EC_CURVE),
    "an unknown curve": (point(crv="P-384"), Code.UNKNOWN_EC_CURVE),
    "a curve too strong for the mechanism": (
        lambda world: first_token(world, mechanism=mechanism_by_name("BROWSERID-AES256")),
        Code.INVALID_EC_CURVE,
    ),
    "a point at infinity": (point(x="AA", y="AA"), Code.CRYPTO_ERROR),
    "a point off the curve": (point(y="AQ"), Code.CRYPTO_ERROR),
    "a coordinate that is the prime": (point(x=octets(P256_FIELD)), Code.CRYPTO_ERROR),
    "a coordinate that is too long": (point(x="A" * 44), Code.CRYPTO_ERROR),
    "a coordinate of 2,732 characters": (point(x="A" * 2732), Code.INVALID_JSON),
    "a coordinate that is missing": (point(y=None), Code.UNKNOWN_JSON_KEY),
    "options that are a text": (assertion(opts="ma"), Code.INVALID_JSON),
    "a nonce that is a number": (assertion(nonce=7), Code.INVALID_JSON),
    "a ticket under a certificate": (assertion(tkt={"tid": "x"}), Code.INVALID_ASSERTION),
    "a certificate of another issuer's": (certificate(iss="evil.test"), Code.UNTRUSTED_ISSUER),
    "a certificate without an issuer": (certificate(iss=None), Code.MISSING_ISSUER),
    "an issuer that is a URL": (certificate(iss="https://idp.test"), Code.INVALID_ISSUER),
    "a certificate signed by somebody else": (certificate(CAROL), Code.INVALID_SIGNATURE),
    "a certificate signed by its owner": (certificate(key("alice")), Code.INVALID_SIGNATURE),
    "a certificate under a shared secret": (certificate(SECRET), Code.UNKNOWN_ALGORITHM),
    "a certificate that has just expired": (certificate(exp=START), Code.CRED_EXPIRED),
    "a certificate that expired long ago": (certificate(exp=START - SKEW - 1), Code.EXPIRED_CERT),
    "a certificate of tomorrow": (certificate(iat=START + SKEW + 1), Code.CERT_NOT_YET_VALID),
    "a certificate not valid yet": (certificate(nbf=START + SKEW + 1), Code.CERT_NOT_YET_VALID),
    "a certificate for more than a day": (certificate(exp=START + DAY + 1), Code.INVALID_ASSERTION),
    "a certificate without expiry": (certificate(exp=None), Code.UNKNOWN_JSON_KEY),
    "a certificate without a key": (certificate(public_key=None), Code.INVALID_KEY),
    "a certificate for a short key": (
        certificate(public_key=RSA | {"n": octets(2**1024 - 1)}),
        Code.KEY_TOO_SHORT,
    ),
    "a certificate for nobody": (certificate(principal=None), Code.MISSING_PRINCIPAL),
    "a certificate for a host": (
        certificate(principal={"host": "idp.test"}),
        Code.UNKNOWN_PRINCIPAL_TYPE,
    ),
    "a certificate for somebody elsewhere": (
        certificate(principal={"email": "alice@elsewhere.test"}),
        Code.HTTP_ERROR,
    ),
    "an address with a line break": (
        certificate(principal={"email": "alice\n@idp.test"}),
        Code.UNKNOWN_PRINCIPAL_TYPE,
    ),
}


def assert_refused(acceptor: Acceptor, message: bytes, code: Code) -> None:
    answer = acceptor.step(message)
    assert answer is not None
    assert acceptor.state is AcceptorState.FAILED
    assert acceptor.failure is not None and acceptor.failure.code is code, acceptor.failure
    assert claims_of(answer)["gss-min"] == code.wire
    assert_repeats_nothing(acceptor.failure, message)


def assert_repeats_nothing(error: BrowserIDError, message: bytes) -> None:
    """What is logged is of no use to whoever reads the log: no part of a token is in it."""
    shown = str(error) + repr(error)
    for part in message.replace(b"~", b".").split(b"."):
        assert len(part) < 20 or part.decode("latin-1") not in shown


@pytest.mark.parametrize(("forge", "code"), FIRST.values(), ids=FIRST)
def test_first_tokens(forge: Forge, code: Code) -> None:
    world = World()
    assert_refused(world.acceptor(), forge(world), code)
    assert acceptor_tickets(world) == []


# Tickets

SMTP = ServiceName("smtp", IMAP.host)


def ticket_assertion(**changes: Any) -> Forge:
    """A re-authentication that says something else, well signed."""

    def forge(world: World) -> bytes:
        (ticket,) = initiator_tickets(world)
        return resigned(first_token(world), SecretKey(ticket.ark), **changes)

    return forge


def presented_before(world: World) -> bytes:
    message = first_token(world)
    world.acceptor().step(message)
    return message


TICKETS: dict[str, tuple[Forge, Code]] = {
    "another key": (lambda w: resigned(first_token(w), SECRET), Code.INVALID_SIGNATURE),
    "no signature": (
        lambda w: b"c,~" + jwt.unsigned(claims_of(first_token(w))).encode(),
        Code.MISSING_SIGNATURE,
    ),
    "signed by the person's key": (
        lambda w: resigned(first_token(w), key("alice")),
        Code.UNKNOWN_ALGORITHM,
    ),
    "under a certificate": (
        lambda w: b"c," + w.person.certificate().encode() + first_token(w)[2:],
        Code.INVALID_ASSERTION,
    ),
    "presented before": (presented_before, Code.REPLAYED_ASSERTION),
    "presented before, now without the tilde": (
        lambda w: presented_before(w).replace(b"~", b""),
        Code.REPLAYED_ASSERTION,
    ),
    "for another audience of the same server": (
        ticket_assertion(aud=f"urn:x-gss:{SMTP}"),
        Code.BAD_AUDIENCE,
    ),
    "for another server": (ticket_assertion(aud="urn:x-gss:imap/elsewhere"), Code.BAD_AUDIENCE),
    "without a nonce": (ticket_assertion(nonce=None), Code.MISSING_NONCE),
    "with a nonce that is no base64url": (ticket_assertion(nonce="?"), Code.INVALID_BASE64),
    "expired": (ticket_assertion(exp=START - SKEW - 1), Code.EXPIRED_ASSERTION),
    "without any time": (ticket_assertion(exp=None), Code.UNKNOWN_JSON_KEY),
    "with an identifier that is a number": (ticket_assertion(tkt={"tid": 1}), Code.INVALID_JSON),
    "with an identifier that is too long": (
        ticket_assertion(tkt={"tid": "x" * 129}),
        Code.INVALID_JSON,
    ),
    "without an identifier": (ticket_assertion(tkt={}), Code.UNKNOWN_JSON_KEY),
}


@pytest.mark.parametrize(("forge", "code"), TICKETS.values(), ids=TICKETS)
def test_re_authentications(forge: Forge, code: Code) -> None:
    world = World()
    world.options = replace(world.options, names=(IMAP, SMTP))
    log_in(world)
    message = forge(world)
    acceptor = world.acceptor()
    assert_refused(acceptor, message, code)
    for secret in {ticket.ark for ticket in acceptor_tickets(world)}:
        for spelled in (repr(secret), secret.hex(), b64.encode(secret)):
            assert spelled not in repr(acceptor.failure)


def test_a_ticket_of_a_curve_too_weak_for_the_mechanism() -> None:
    world = World()
    log_in(world)
    message = first_token(world)
    acceptor = world.acceptor(mechanism=mechanism_by_name("BROWSERID-AES256"))
    assert_refused(acceptor, message, Code.INVALID_EC_CURVE)


# Plain GSS-API

FRAMED = wrap_initial(AES128.oid, b"c,garbage")
FRAMES: dict[str, tuple[bytes, Code]] = {
    "no frame": (b"c,garbage", Code.BAD_TOKEN_HEADER),
    "half a frame": (FRAMED[:8], Code.TOKEN_TRUNCATED),
    "an octet too many": (FRAMED + b"x", Code.WRONG_SIZE),
    "a length in a longer form": (b"\x60\x81" + FRAMED[1:], Code.BAD_TOKEN_HEADER),
    "an indefinite length": (b"\x60\x80" + FRAMED[2:], Code.BAD_TOKEN_HEADER),
    "another mechanism": (wrap_initial((1, 2, 840, 113554, 1, 2, 2), b"x"), Code.WRONG_MECH),
}


@pytest.mark.parametrize(("message", "code"), FRAMES.values(), ids=FRAMES)
def test_frames(message: bytes, code: Code) -> None:
    acceptor = PlainAcceptor([AES128], lambda mechanism: World().acceptor())
    with refused(code):
        acceptor.step(message)
    assert not acceptor.complete


# SASL

HEADERS: dict[str, tuple[bytes, Code]] = {
    "no header": (b"c,e30.e30.AA", Code.BAD_TOKEN_HEADER),
    "the flag F": (b"F,n,,c,", Code.BAD_TOKEN_HEADER),
    "a flag in capitals": (b"N,,c,", Code.BAD_TOKEN_HEADER),
    "p without a type": (b"p=,,c,", Code.BAD_TOKEN_HEADER),
    "an escape that is none": (b"n,a=a=3d,c,", Code.BAD_TOKEN_HEADER),
    "an empty authorization identity": (b"n,a=,c,", Code.BAD_TOKEN_HEADER),
    "an authorization identity with a NUL": (b"n,a=a\0,c,", Code.BAD_TOKEN_HEADER),
    "an authorization identity in Latin-1": (b"n,a=\xe9,c,", Code.BAD_TOKEN_HEADER),
    "a header and nothing else": (b"n,,", Code.TOKEN_TRUNCATED),
    "a type the server does not have": (b"p=tls-other,,c,", Code.CHANNEL_BINDINGS_MISMATCH),
    "y where the server can bind": (b"y,,c,", Code.CHANNEL_BINDINGS_MISMATCH),
}


@pytest.mark.parametrize(("message", "code"), HEADERS.values(), ids=HEADERS)
def test_headers(message: bytes, code: Code) -> None:
    server = make_server(World(), channel_bindings=BINDINGS)
    answer = server.step(message)
    assert answer is not None and claims_of(answer)["gss-min"] == code.wire
    with refused(code):
        server.step(b"")
    assert not server.complete


CHANNELS: dict[str, tuple[Callable[[World], bytes], dict[str, Any], Code]] = {
    "bound where the server is not": (
        lambda w: bound_client(w).step(),
        {},
        Code.CHANNEL_BINDINGS_MISMATCH,
    ),
    "bound to another channel": (
        lambda w: bound_client(w).step(),
        {"channel_bindings": {"tls-exporter": b"other"}},
        Code.CHANNEL_BINDINGS_MISMATCH,
    ),
    "not bound where that is required": (
        lambda w: make_client(w).step(),
        {"require_binding": True},
        Code.MISSING_CHANNEL_BINDINGS,
    ),
    "a header that was taken off": (
        lambda w: bound_client(w).step().replace(b"p=tls-exporter,,", b"n,,", 1),
        {"channel_bindings": BINDINGS},
        Code.CHANNEL_BINDINGS_MISMATCH,
    ),
    "an identity that was put in": (
        lambda w: make_client(w).step().replace(b"n,,", b"n,a=root,", 1),
        {},
        Code.CHANNEL_BINDINGS_MISMATCH,
    ),
    "an identity of somebody else's": (
        lambda w: make_client(w, authzid="root").step(),
        {},
        Code.NO_LOCAL_MAPPING,
    ),
    "an assertion made without SASL": (
        lambda w: b"n,," + first_token(w),
        {},
        Code.MISSING_CHANNEL_BINDINGS,
    ),
}


@pytest.mark.parametrize(("message", "options", "code"), CHANNELS.values(), ids=CHANNELS)
def test_channels(message: Callable[[World], bytes], options: dict[str, Any], code: Code) -> None:
    world = World()
    server = make_server(world, **options)
    server.step(message(world))
    assert server.failure is not None and server.failure.code is code, server.failure


# What an initiator is answered

REQUIRED = InitiatorOptions(mutual=Mutual.REQUIRED)


@dataclass(frozen=True)
class Answer:
    """A forged answer.

    :param forge: makes it of the first message and the true answer.
    :param mutual: whether the server has to prove its identity.
    """

    forge: Callable[[bytes, bytes], bytes]
    code: Code
    mutual: bool = False


def x509_signed(**changes: Any) -> Callable[[bytes, bytes], bytes]:
    """The true answer, saying something else under the server's true key."""
    credential = server_credential()

    def forge(_: bytes, answer: bytes) -> bytes:
        claims = altered(claims_of(answer), changes)
        return b"C,~" + jwt.sign(claims, credential.key, x5c=credential.chain).encode()

    return forge


def wrongly_signed(**changes: Any) -> Callable[[bytes, bytes], bytes]:
    def forge(_: bytes, answer: bytes) -> bytes:
        return b"C,~" + jwt.sign(altered(claims_of(answer), changes), SECRET).encode()

    return forge


ANSWERS: dict[str, Answer] = {
    "nothing": Answer(lambda *_: b"", Code.TOKEN_TRUNCATED),
    "the first message sent back": Answer(lambda sent, _: sent, Code.BAD_DIRECTION),
    "the assertion sent back as an answer": Answer(
        lambda sent, _: b"C,~" + sent.rpartition(b"~")[2], Code.REFLECTED_RP_RESPONSE
    ),
    "the whole backed assertion sent back": Answer(
        lambda sent, _: b"C" + sent[1:], Code.INVALID_ASSERTION
    ),
    "an answer with an audience": Answer(
        wrongly_signed(aud="imap/mail.example.com"), Code.REFLECTED_RP_RESPONSE
    ),
    "a signature by another key": Answer(wrongly_signed(), Code.INVALID_SIGNATURE),
    "no signature": Answer(
        lambda _, answer: b"C,~" + jwt.unsigned(claims_of(answer)).encode(),
        Code.MISSING_SIGNATURE,
    ),
    "a signature of another kind": Answer(
        lambda _, answer: b"C,~" + jwt.sign(claims_of(answer), key("idp")).encode(),
        Code.UNKNOWN_ALGORITHM,
    ),
    "an altered signature": Answer(
        lambda _, answer: answer[:-6] + (b"AAAAAA" if answer[-6:-4] != b"AA" else b"BBBBBB"),
        Code.INVALID_SIGNATURE,
    ),
    "no expiry": Answer(wrongly_signed(exp=None), Code.UNKNOWN_JSON_KEY),
    "no point": Answer(wrongly_signed(ecdh=None), Code.NO_KEY),
    "a point at infinity": Answer(wrongly_signed(ecdh={"x": "AA", "y": "AA"}), Code.CRYPTO_ERROR),
    "a point off the curve": Answer(wrongly_signed(ecdh={"x": "AQ", "y": "AQ"}), Code.CRYPTO_ERROR),
    "a point in the other dialect": Answer(
        lambda _, answer: wrongly_signed(ecdh=None, epk=claims_of(answer)["ecdh"])(_, answer),
        Code.NO_KEY,
    ),
    "a status that is a text": Answer(wrongly_signed(**{"gss-min": "18"}), Code.BAD_ERROR_TOKEN),
    "a status of 33 bits": Answer(wrongly_signed(**{"gss-maj": 1 << 32}), Code.BAD_ERROR_TOKEN),
    "a signed error under another key": Answer(
        wrongly_signed(**{"gss-min": 18}), Code.INVALID_SIGNATURE
    ),
    "a server's key nobody asked for": Answer(x509_signed(), Code.UNTRUSTED_X509_CERT),
    "a shared secret in place of the server's key": Answer(
        wrongly_signed(), Code.INVALID_SIGNATURE, mutual=True
    ),
    "no nonce": Answer(x509_signed(nonce=None), Code.MISSING_NONCE, mutual=True),
    "another nonce": Answer(x509_signed(nonce="AAAA"), Code.MISMATCHED_RP_RESPONSE, mutual=True),
    "a nonce that is a number": Answer(
        x509_signed(nonce=1), Code.MISMATCHED_RP_RESPONSE, mutual=True
    ),
    "a certificate with another's signature": Answer(
        lambda _, answer: (
            b"C,~"
            + jwt.sign(
                claims_of(answer), key("thief", "ES256"), x5c=server_credential().chain
            ).encode()
        ),
        Code.INVALID_SIGNATURE,
        mutual=True,
    ),
    "a certificate that is none": Answer(
        lambda _, answer: (
            b"C,~" + jwt.sign(claims_of(answer), key("thief", "ES256"), x5c=[b"garbage"]).encode()
        ),
        Code.UNTRUSTED_X509_CERT,
        mutual=True,
    ),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_answers(case: Answer) -> None:
    world = World()
    if case.mutual:
        initiator = world.initiator(REQUIRED, trust=server_trust())
    else:
        initiator = world.initiator()
    sent = initiator.step() or b""
    credential = server_credential() if case.mutual else None
    answer = world.acceptor(credential=credential).step(sent) or b""
    assert_answer_refused(initiator, case.forge(sent, answer), case.code)
    assert initiator_tickets(world) == []


def assert_answer_refused(initiator: Initiator, answer: bytes, code: Code) -> None:
    with refused(code) as refusal:
        initiator.step(answer)
    assert_repeats_nothing(refusal.value, answer)
    assert initiator.state is InitiatorState.FAILED
    with refused(Code.CONTEXT_INCOMPLETE):
        _ = initiator.context


# Configuration

CONFIGURATION: dict[str, tuple[str, int, str]] = {
    "a section nobody knows": ("\n[serv]\n", 2, "there is no section 'serv'"),
    "an option nobody knows": (
        "[server]\nclock-skew = 3\n",
        2,
        "there is no option 'server.clock-skew'",
    ),
    "an option of another section": (
        "[client]\naudiences = []\n",
        2,
        "there is no option 'client.audiences'",
    ),
    "an option twice": (
        "[server]\ntickets = true\ntickets = false\n",
        3,
        "a section or option is given twice",
    ),
    "a text where a truth is due": (
        '[server]\nhost_spn_alias = "yes"\n',
        2,
        "server.host_spn_alias has to be true or false, not text",
    ),
    "a negative time": ("[server]\nclock_skew = -1\n", 2, "server.clock_skew is less than 0"),
    "a skew of more than an hour": (
        "[server]\n\nclock_skew = 3601\n",
        3,
        "server.clock_skew is more than 3600",
    ),
    "a certificate's life of more than a day is a decision, not a slip": (
        "[server]\nmax_certificate_life = 1e9\n",
        2,
        "server.max_certificate_life has to be a whole number, not a number with a fraction",
    ),
    "an identity that is no address": (
        '[client]\nidentity = "alice"\n',
        2,
        "client.identity is 'alice', which is not an e-mail address",
    ),
    "an authority without quotes": (
        "[authorities.example.org]\nurl = 3\n",
        1,
        "the domain in the name of the section is not in quotes",
    ),
    "half of a pair": (
        '[server]\nx509_key = "key.pem"\n',
        2,
        "server.x509_key is given without server.x509_certificate",
    ),
    "no end of a text": (
        '[client]\nidentity = "alice\n',
        2,
        "not valid TOML at column",
    ),
}


@pytest.mark.parametrize(("text", "line", "message"), CONFIGURATION.values(), ids=CONFIGURATION)
def test_configuration(text: str, line: int, message: str, tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text(text)
    file.chmod(0o600)
    with refused(Code.INVALID_PARAMETER, kind=ConfigurationError) as refusal:
        load(file)
    error = refusal.value
    assert isinstance(error, ConfigurationError)
    assert (error.file, error.line) == (str(file), line)
    assert error.message.startswith(message)
    assert error.remedy


def test_there_are_enough_of_them() -> None:
    tables: list[dict[str, Any]] = [
        DOCUMENTS, TOKENS, SIGNATURES, KEYS, SUPPORT_DOCUMENTS, PUBLISHED, FIRST, TICKETS, FRAMES,
        HEADERS, CHANNELS, ANSWERS, CONFIGURATION,
    ]  # fmt: skip
    assert sum(map(len, tables)) >= 200
