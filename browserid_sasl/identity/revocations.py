"""Keys of people that their identity provider has revoked (PROTOCOL.md section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.addresses import read_domain
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PublicKey

MAX_REVOKED: Final = 100_000
"""Entries of a list at the most."""

MAX_LIST: Final = 8 << 20
"""Octets of a list at the most: what that many entries take, and some more."""

MAX_LIST_LIFE_MS: Final = 24 * 3_600_000
"""For how long a list may say that it is good. A few minutes are usual."""

MAX_TICKET_LIFE_MS: Final = 7 * 24 * 3_600_000
"""For how long after a certificate's end a key stays on the list: a service that looks keeps no
ticket for longer."""

_THUMBPRINT: Final = 43
"""Characters of SHA-256 in base64url."""

_WHAT: Final = "the revocation list"
_REMEDY: Final = "tell the identity provider's administrator"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A provider's word on which keys of its people are not to be trusted any more.

    :param issued_at: ms.
    :param expires: ms.
    :param thumbprints: RFC 7638, in base64url.
    """

    issued_at: int
    expires: int
    thumbprints: frozenset[str] = field(repr=False)


def parse_revocation_list(
    body: bytes, issuer: str, keys: Iterable[PublicKey], now: int, skew: int
) -> RevocationList:
    """Read a list that was fetched from a provider.

    :param issuer: the provider's domain, in lower case.
    :param keys: those it publishes: one of them has to have signed.
    :param now: ms.
    :param skew: ms by which clocks may differ.
    :raises DiscoveryError: with the code of what is wrong with it.
    """
    try:
        token = Jwt.parse(body.decode("ascii"), _WHAT, max_length=MAX_LIST)
        # Before anything in it is looked at: the rest is the provider's word only then.
        _check_signature(token, keys)
        _check_issuer(token.claims, issuer)
        found = RevocationList(
            strict_json.time(token.claims, "iat", _WHAT),
            strict_json.time(token.claims, "exp", _WHAT),
            _thumbprints(token.claims.get("revoked")),
        )
    except UnicodeDecodeError:
        raise _unusable(Code.INVALID_JSON_WEB_TOKEN, "it is not a JSON web token") from None
    except DiscoveryError:
        raise
    except BrowserIDError as error:
        raise DiscoveryError(error.code, error.message, _REMEDY) from None
    _check_times(found, now, skew)
    return found


def _check_signature(token: Jwt, keys: Iterable[PublicKey]) -> None:
    problem = RemoteProtocolError(Code.NO_KEY, f"there is no key to verify {_WHAT} with")
    for key in keys:
        try:
            token.verify(key, _WHAT)
        except RemoteProtocolError as error:
            problem = error
        else:
            return
    raise problem


def _check_issuer(claims: strict_json.Object, issuer: str) -> None:
    said = strict_json.string(claims, "iss", _WHAT)
    if read_domain(said) != issuer:
        raise _unusable(Code.INVALID_ISSUER, f"it is that of {said[:253]!a}, not of {issuer}")


def _check_times(found: RevocationList, now: int, skew: int) -> None:
    if found.expires <= now - skew:
        raise _unusable(Code.EXPIRED_CERT, "it has expired")
    if found.issued_at > now + skew:
        raise _unusable(Code.CERT_NOT_YET_VALID, "it was made in the future")
    if not found.issued_at < found.expires <= found.issued_at + MAX_LIST_LIFE_MS:
        raise _unusable(Code.INVALID_JSON, "its `exp` is not within 24 hours after its `iat`")


def _thumbprints(value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_REVOKED:
        raise _unusable(
            Code.INVALID_JSON, f"its `revoked` is not a list of at most {MAX_REVOKED} thumbprints"
        )
    if not all(isinstance(each, str) and len(each) == _THUMBPRINT for each in value):
        raise _unusable(Code.INVALID_JSON, "its `revoked` has something that is no thumbprint")
    return frozenset(value)


def _unusable(code: Code, why: str) -> DiscoveryError:
    return DiscoveryError(code, f"{_WHAT} is not usable: {why}", _REMEDY)
