"""Which identity providers may vouch for an address, and with which keys.

PROTOCOL.md section 2. The resolver decides; the documents it decides by come from `documents`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from browserid_sasl.errors import Code, DiscoveryError, NoProviderError, RemoteProtocolError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.identity.attempts import NONE_MS, RETRY_MS
from browserid_sasl.identity.documents import (
    MAX_LIFETIME_MS,
    MIN_LIFETIME_MS,
    RECENT_MS,
    Documents,
    FetchedDocument,
    Fetcher,
)
from browserid_sasl.identity.ports import AuthorityCache
from browserid_sasl.identity.support import Delegation, Disabled, Document, SupportDocument
from browserid_sasl.jose.keys import PublicKey

MAX_DELEGATIONS: Final = 6
WAIT_S: Final = 10.0
"""For how long a login waits for a document that another one is fetching, unless told otherwise."""

__all__ = [
    "MAX_DELEGATIONS",
    "MAX_LIFETIME_MS",
    "MIN_LIFETIME_MS",
    "NONE_MS",
    "RECENT_MS",
    "RETRY_MS",
    "WAIT_S",
    "Authority",
    "AuthorityResolver",
    "FetchedDocument",
    "Fetcher",
]


class Authority(Protocol):
    """Says which keys may sign for an address."""

    def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """The keys with which `issuer` certifies `email`.

        :param now: ms.
        :raises RemoteProtocolError: untrusted-issuer.
        :raises DiscoveryError: http-error, or what is wrong with a document.
        """

    def refreshed_keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """Like `keys_for`, asking again if that was not done just now: keys may have changed."""


class AuthorityResolver:
    """Trusts an address's own domain and what it delegates to; else configured authorities.

    :param fetcher: gets documents.
    :param cache: keeps them.
    :param secondary: domains trusted for addresses of domains without a provider. Empty unless
        configured.
    :param pinned: domains whose documents are always at hand. They are asked of `fetcher` each
        time, past what may be in the cache from before they were.
    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    :param wait: s for which a login waits for a document that another one is fetching; as long as
        `fetcher` may take.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        cache: AuthorityCache,
        *,
        secondary: Collection[str] = (),
        pinned: Collection[str] = (),
        allow_legacy: bool = False,
        wait: float = WAIT_S,
    ) -> None:
        self._secondary = frozenset(domain.lower() for domain in secondary)
        self._documents = Documents(
            fetcher, cache, pinned=pinned, allow_legacy=allow_legacy, wait=wait
        )

    def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """See `Authority.keys_for`."""
        domain = domain_of(email)
        if domain is None:
            raise RemoteProtocolError(Code.UNKNOWN_PRINCIPAL_TYPE, "not a valid e-mail address")
        if issuer == domain:
            return self._keys_of(domain, domain, now)
        # The domain first, whoever is trusted besides: nobody stands in for one that speaks for
        # itself, from the moment that it does.
        if issuer in self._secondary:
            self._check_stands_in(issuer, domain, now)
            return self._keys_of(issuer, domain, now)
        end = self.authority_of(domain, now)
        if end != issuer:
            raise RemoteProtocolError(
                Code.UNTRUSTED_ISSUER,
                f"{issuer} may not certify addresses of {domain}",
                f"{domain} has to delegate to it, or this service has to list it in "
                "`secondary_authorities`",
            )
        return self._keys_of(issuer, domain, now)

    def refreshed_keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """See `Authority.refreshed_keys_for`."""
        domain = domain_of(email)
        if domain is not None:
            self._documents.refresh(issuer, domain, now)
        return self.keys_for(issuer, email, now)

    def provider_of(self, domain: str, now: int) -> str | None:
        """Like `authority_of`, None if the domain certainly has no provider, and names none.

        :raises RemoteProtocolError: untrusted-issuer: it names one, and that leads nowhere.
        :raises DiscoveryError: it cannot be said at the moment, or what is wrong with a document.
        """
        document = self._documents.find(domain, now)
        if document is None or isinstance(document, Disabled):
            return None
        try:
            return self.authority_of(domain, now)
        except NoProviderError as error:
            # Of one that is named. The domain is not without a provider for that.
            raise DiscoveryError(error.code, error.message, error.remedy) from None

    def _check_stands_in(self, issuer: str, domain: str, now: int) -> None:
        """See that a configured authority may certify addresses of another domain."""
        try:
            own = self.provider_of(domain, now)
        except DiscoveryError as error:
            raise DiscoveryError(
                error.code,
                f"whether {domain} has an identity provider of its own, so that {issuer} may not"
                f" certify its addresses, cannot be said: {error.message}",
                error.remedy,
            ) from None
        if own not in (None, issuer):
            raise RemoteProtocolError(
                Code.UNTRUSTED_ISSUER,
                f"{issuer} may not certify addresses of {domain}: they have the identity provider"
                f" {own}",
                "sign in to that one, with `browserid login`",
            )

    def authority_of(self, domain: str, now: int) -> str:
        """The domain at which the delegations from `domain` end, whose provider certifies for it.

        :param now: ms.
        :raises RemoteProtocolError: untrusted-issuer when they end nowhere.
        :raises DiscoveryError: http-error, or what is wrong with a document.
        """
        seen = [domain]
        while True:
            document = self.document(seen[-1], domain, now)
            if isinstance(document, SupportDocument):
                return seen[-1]
            if isinstance(document, Disabled):
                raise _broken(domain, f"{seen[-1]} has no identity provider")
            if document.authority in seen:
                raise _broken(domain, "it goes round in a circle")
            if len(seen) > MAX_DELEGATIONS:
                raise _broken(domain, f"it takes more than {MAX_DELEGATIONS} steps")
            seen.append(document.authority)

    def document(self, domain: str, principal_domain: str, now: int) -> Document:
        """The document of a domain, from the cache or fetched.

        :param now: ms.
        :raises DiscoveryError: http-error, or what is wrong with the document.
        """
        return self._documents.get(domain, principal_domain, now)

    def _keys_of(self, domain: str, principal_domain: str, now: int) -> tuple[PublicKey, ...]:
        document = self.document(domain, principal_domain, now)
        if isinstance(document, SupportDocument):
            return document.keys
        raise RemoteProtocolError(
            Code.UNTRUSTED_ISSUER,
            f"{domain} runs no identity provider of its own",
            f"its support document delegates to {document.authority}"
            if isinstance(document, Delegation)
            else "its support document says `disabled`",
        )


def _broken(domain: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNTRUSTED_ISSUER, f"the delegation from {domain} leads nowhere: {why}"
    )
