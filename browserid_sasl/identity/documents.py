"""Identity providers' documents: from the cache, or fetched once however many ask.

Fetching is somebody else's work, passed in as a `Fetcher`. What keeps strangers from making
others wait, or from making us flood a provider, is here: documents are cached, failures are
remembered, and what one thread is at no second one begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from browserid_sasl.errors import BrowserIDError, Code, NoProviderError
from browserid_sasl.identity.attempts import Attempts
from browserid_sasl.identity.flights import Flights
from browserid_sasl.identity.ports import AuthorityCache, CachedDocument
from browserid_sasl.identity.support import Document, parse_support_document

MIN_LIFETIME_MS: Final = 5 * 60_000
MAX_LIFETIME_MS: Final = 24 * 3_600_000

RECENT_MS: Final = 5_000
"""For how long the last document used is used again without looking into the cache."""


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """A support document as it came.

    :param body: its octets.
    :param lifetime: ms for which its HTTP headers let it be cached, which is bounded here; None
        if it is always at hand, and so is never cached.
    """

    body: bytes
    lifetime: int | None


class Fetcher(Protocol):
    """Gets support documents. Safe for threads."""

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """The document that `domain` publishes about `principal_domain`.

        :raises DiscoveryError: http-error; unavailable when there is too much under way to ask,
            which says nothing about the domain and is not remembered.
        """


@dataclass(frozen=True, slots=True)
class _Recent:
    """The last document used: on a busy server it is the one that the next login needs.

    Not for long, because another process may have put a newer one into the cache; and not when this
    one has, be it between the look into the cache and this note of what was there.

    :param fetches: how many had ended before that look.
    """

    document: Document
    since: int
    until: int
    fetches: int


class Documents:
    """Support documents by domain, and the domain of the person they are asked for.

    Safe for threads.

    :param fetcher: gets them.
    :param cache: keeps them.
    :param pinned: domains whose documents are always at hand. They are asked of `fetcher` each
        time, past everything that is here.
    :param allow_legacy: whether short keys are taken (PROTOCOL.md section 1.1).
    :param wait: s for which to wait for a document that another thread is fetching.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        cache: AuthorityCache,
        *,
        pinned: Collection[str],
        allow_legacy: bool,
        wait: float,
    ) -> None:
        self._fetcher = fetcher
        self._cache = cache
        self._pinned = frozenset(pinned)
        self._allow_legacy = allow_legacy
        self._attempts = Attempts()
        self._flights: Flights[Document] = Flights(wait)
        self._recent: dict[str, _Recent] = {}
        self._count = itertools.count(1)
        self._fetches = 0

    def get(self, domain: str, principal_domain: str, now: int) -> Document:
        """The document that `domain` publishes about `principal_domain`.

        :param now: ms.
        :raises DiscoveryError: http-error or unavailable, or what is wrong with the document.
        """
        if domain in self._pinned:
            return self._parse(self._fetcher.fetch(domain, principal_domain).body)
        place = _place(domain, principal_domain)
        return self._kept(place, now) or self._asked_for(domain, principal_domain, now)

    def find(self, domain: str, now: int) -> Document | None:
        """The document that a domain publishes about itself, None if it certainly has none.

        That it has none is known for longer than a failure is: somebody else certifies its people
        then, and it would be asked at each of their logins.

        :param now: ms.
        :raises DiscoveryError: it cannot be said, or what is wrong with the document.
        """
        if domain not in self._pinned:
            kept = self._kept(domain, now)
            if kept is not None:
                return kept
            if self._attempts.knows_of_none(domain, now):
                return None
        try:
            return self.get(domain, domain, now)
        except NoProviderError:
            return None

    def refresh(self, domain: str, principal_domain: str, now: int) -> None:
        """Fetch a document again, unless that was done just now: it may have changed.

        What is cached stays until there is something better. A provider that cannot be reached
        now must not be cut off by the first forged certificate in its name.

        :param now: ms.
        :raises DiscoveryError: as `get` does.
        """
        if domain in self._pinned:
            return
        # What is claimed is what is fetched. By the provider alone, anybody who delegates a
        # domain of theirs to it could use up the claim, and keep keys that were withdrawn.
        place = _place(domain, principal_domain)
        self._flights.join_or_start_if(
            lambda: self._attempts.claim(place, principal_domain, now),
            place,
            lambda: self._fetch(domain, principal_domain, now),
        )

    def _kept(self, place: str, now: int) -> Document | None:
        recent = self._recent.get(place)
        fetches = self._fetches
        if recent is not None and recent.fetches == fetches and recent.until > now >= recent.since:
            return recent.document
        cached = self._cache.get(place, now)
        if cached is None:
            return None
        document = self._parse(cached.body)
        until = min(cached.expires, now + RECENT_MS)
        self._recent = {place: _Recent(document, now, until, fetches)}
        return document

    def _asked_for(self, domain: str, principal_domain: str, now: int) -> Document:
        place = _place(domain, principal_domain)

        def ask() -> Document:
            # Another thread may have landed since this one looked.
            kept = self._kept(place, now)
            if kept is not None:
                return kept
            self._attempts.refuse_after_failure(place, now)
            return self._fetch(domain, principal_domain, now)

        self._attempts.refuse_after_failure(place, now)
        return self._flights.join(place, ask)

    def _fetch(self, domain: str, principal_domain: str, now: int) -> Document:
        place = _place(domain, principal_domain)
        try:
            fetched = self._fetcher.fetch(domain, principal_domain)
            document = self._parse(fetched.body)
        except BrowserIDError as error:
            if error.code is Code.UNAVAILABLE:
                self._attempts.give_back(place)
            else:
                self._attempts.failed(place, principal_domain, now, error)
            raise
        except BaseException:
            # A fetcher that breaks off has learned nothing, and may be asked again at once.
            self._attempts.give_back(place)
            raise
        self._attempts.arrived(place)
        if fetched.lifetime is not None:
            lifetime = min(max(fetched.lifetime, MIN_LIFETIME_MS), MAX_LIFETIME_MS)
            self._cache.put(place, CachedDocument(fetched.body, now + lifetime))
            self._fetches = next(self._count)
        return document

    def _parse(self, body: bytes) -> Document:
        return parse_support_document(body, allow_legacy=self._allow_legacy)


def _place(domain: str, principal_domain: str) -> str:
    """Where a document is cached.

    A domain may say different things about different principals, and about its own first of all:
    what it says about a stranger that delegates to it must not stand in for that.
    """
    return domain if domain == principal_domain else f"{domain}?domain={principal_domain}"
