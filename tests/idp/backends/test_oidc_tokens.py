"""What another provider signs, and what somebody else would like it to have signed."""

from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey, import_key

from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.idp.backends.oidc_tokens import Expected, UnknownKeyError, verified
from browserid_sasl.jose import b64

ISSUER, CLIENT, NONCE, ACCESS = "https://login.example.test/x", "browserid", "a nonce", "access"
NOW = 1_800_000_000.0
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}, private=True)
with warnings.catch_warnings(action="ignore"):
    SHORT = RSAKey.generate_key(1024, {"kid": "short"}, private=True)
P256 = ECKey.generate_key("P-256", {"kid": "p256"}, private=True)
P384 = ECKey.generate_key("P-384", {"kid": "p384"}, private=True)
OF_RS = RSAKey.generate_key(2048, {"kid": "rs", "alg": "RS256"}, private=True)
ENCRYPTS = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}, private=True)
SECRET = OctKey.import_key("a secret that both of them know, and is long", {"kid": "oct"})
KEYS: list[dict[str, Any]] = [
    dict(key.as_dict(private=False)) for key in (RSA, SHORT, P256, P384, OF_RS, ENCRYPTS)
]
KEYS.append(dict(SECRET.as_dict(private=True)))
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "lena",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": NONCE,
}
EXPECTED = Expected(ISSUER, CLIENT, NOW, NONCE, ACCESS)


def signed(key: Key = RSA, alg: str = "RS256", **changed: object) -> str:
    claims = {name: each for name, each in (CLAIMS | changed).items() if each is not None}
    header = {"alg": alg, "kid": key.kid}
    # The library signs nothing with a key that is for something else.
    data = key.as_dict(private=True)
    with warnings.catch_warnings(action="ignore"):
        bare_key = import_key({name: data[name] for name in data if name not in ("use", "alg")})
    return jwt.encode(header, claims, bare_key, algorithms=[alg])


def at_hash(access: str, digest: Callable[..., Any] = hashlib.sha256) -> str:
    whole = digest(access.encode()).digest()
    return b64.encode(whole[: len(whole) // 2])


def bare(header: object, claims: object = CLAIMS, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(map(b64.encode, parts))


GOOD = {
    "RS256": signed(),
    "PS256": signed(alg="PS256"),
    "ES256": signed(P256, "ES256"),
    "ES384": signed(P384, "ES384"),
    "an audience in a list": signed(aud=[CLIENT]),
    "several audiences, and it was given to us": signed(aud=["x", CLIENT], azp=CLIENT),
    "a clock that is behind": signed(exp=NOW - 59, iat=NOW - 400),
    "a clock that is ahead": signed(iat=NOW + 59),
    "a sign-in of a while ago": signed(auth_time=NOW - 86_400),
    "a sign-in by a clock that is ahead": signed(auth_time=NOW + 59.5),
    "a hash": signed(at_hash=at_hash(ACCESS)),
    "a longer hash": signed(P384, "ES384", at_hash=at_hash(ACCESS, hashlib.sha384)),
}


def with_the_public_key_as_a_secret() -> str:
    head = ".".join(bare({"alg": "HS256", "kid": "rsa"}).split(".")[:2])
    signature = hmac.digest(RSA.as_pem(private=False), head.encode(), hashlib.sha256)
    return f"{head}.{b64.encode(signature)}"


BAD = {
    "of another issuer": signed(iss="https://login.example.test"),
    "of an issuer with a slash more": signed(iss=f"{ISSUER}/"),
    "of no issuer": signed(iss=None),
    "for another program": signed(aud="another"),
    "for other programs": signed(aud=["another", "more"]),
    "for nobody": signed(aud=None),
    "for several programs": signed(aud=[CLIENT, "another"]),
    "given to another program": signed(aud=[CLIENT, "another"], azp="another"),
    "given to another program alone": signed(azp="another"),
    "expired": signed(exp=NOW - 60),
    "without an end": signed(exp=None),
    "with an end that is a text": signed(exp=str(int(NOW) + 300)),
    "with an end that is a word": signed(exp=True),
    "old": signed(iat=NOW - 600),
    "of tomorrow": signed(iat=NOW + 86_400, exp=NOW + 90_000),
    "of no time": signed(iat=None),
    "with an end that never comes": signed(exp=float("inf")),
    "with an end in the year 10000": signed(exp=253_402_300_800),
    "of a sign-in at no time": signed(auth_time=float("nan")),
    "of a sign-in at the end of time": signed(auth_time=float("inf")),
    "of a sign-in of tomorrow": signed(auth_time=NOW + 61),
    "of a sign-in before all time": signed(auth_time=-1),
    "of a sign-in at a word": signed(auth_time="now"),
    "of another sign-in": signed(nonce="another"),
    "of a sign-in without a nonce": signed(nonce=None),
    "with a nonce that is no text": signed(nonce=[NONCE]),
    "with another access token": signed(at_hash=at_hash("another")),
    "with a hash that is no text": signed(at_hash=1),
    "about nobody": signed(sub=None),
    "about nobody in particular": signed(sub=""),
    "about a number": signed(sub=1),
    "about too much": signed(sub="x" * 256),
    "not signed": bare({"alg": "none", "kid": "rsa"}),
    "not signed, and no key": bare({"alg": "none"}),
    "with the public key as a secret": with_the_public_key_as_a_secret(),
    "with a secret that is among the keys": signed(SECRET, "HS256"),
    "with a short key": signed(SHORT),
    "with a key that encrypts": signed(ENCRYPTS),
    "with another algorithm than the key's": signed(OF_RS, "PS256"),
    "with a longer digest than we take": signed(alg="RS512"),
    "with another key of the same name": signed(
        RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
    ),
    "with a key of its own": bare(
        {"alg": "RS256", "kid": "rsa", "jwk": RSA.as_dict(private=False)}, signature=b"x" * 256
    ),
    "changed": GOOD["RS256"][:-8] + "AAAAAAAA",
    "with something critical": bare({"alg": "RS256", "kid": "rsa", "crit": ["x"], "x": 1}),
    "with a header that is no object": bare([]),
    "with claims that are no object": jwt.encode({"alg": "RS256"}, {}, RSA)[:9],
    "cut off": GOOD["RS256"].rpartition(".")[0],
    "empty": "",
    "five parts": f"{GOOD['RS256']}.x.y",
    "deep": b64.encode(b"[" * 100_000) + ".x.y",
    "no base64": "%.%.%",
}


@pytest.mark.parametrize("good", GOOD)
def test_what_it_signs_is_believed(good: str) -> None:
    assert verified(GOOD[good], KEYS, EXPECTED)["sub"] == "lena"


@pytest.mark.filterwarnings("ignore:Key size")
@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_believed(bad: str) -> None:
    with pytest.raises(UnavailableError):
        verified(BAD[bad], KEYS, EXPECTED)


def test_a_key_that_is_not_there_may_have_come_meanwhile() -> None:
    with pytest.raises(UnknownKeyError):
        verified(signed(), [each for each in KEYS if each["kid"] != "rsa"], EXPECTED)


def test_without_a_name_there_has_to_be_one_key() -> None:
    token = jwt.encode({"alg": "ES256"}, CLAIMS, P256)
    [key] = [each for each in KEYS if each["kid"] == "p256"]
    assert verified(token, [key], EXPECTED)
    with pytest.raises(UnknownKeyError):
        verified(token, KEYS, EXPECTED)


def test_a_token_that_came_of_no_sign_in_needs_no_nonce() -> None:
    later = Expected(ISSUER, CLIENT, NOW)
    assert verified(signed(nonce=None), KEYS, later)


@pytest.mark.parametrize("key", [{"n": 1}, {"n": ""}, {"e": None}, {"n": "AQAB"}])
def test_a_key_that_cannot_be_read(key: dict[str, object]) -> None:
    [rsa] = [each for each in KEYS if each["kid"] == "rsa"]
    with pytest.raises(UnavailableError):
        verified(signed(), [rsa | key], EXPECTED)
