"""Which identity providers may vouch for an address, and with which keys.

PROTOCOL.md section 2. The resolver decides; fetching a document is somebody else's work, passed
in as a `Fetcher`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Final, Protocol, TypeVar

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.identity.support import (
    Delegation,
    Disabled,
    Document,
    SupportDocument,
    parse_support_document,
)
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.records import Record
from browserid_sasl.store.base import AuthorityCache, CachedDocument

MAX_DELEGATIONS: Final = 6
MIN_LIFETIME_MS: Final = 5 * 60_000
MAX_LIFETIME_MS: Final = 24 * 3_600_000
RETRY_MS: Final = 30_000
"""For how long a failure to fetch is remembered, and how far apart forced fetches are."""

RECENT_MS: Final = 5_000
"""For how long the last document used is used again without looking into the cache."""

_MAX_REMEMBERED: Final = 1024
_Value = TypeVar("_Value")


class FetchedDocument(Record):
    """A support document as it came.

    :param body: its octets.
    :param lifetime: ms for which its HTTP headers let it be cached, which the resolver bounds;
        None if it is always at hand, and so is never cached.
    """

    body: bytes
    lifetime: int | None


class Fetcher(Protocol):
    """Gets support documents."""

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """The document that `domain` publishes about `principal_domain`.

        :raises DiscoveryError: http-error.
        """


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
    """Trusts an address's own domain, what it delegates to, and configured authorities.

    :param fetcher: gets documents.
    :param cache: keeps them.
    :param secondary: domains trusted for every address. Empty unless configured.
    :param pinned: domains whose documents are always at hand. They are asked of `fetcher` each
        time, past what may be in the cache from before they were.
    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    """

    def __init__(
        self,
        fetcher: Fetcher,
        cache: AuthorityCache,
        *,
        secondary: Collection[str] = (),
        pinned: Collection[str] = (),
        allow_legacy: bool = False,
    ) -> None:
        self._fetcher = fetcher
        self._cache = cache
        self._secondary = frozenset(domain.lower() for domain in secondary)
        self._pinned = frozenset(pinned)
        self._allow_legacy = allow_legacy
        self._attempts = _Attempts()
        self._recent: dict[str, _Recent] = {}

    def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """See `Authority.keys_for`."""
        domain = domain_of(email)
        if domain is None:
            raise RemoteProtocolError(Code.UNKNOWN_PRINCIPAL_TYPE, "not a valid e-mail address")
        if issuer in self._secondary:
            return self._keys_of(issuer, domain, now)
        if issuer == domain:
            return self._keys_of(domain, domain, now)
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
        if domain is not None and self._attempts.claim(issuer, now):
            # What is cached stays until there is something better: an issuer that can not be
            # reached now must not be cut off by the first forged certificate in its name.
            self._fetch(issuer, domain, now)
        return self.keys_for(issuer, email, now)

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
        if domain in self._pinned:
            return self._fetch(domain, principal_domain, now)
        place = _place(domain, principal_domain)
        recent = self._recent.get(place)
        if recent is not None and recent.until > now >= recent.since:
            return recent.document
        cached = self._cache.get(place, now)
        if cached is None:
            self._attempts.refuse_after_failure(place, now)
            return self._fetch(domain, principal_domain, now)
        document = parse_support_document(cached.body, allow_legacy=self._allow_legacy)
        self._recent = {place: _Recent(document, now, min(cached.expires, now + RECENT_MS))}
        return document

    def _fetch(self, domain: str, principal_domain: str, now: int) -> Document:
        place = _place(domain, principal_domain)
        try:
            fetched = self._fetcher.fetch(domain, principal_domain)
            document = parse_support_document(fetched.body, allow_legacy=self._allow_legacy)
        except BrowserIDError as error:
            self._attempts.failed(place, now, error)
            raise
        if fetched.lifetime is not None:
            lifetime = min(max(fetched.lifetime, MIN_LIFETIME_MS), MAX_LIFETIME_MS)
            self._cache.put(place, CachedDocument(fetched.body, now + lifetime))
            self._recent = {}
        return document

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


class _Recent(Record):
    """The last document used: on a busy server it is the one that the next login needs.

    Not for long, because another process may have put a newer one into the cache.
    """

    document: Document
    since: int
    until: int


class _Attempts:
    """When a domain was last asked in vain, or asked again, so that nobody can make us flood it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, BrowserIDError]] = OrderedDict()
        self._forced: OrderedDict[str, int] = OrderedDict()

    def failed(self, domain: str, now: int, error: BrowserIDError) -> None:
        with self._lock:
            self._failures[domain] = (now + RETRY_MS, error)
            _bound(self._failures)

    def refuse_after_failure(self, domain: str, now: int) -> None:
        with self._lock:
            until, error = self._failures.get(domain, (0, None))
        if error is not None and now < until:
            raise DiscoveryError(error.code, error.message, error.remedy)

    def claim(self, domain: str, now: int) -> bool:
        """Whether a forced fetch is due; if so it counts as made."""
        with self._lock:
            if now < self._forced.get(domain, 0):
                return False
            self._forced[domain] = now + RETRY_MS
            _bound(self._forced)
            return True


def _place(domain: str, principal_domain: str) -> str:
    """Where a document is cached.

    A domain may say different things about different principals, and about its own first of all:
    what it says about a stranger that delegates to it must not stand in for that.
    """
    return domain if domain == principal_domain else f"{domain}?domain={principal_domain}"


def _bound(remembered: OrderedDict[str, _Value]) -> None:
    if len(remembered) > _MAX_REMEMBERED:
        remembered.popitem(last=False)


def _broken(domain: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.UNTRUSTED_ISSUER, f"the delegation from {domain} leads nowhere: {why}"
    )
