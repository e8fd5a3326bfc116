"""Identity certificates: an identity provider's word that a key is a person's.

PROTOCOL.md section 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.identity.addresses import domain_of, is_same_address, read_domain
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.jose.jwt import Jwt, SigningKey
from browserid_sasl.jose.keys import PublicKey, Spelling, parse_public_key

_WHAT: Final = "the certificate"
_REGISTERED: Final = frozenset({"iss", "iat", "exp", "nbf", "public-key", "principal", "sub"})


@dataclass(frozen=True, slots=True)
class Certificate:
    """A parsed certificate. It proves nothing before its signature was verified.

    :param issuer: domain of the identity provider, in lower case.
    :param issued_at: ms.
    :param expires: ms.
    :param not_before: ms, None when the certificate does not say.
    :param public_key: the person's key.
    :param key_thumbprint: its thumbprint (RFC 7638), of which there is more than one use.
    :param email: the person's address.
    :param attributes: claims beyond the registered ones.
    :param jwt: the token.
    """

    issuer: str
    issued_at: int
    expires: int
    not_before: int | None
    public_key: PublicKey
    key_thumbprint: bytes
    email: str
    attributes: Mapping[str, Any]
    jwt: Jwt

    @classmethod
    def parse(cls, text: str, *, allow_legacy: bool = False) -> Certificate:
        """Read a certificate.

        :param allow_legacy: whether a short key is taken (PROTOCOL.md section 1.1).
        :raises RemoteProtocolError: missing-issuer, invalid-issuer, missing-principal,
            unknown-principal-type, invalid-key, and the errors of `Jwt.parse`.
        """
        token = Jwt.parse(text, _WHAT)
        claims = token.claims
        if "public-key" not in claims:
            raise RemoteProtocolError(Code.INVALID_KEY, f"{_WHAT} has no public key")
        return cls(
            issuer=_issuer(claims),
            issued_at=strict_json.time(claims, "iat", _WHAT),
            expires=strict_json.time(claims, "exp", _WHAT),
            not_before=strict_json.optional_time(claims, "nbf", _WHAT),
            public_key=(key := parse_public_key(claims["public-key"], allow_legacy=allow_legacy)),
            key_thumbprint=key.thumbprint,
            email=_email(claims),
            attributes={name: claims[name] for name in claims if name not in _REGISTERED},
            jwt=token,
        )


def issue(
    issuer: str,
    email: str,
    public_key: PublicKey,
    *,
    issued_at: int,
    expires: int,
    signing_key: SigningKey,
    attributes: Mapping[str, Any] | None = None,
    spelling: Spelling = "2012.08.15",
) -> str:
    """Make a certificate.

    :param issued_at: ms.
    :param expires: ms, at most 24 h after `issued_at` or verifiers refuse it.
    :param attributes: further claims.
    :param spelling: of the person's key.
    :raises LocalProtocolError: invalid-parameter for an attribute with the name of a claim that
        is here already, or could be: none may stand in for the expiry.
    """
    further = dict(attributes or {})
    taken = sorted(_REGISTERED & further.keys())
    if taken:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER, f"an attribute cannot be called {taken[0]!r}"
        )
    claims = {
        "public-key": public_key.to_json(spelling),
        "principal": {"email": email},
        "iat": issued_at,
        "exp": expires,
        "iss": issuer,
    }
    return jwt.sign(claims | further, signing_key)


def _issuer(claims: Mapping[str, Any]) -> str:
    if "iss" not in claims:
        raise RemoteProtocolError(Code.MISSING_ISSUER, f"{_WHAT} does not say who issued it")
    issuer = claims["iss"]
    domain = read_domain(issuer) if isinstance(issuer, str) else None
    if domain is None:
        raise RemoteProtocolError(
            Code.INVALID_ISSUER, f"the issuer of {_WHAT} is not a domain name"
        )
    return domain


def _email(claims: Mapping[str, Any]) -> str:
    """The address in `principal`, or in `sub`, which some write in its place."""
    if "principal" not in claims and "sub" in claims:
        return _address(claims["sub"])
    principal = claims.get("principal")
    if not isinstance(principal, dict):
        raise RemoteProtocolError(Code.MISSING_PRINCIPAL, f"{_WHAT} does not say whom it is for")
    email = _address(principal.get("email"))
    # What one reader takes for the person's name must not be another's than what the next does.
    if "sub" in claims and not is_same_address(_address(claims["sub"]), email):
        raise RemoteProtocolError(
            Code.UNKNOWN_PRINCIPAL_TYPE, f"`principal` and `sub` of {_WHAT} do not agree"
        )
    return email


def _address(value: object) -> str:
    if not isinstance(value, str) or domain_of(value) is None:
        raise RemoteProtocolError(
            Code.UNKNOWN_PRINCIPAL_TYPE, f"{_WHAT} is not for a valid e-mail address"
        )
    return value
