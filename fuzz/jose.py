"""Base64, JSON, signed tokens and keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey, Spelling, parse_public_key
from browserid_sasl.jose.secrets import SecretKey
from fuzz.target import Target
from tests.support.world import key

ALGORITHMS: Final = ("RS256", "ES256", "DS256")
SPELLINGS: Final[tuple[Spelling, ...]] = ("classic", "2012.08.15", "jwk")
SECRET: Final = SecretKey(bytes(32))
_WHAT: Final = "it"


def as_text(octets: bytes) -> str:
    """Octets as text of any characters, the same octets as the same text."""
    return octets.decode("utf-8", "surrogateescape")


def _public_keys() -> Iterator[bytes]:
    for algorithm in ALGORITHMS:
        for spelling in SPELLINGS:
            yield strict_json.dumps(key("alice", algorithm).public_key.to_json(spelling))


def _read_public_key(octets: bytes) -> None:
    value = strict_json.parse_object(octets, _WHAT)
    public = parse_public_key(value, allow_legacy=True)
    assert parse_public_key(public.to_json(), allow_legacy=True) == public
    with suppress(BrowserIDError):
        public.verify(bytes(64), b"")


def _read_header(octets: bytes) -> None:
    Jwt.parse(".".join([b64.encode(octets), "e30", "AA"]))


def _signature_target(algorithm: str) -> Target:
    private = key("alice", algorithm)
    header = b'{"alg":"%s"}' % algorithm.encode()
    signed = f"{b64.encode(header)}.e30"

    def verify(octets: bytes) -> None:
        Jwt.parse(f"{signed}.{b64.encode(octets)}").verify(private.public_key)

    return Target(
        f"jose-signature-{algorithm.lower()}", verify, lambda: (private.sign(signed.encode()),)
    )


TARGETS: Final = (
    Target(
        "jose-base64url",
        lambda octets: b64.decode(as_text(octets), _WHAT),
        lambda: (b"Zm9vYg", b"Zm9vYg==", b"_-8"),
    ),
    Target(
        "jose-base64",
        lambda octets: b64.decode_standard(as_text(octets), _WHAT),
        lambda: (b"Zm9vYg==", b"+/8="),
    ),
    Target(
        "jose-json",
        lambda octets: strict_json.parse_object(octets, _WHAT),
        lambda: (
            b'{"a":[1,2.5e3,"\\u00e9\\n",{"b":null,"c":true}]}',
            b'{"\xc3\xa9":"\\ud83d\\ude00"}',
        ),
    ),
    Target(
        "jose-token",
        lambda octets: Jwt.parse(as_text(octets)).verify(SECRET),
        lambda: (
            jwt.sign({"a": 1}, SECRET, x5c=[b"certificate"]).encode(),
            jwt.unsigned({"a": 1}).encode(),
        ),
    ),
    Target(
        "jose-header",
        _read_header,
        lambda: (
            b'{"alg":"HS256","typ":"JWT","crit":["alg"],"x5c":["AAAA"]}',
            b'{"alg":"none"}',
            b'{"alg":"ES256","x5c":["AAAA","AAAA"]}',
        ),
    ),
    *map(_signature_target, ALGORITHMS),
    Target("jose-public-key", _read_public_key, _public_keys),
    Target(
        "jose-private-key",
        lambda octets: PrivateKey.from_pem(octets, allow_legacy=True),
        lambda: (key("alice", algorithm).to_pem() for algorithm in ALGORITHMS),
    ),
)
