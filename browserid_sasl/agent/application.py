"""Asking an identity provider for a certificate, whatever the way to prove who one is.

PROTOCOL.md section 8. The key is made here; the provider sees its public half. What it gives is
looked at as a server will look at it, before it counts. How people prove who they are is in
`agent.flows`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from browserid_sasl.agent.credential import MARGIN_MS
from browserid_sasl.config.syntax import MAX_MACHINE
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
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.identity.support import SupportDocument
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store.memory import MemoryAuthorityCache

KeyType = Literal["ES256", "RS256"]
"""What a person's key signs with. The C implementation verifies RS256 only, whose first messages
are longer than some programs take (docs/limits.md)."""

_MAX_CERTIFICATE: Final = 16_384
_MAX_RENEWAL: Final = 1_024
_MAX_LIFE_S: Final = 10 * 366 * 86_400
_MAX_SAID: Final = 200
_WHAT: Final = "the identity provider's answer"

Clock = Callable[[], int]
"""The time in ms since the epoch."""


class ProviderAccess(Protocol):
    """Reaches identity providers, see `discovery.HttpsFetcher`."""

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """The document that `domain` publishes about `principal_domain`."""

    def post(self, domain: str, path: str, body: bytes) -> Answer:
        """Send a JSON document to a path of the provider of `domain`."""

    def address(self, domain: str, path: str) -> str:
        """The URL of a path of the provider of `domain`, for a browser."""


class RefusedError(CredentialError):
    """A provider's refusal.

    :param word: what it calls the reason, empty if it does not say.
    :param status: of its answer.
    """

    def __init__(self, code: Code, message: str, remedy: str, word: str, status: int) -> None:
        super().__init__(code, message, remedy)
        self.word = word
        self.status = status


@dataclass(frozen=True, slots=True)
class Provider:
    """Who certifies the addresses of a domain.

    :param domain: the provider's own.
    :param certify: path of the endpoint that gives certificates.
    :param document: what it publishes.
    :param resolver: finds its keys.
    :param http: reaches it.
    """

    domain: str
    certify: str
    document: SupportDocument
    resolver: AuthorityResolver = field(repr=False)
    http: ProviderAccess = field(repr=False)

    @classmethod
    def of(cls, identity: str, http: ProviderAccess, now: int, fallback: str = "") -> Provider:
        """Find the provider of an address.

        :param now: ms.
        :param fallback: domain of the provider that stands in where a domain has none; empty for
            none.
        :raises CredentialError: it is no address, or there is no provider that certifies it.
        :raises DiscoveryError: it cannot be reached, or its document is not usable.
        """
        domain = domain_of(identity)
        if domain is None:
            raise CredentialError(
                Code.UNKNOWN_PRINCIPAL_TYPE,
                f"{identity[:_MAX_SAID]!r} is not an e-mail address",
                "write it as you@example.org",
            )
        secondary = (fallback,) if fallback else ()
        resolver = AuthorityResolver(http, MemoryAuthorityCache(), secondary=secondary)
        try:
            own = resolver.provider_of(domain, now) if fallback else None
            authority = own or fallback or resolver.authority_of(domain, now)
        except RemoteProtocolError as error:
            raise CredentialError(
                Code.INTERACT_UNAVAILABLE,
                f"{domain} has no identity provider that can be signed in to: {error.message}",
            ) from None
        document = resolver.document(authority, domain, now)
        if isinstance(document, SupportDocument) and document.certify is not None:
            return cls(authority, document.certify, document, resolver, http)
        raise CredentialError(
            Code.INTERACT_UNAVAILABLE,
            f"the identity provider {authority} certifies keys in its own pages only, and not"
            " for programs",
        )

    def ask(self, path: str, request: Mapping[str, object]) -> strict_json.Object:
        """Send something, and read what is granted.

        :raises RefusedError: it is not.
        :raises DiscoveryError: the provider cannot be reached, or its answer makes no sense.
        """
        answer = self.http.post(self.domain, path, strict_json.dumps(dict(request)))
        try:
            members = strict_json.parse_object(answer.body, _WHAT)
        except RemoteProtocolError as error:
            raise DiscoveryError(error.code, error.message) from None
        if answer.status == 200:
            return members
        raise _refused(answer.status, members, self.domain)


@dataclass(frozen=True, slots=True)
class Application:
    """A key that is to be certified.

    :param identity: the address to certify it for.
    :param key: made for this, or the one that is certified already.
    :param provider: who is asked.
    :param clock: tells the time.
    :param machine: the name of this machine, for the person to know it by.
    """

    identity: str
    key: PrivateKey
    provider: Provider
    clock: Clock
    machine: str = ""

    @classmethod
    def make(
        cls,
        identity: str,
        http: ProviderAccess,
        clock: Clock,
        key_type: KeyType = "ES256",
        machine: str = "",
        fallback: str = "",
    ) -> Application:
        """Make a key, and find who certifies it.

        :param fallback: see `Provider.of`.
        :raises CredentialError: there is no provider.
        :raises DiscoveryError: it cannot be reached, or its document is not usable.
        """
        provider = Provider.of(identity, http, clock(), fallback)
        return cls(identity, PrivateKey.generate(key_type), provider, clock, machine)

    def certified(self, request: Mapping[str, object]) -> IdentityRecord:
        """Ask for the certificate; what is to be kept.

        :param request: what `certify` is sent.
        :raises CredentialError: the provider refuses, or gives something else.
        :raises DiscoveryError: it cannot be reached, or its answer makes no sense.
        """
        return self.record(self.provider.ask(self.provider.certify, request))

    def record(self, granted: strict_json.Object) -> IdentityRecord:
        """What is to be kept of an answer that grants a certificate.

        The address is spelled as the provider spells it.

        :raises CredentialError: the certificate is not the one that was asked for.
        :raises DiscoveryError: the answer makes no sense.
        """
        now = self.clock()
        try:
            text = strict_json.string(granted, "certificate", _WHAT, max_length=_MAX_CERTIFICATE)
            renewal, renewal_expires = _renewal(granted, now)
        except RemoteProtocolError as error:
            raise DiscoveryError(error.code, error.message) from None
        certificate = self._checked(text, now)
        return IdentityRecord(
            certificate.email,
            self.key.to_pem(),
            text,
            certificate.expires,
            renewal,
            renewal_expires,
        )

    @property
    def public_key(self) -> str:
        """The public key as it stands in a link: base64url of its JWK."""
        return b64.encode(strict_json.dumps(self.key.public_key.to_json("jwk")))

    def _checked(self, text: str, now: int) -> Certificate:
        verifier = Verifier(self.provider.resolver)
        try:
            if Certificate.parse(text).public_key != self.key.public_key:
                raise self._not_good("it is for another key", Code.INVALID_KEY)
            backed = BackedAssertion.parse(f"{text}~{jwt.sign({}, self.key)}".encode())
            certificate = verifier.certificate_of(backed)
            verifier.verify_signatures(backed, certificate, now)
        except RemoteProtocolError as error:
            raise self._not_good(error.message, error.code) from None
        if in_lower_case(certificate.email) != in_lower_case(self.identity):
            raise CredentialError(
                Code.BAD_INITIATOR_NAME,
                f"the certificate that {self.provider.domain} gave is not good: it is for"
                f" {certificate.email}, and {self.identity} was asked for",
                f"sign in to {self.provider.domain} as {self.identity}: in the browser, sign out"
                " first",
            )
        if certificate.expires <= now + MARGIN_MS:
            raise self._not_good("it expires at once", Code.CRED_EXPIRED)
        return certificate

    def _not_good(self, why: str, code: Code) -> CredentialError:
        return CredentialError(
            code,
            f"the certificate that {self.provider.domain} gave is not good: {why}",
            "compare the clocks of both machines, or tell the provider's administrator",
        )


def machine_name(configured: str) -> str:
    """The name of this machine for a person to know it by; empty if it has none to show.

    :param configured: the one that the configuration has, empty without.
    """
    name = configured or socket.gethostname()
    return name[:MAX_MACHINE] if name.isprintable() else ""


def shown(value: Any) -> str:
    """What somebody else says, as far as it is fit to print; empty if it is not."""
    return value[:_MAX_SAID] if isinstance(value, str) and value.isprintable() else ""


def _renewal(granted: strict_json.Object, now: int) -> tuple[str, int]:
    """The renewal's secret and its end in ms; empty and 0 if there is none."""
    if granted.get("renewal") is None:
        return "", 0
    renewal = strict_json.string(granted, "renewal", _WHAT, max_length=_MAX_RENEWAL)
    return renewal, now + renewal_life(granted)


def renewal_life(granted: strict_json.Object) -> int:
    """For how long (ms) a renewal is good, by the answer that gave it.

    :raises RemoteProtocolError: it does not say.
    """
    seconds = granted.get("renewal_expires_in")
    if type(seconds) is not int or not 0 <= seconds <= _MAX_LIFE_S:
        raise RemoteProtocolError(
            Code.INVALID_JSON, f"{_WHAT} is not usable: its `renewal_expires_in` is no time in s"
        )
    return seconds * 1000


def _refused(status: int, members: strict_json.Object, authority: str) -> RefusedError:
    said, word = shown(members.get("message")), shown(members.get("error"))
    why = f"it said: {said}" if said else f"status {status}"
    if status in (429, 503):
        code, message = Code.INTERACT_UNAVAILABLE, "lets nobody sign in just now"
    else:
        code, message = Code.INTERACT_FAILURE, "refused the sign-in"
    remedy = "see whether address and password are right" if status == 401 else ""
    return RefusedError(code, f"{authority} {message} ({why})", remedy, word, status)
