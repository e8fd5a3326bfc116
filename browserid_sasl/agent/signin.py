"""Signing in without a browser: a key made here, certified by the identity provider.

docs/identity-provider.md describes the endpoint that the provider has for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol

from browserid_sasl.agent.credential import MARGIN_MS
from browserid_sasl.discovery import Answer
from browserid_sasl.errors import (
    Code,
    CredentialError,
    DiscoveryError,
    RemoteProtocolError,
)
from browserid_sasl.identity.addresses import domain_of, in_lower_case
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.identity.support import SupportDocument
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.memory import MemoryAuthorityCache

KeyType = Literal["ES256", "RS256"]
"""What a person's key signs with. The C implementation verifies RS256 only, whose first messages
are longer than some programs take (docs/limits.md)."""

_MAX_CERTIFICATE: Final = 16_384
_MAX_SAID: Final = 200
_WHAT: Final = "the identity provider's answer"


class ProviderAccess(Protocol):
    """Reaches identity providers, see `discovery.HttpsFetcher`."""

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """The document that `domain` publishes about `principal_domain`."""

    def post(self, domain: str, path: str, body: bytes) -> Answer:
        """Send a JSON document to a path of the provider of `domain`."""


def sign_in(
    identity: str,
    password: str,
    *,
    http: ProviderAccess,
    store: IdentityStore,
    clock: Callable[[], int],
    key_type: KeyType = "ES256",
) -> IdentityRecord:
    """Make a key, have it certified, and keep both.

    The certificate is looked at as a server will, and what is there of this identity is replaced
    only by one that is good.

    :param identity: the person's e-mail address.
    :param password: secret.
    :param clock: ms since the epoch.
    :returns: what is stored now. Its address is spelled as the provider spells it.
    :raises CredentialError: the provider refuses, has no such endpoint, or gives something else
        than the certificate asked for.
    :raises DiscoveryError: the provider cannot be reached, or its document is not usable.
    :raises StoreError: the key cannot be kept.
    """
    domain = domain_of(identity)
    if domain is None:
        raise CredentialError(
            Code.UNKNOWN_PRINCIPAL_TYPE,
            f"{identity[:_MAX_SAID]!r} is not an e-mail address",
            "write it as you@example.org",
        )
    resolver = AuthorityResolver(http, MemoryAuthorityCache())
    authority, path = _endpoint(resolver, domain, clock())
    key = PrivateKey.generate(key_type)
    request = {"email": identity, "password": password, "public-key": key.public_key.to_json()}
    answer = http.post(authority, path, strict_json.dumps(request))
    text = _granted(answer, authority)
    certificate = _checked(text, key, identity, authority, Verifier(resolver), clock())
    record = IdentityRecord(certificate.email, key.to_pem(), text, certificate.expires)
    store.put(record)
    return record


def _endpoint(resolver: AuthorityResolver, domain: str, now: int) -> tuple[str, str]:
    """The domain that certifies addresses of `domain`, and the path to ask at."""
    try:
        authority = resolver.authority_of(domain, now)
    except RemoteProtocolError as error:
        raise CredentialError(
            Code.INTERACT_UNAVAILABLE,
            f"{domain} has no identity provider that can be signed in to: {error.message}",
        ) from None
    document = resolver.document(authority, domain, now)
    if isinstance(document, SupportDocument) and document.certify is not None:
        return authority, document.certify
    raise CredentialError(
        Code.INTERACT_UNAVAILABLE,
        f"the identity provider {authority} lets people sign in in a browser only",
    )


def _granted(answer: Answer, authority: str) -> str:
    """The certificate in the answer."""
    try:
        members = strict_json.parse_object(answer.body, _WHAT)
        if answer.status == 200:
            return strict_json.string(members, "certificate", _WHAT, max_length=_MAX_CERTIFICATE)
    except RemoteProtocolError as error:
        raise DiscoveryError(error.code, error.message) from None
    raise _refused(answer, members, authority)


def _refused(answer: Answer, members: strict_json.Object, authority: str) -> CredentialError:
    said = members.get("message")
    why = f"status {answer.status}"
    if isinstance(said, str) and said.isprintable():
        why = f"it said: {said[:_MAX_SAID]}"
    if answer.status in (429, 503):
        return CredentialError(
            Code.INTERACT_UNAVAILABLE, f"{authority} lets nobody sign in just now ({why})"
        )
    remedy = "see whether address and password are right" if answer.status == 401 else ""
    return CredentialError(
        Code.INTERACT_FAILURE, f"{authority} refused the sign-in ({why})", remedy
    )


def _checked(
    text: str, key: PrivateKey, identity: str, authority: str, verifier: Verifier, now: int
) -> Certificate:
    try:
        if Certificate.parse(text).public_key != key.public_key:
            raise _not_good(authority, "it is for another key", Code.INVALID_KEY)
        backed = BackedAssertion.parse(f"{text}~{jwt.sign({}, key)}".encode())
        certificate = verifier.certificate_of(backed)
        verifier.verify_signatures(backed, certificate, now)
    except RemoteProtocolError as error:
        raise _not_good(authority, error.message, error.code) from None
    if in_lower_case(certificate.email) != in_lower_case(identity):
        raise _not_good(authority, f"it is for {certificate.email}", Code.BAD_INITIATOR_NAME)
    if certificate.expires <= now + MARGIN_MS:
        raise _not_good(authority, "it expires at once", Code.CRED_EXPIRED)
    return certificate


def _not_good(authority: str, why: str, code: Code) -> CredentialError:
    return CredentialError(
        code,
        f"the certificate that {authority} gave is not good: {why}",
        "compare the clocks of both machines, or tell the provider's administrator",
    )
