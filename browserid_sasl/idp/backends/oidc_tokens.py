"""What another provider signs about somebody: an ID token (OpenID Connect Core 1.0 section 2).

What it is signed with is said by the provider's key, and never by the token alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.jose import b64

Claims = Mapping[str, Any]

_ALGORITHMS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
}
"""By a key's type and curve. All of them are signatures: a secret of ours verifies nothing."""

_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384}
_LEAST_RSA: Final = 2048
_SKEW_S: Final = 60
_MOST_AGE_S: Final = 600
"""Of a token that has come just now."""

_MAX_SUBJECT: Final = 255
_LAST_S: Final = 253_402_300_800
"""The year 10000."""


class UnknownKeyError(UnavailableError):
    """A token is signed with a key that is not among the provider's, as far as they are known."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to say.

    :param issuer: who it is from.
    :param client_id: whom it is for.
    :param now: s.
    :param nonce: that of the sign-in; empty for a token that came of another one.
    :param access_token: what came with it, empty for nothing.
    """

    issuer: str
    client_id: str
    now: float
    nonce: str = ""
    access_token: str = ""


def verified(token: str, keys: Sequence[Claims], expected: Expected) -> Claims:
    """The claims of an ID token (OpenID Connect Core 1.0 sections 3.1.3.7 and 12.2).

    :param keys: the provider's, as its document has them.
    :raises UnknownKeyError: it is signed with another one.
    :raises UnavailableError: it is not what the provider should have given.
    """
    header = _header(token)
    key, algorithms = _key_for(header, keys)
    if header.get("alg") not in algorithms:
        raise _wrong("its algorithm is not that of its key")
    try:
        claims = jwt.decode(token, key, algorithms=list(algorithms)).claims
    except (JoseError, ValueError):
        raise _wrong("its signature is not right") from None
    _check(claims, expected)
    _check_hash(claims, str(header["alg"]), expected.access_token)
    return claims


def _header(token: str) -> Claims:
    try:
        header = json.loads(b64.decode(token.partition(".")[0], "a header"))
    except (BrowserIDError, ValueError, RecursionError):
        raise _wrong("it cannot be read") from None
    if not isinstance(header, dict):
        raise _wrong("its header is no object")
    return header


def _key_for(header: Claims, keys: Sequence[Claims]) -> tuple[jwk.Key, tuple[str, ...]]:
    wanted = header.get("kid")
    fit = [each for each in keys if _algorithms_of(each) and wanted in (None, each.get("kid"))]
    if len(fit) != 1:
        raise UnknownKeyError(f"an ID token is signed with one of {len(fit)} keys")
    [data] = fit
    try:
        key = jwk.import_key({name: data[name] for name in _PUBLIC if name in data})
        if isinstance(key, jwk.RSAKey) and key.raw_value.key_size < _LEAST_RSA:
            raise _wrong("its key is too short")
    except (JoseError, ValueError, TypeError):
        raise _wrong("its key cannot be read") from None
    return key, _algorithms_of(data)


_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")


def _algorithms_of(key: Claims) -> tuple[str, ...]:
    """What a key signs with; nothing if it is none for that."""
    if key.get("use", "sig") != "sig":
        return ()
    found = _ALGORITHMS.get((str(key.get("kty")), str(key.get("crv", ""))), ())
    return tuple(each for each in found if key.get("alg", each) == each)


def _check(claims: Claims, expected: Expected) -> None:
    # Who it is from and whom it is for come first: the rest of somebody else's says nothing.
    if claims.get("iss") != expected.issuer:
        raise _wrong("it is from another issuer")
    audience = claims.get("aud")
    if audience not in (expected.client_id, [expected.client_id]):
        _check_audiences(audience, claims.get("azp"), expected.client_id)
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise _wrong("it is for another program")
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires <= expected.now - _SKEW_S:
        raise _wrong("it has expired")
    if not expected.now - _MOST_AGE_S < issued <= expected.now + _SKEW_S:
        raise _wrong("it was not issued just now")
    if "auth_time" in claims and _time(claims, "auth_time") > expected.now + _SKEW_S:
        raise _wrong("it is of a sign-in that is yet to come")
    nonce = claims.get("nonce")
    if expected.nonce and not _equal(nonce, expected.nonce):
        raise _wrong("it is not of this sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise _wrong("it does not say about whom it is")


def _check_audiences(audience: object, party: object, client_id: str) -> None:
    if not isinstance(audience, list) or client_id not in audience:
        raise _wrong("it is for another program")
    if party != client_id:
        raise _wrong("it is for several programs, and was not given to this one")


def _check_hash(claims: Claims, algorithm: str, access_token: str) -> None:
    """See that the access token is the one that the ID token came with (section 3.1.3.6)."""
    if "at_hash" not in claims or not access_token:
        return
    digest = _HASHES[algorithm[-3:]](access_token.encode()).digest()
    if not _equal(claims["at_hash"], b64.encode(digest[: len(digest) // 2])):
        raise _wrong("another access token came with it")


def _equal(said: object, wanted: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode(), wanted.encode())


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"its {name} is no time")
    # Python reads NaN and Infinity in JSON, too; no comparison with the former refuses anything.
    if not 0 <= value < _LAST_S:
        raise _wrong(f"its {name} is at no time")
    return value


def _wrong(why: str) -> UnavailableError:
    return UnavailableError(f"the ID token is refused: {why}")
