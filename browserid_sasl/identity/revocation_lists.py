"""Providers' lists of revoked keys: each fetched once a minute at the most, however many ask.

A list is believed for as long as it says, counted from when it was asked for. What was on it stays
revoked for as long as nothing newer has come, whatever becomes of the provider.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError
from browserid_sasl.forks import PerProcess
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.identity.fairness import surplus
from browserid_sasl.identity.flights import Flights
from browserid_sasl.identity.ports import AuthorityCache, CachedDocument
from browserid_sasl.identity.revocations import RevocationList, parse_revocation_list
from browserid_sasl.identity.support import Document, SupportDocument
from browserid_sasl.jose.keys import PublicKey

INTERVAL_MS: Final = 60_000
"""How far apart two fetches of a provider's list are at the least, and what a revocation takes."""

MAX_PROVIDERS: Final = 1024
MAX_KEPT: Final = 1_000_000
"""Thumbprints of all lists that are kept."""

_MAX_SHARED: Final = 1 << 20
"""Octets of a list that is kept for other processes. They fetch larger ones themselves."""

_MOST_TOLD: Final = 16
"""Providers of which it is told within an interval that their lists are missing."""

_KEYS_CHANGED: Final = (Code.INVALID_SIGNATURE, Code.UNKNOWN_ALGORITHM)


class _NoListError(DiscoveryError):
    """A provider has no list."""


class ListFetcher(Protocol):
    """Gets lists of revoked keys. Safe for threads."""

    def fetch_list(self, domain: str, principal_domain: str, path: str) -> bytes:
        """The list of the provider of `domain`, as it came.

        :param principal_domain: domain of the people for whom it is asked.
        :param path: on the provider's server.
        :raises DiscoveryError: http-error, unavailable.
        """


class Providers(Protocol):
    """What providers publish; `AuthorityResolver` knows."""

    def document(self, domain: str, principal_domain: str, now: int) -> Document:
        """The document of a domain, see `AuthorityResolver.document`."""

    def refreshed_keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
        """The keys of a provider, asked for again, see `Authority.refreshed_keys_for`."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of a provider's list.

    :param path: where it is.
    :param asked: ms at which it was last asked for.
    :param found: the last one that was good, None if there was none yet.
    :param good_until: ms until which that may be believed.
    :param problem: why the last one asked for is not good, None if it is.
    """

    path: str
    asked: int
    found: RevocationList | None = field(default=None, repr=False)
    good_until: int = 0
    problem: BrowserIDError | None = None


@dataclass(frozen=True, slots=True)
class _Body:
    """A list on its way: when it was asked for (ms), and its octets once they are there."""

    began: int
    octets: bytes | None = field(default=None, repr=False)


class _Memory:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[str, _Kept] = {}
        self.arriving: dict[str, _Body] = {}
        self.told: dict[str, int] = {}

    def keep(self, issuer: str, kept: _Kept) -> None:
        with self.lock:
            self.kept.pop(issuer, None)
            self.kept[issuer] = kept
            for each in surplus([(name, name) for name in self.kept], MAX_PROVIDERS):
                del self.kept[each]
            while sum(map(_size, self.kept.values())) > MAX_KEPT:
                # Whoever has a list that long makes no room at the expense of others.
                del self.kept[max(self.kept, key=lambda name: _size(self.kept[name]))]

    def may_tell(self, issuer: str, now: int) -> bool:
        """Whether it was not told already that a list is missing; from now on it was."""
        with self.lock:
            recent = {each: at for each, at in self.told.items() if 0 <= now - at < INTERVAL_MS}
            told = issuer in recent or len(recent) >= _MOST_TOLD
            self.told = recent if told else recent | {issuer: now}
            return not told


def _size(kept: _Kept) -> int:
    return len(kept.found.thumbprints) if kept.found else 0


class RevocationLists:
    """The keys that their providers have revoked. Safe for threads.

    :param providers: what they publish, and with which keys they sign.
    :param fetcher: gets their lists.
    :param cache: keeps them for the other processes that have it, so that one of these fetches.
    :param required: whether to fail where a list cannot be had; else nothing more is revoked then
        than is known.
    :param skew: ms by which clocks may differ.
    :param wait: s for which to wait for a list that another thread is fetching.
    :param tell: told in a sentence when one that cannot be had is not required, once for a provider
        and interval. That a provider has none at all is not told.
    """

    def __init__(
        self,
        providers: Providers,
        fetcher: ListFetcher,
        cache: AuthorityCache,
        *,
        required: bool,
        skew: int,
        wait: float,
        tell: Callable[[str], object],
    ) -> None:
        self._tell = tell
        self._providers = providers
        self._fetcher = fetcher
        self._cache = cache
        self._required = required
        self._skew = skew
        self._flights: Flights[_Kept] = Flights(wait)
        self._memory = PerProcess(_Memory)

    def has(self, issuer: str, email: str, thumbprint: str, now: int) -> bool:
        """Whether a key was revoked.

        :param issuer: who has certified it.
        :param email: whose it is.
        :param thumbprint: of the key (RFC 7638), in base64url.
        :param now: ms.
        :raises DiscoveryError: unavailable: there is no list that could be believed, and it is
            required.
        """
        kept, problem = self._look(issuer, email, now)
        if kept is not None and kept.found is not None and thumbprint in kept.found.thumbprints:
            return True
        if kept is None or kept.found is None or kept.good_until <= now:
            self._go_without(issuer, problem, now)
        return False

    def _go_without(self, issuer: str, problem: BrowserIDError | None, now: int) -> None:
        if self._required:
            raise _unavailable(issuer, problem)
        has_one = not isinstance(problem, _NoListError)
        if has_one and self._memory.get().may_tell(issuer, now):
            self._tell(
                f"logins go on without the list of revoked keys of {issuer}{_why(problem)};"
                " `revocations` in [server] says so"
            )

    def _look(
        self, issuer: str, email: str, now: int
    ) -> tuple[_Kept | None, BrowserIDError | None]:
        """What is known of a provider's list, and why that is not all there should be."""
        try:
            kept = self._asked_for(issuer, email, now)
        except BrowserIDError as problem:
            return self._memory.get().kept.get(issuer), problem
        return kept, kept.problem

    def _asked_for(self, issuer: str, email: str, now: int) -> _Kept:
        path, keys = self._published(issuer, email, now)

        def ask() -> _Kept:
            # Another thread may have landed since this one looked.
            fresh = self._fresh(issuer, path, now)
            return fresh or self._ask(issuer, email, path, keys, now)

        return self._fresh(issuer, path, now) or self._flights.join(issuer, ask)

    def _published(self, issuer: str, email: str, now: int) -> tuple[str, tuple[PublicKey, ...]]:
        """Where a provider's list is, and by which keys it is signed."""
        document = self._document(issuer, email, now)
        if self._required and _has_no_list(document):
            # It may be from before the provider had one.
            self._providers.refreshed_keys_for(issuer, email, now)
            document = self._document(issuer, email, now)
        if isinstance(document, SupportDocument) and document.revocations is not None:
            return document.revocations, document.keys
        raise _NoListError(Code.UNAVAILABLE, "it publishes none")

    def _document(self, issuer: str, email: str, now: int) -> Document:
        return self._providers.document(issuer, domain_of(email) or issuer, now)

    def _fresh(self, issuer: str, path: str, now: int) -> _Kept | None:
        kept = self._memory.get().kept.get(issuer)
        if kept is None or kept.path != path or not 0 <= now - kept.asked < INTERVAL_MS:
            return None
        return kept

    def _ask(
        self, issuer: str, email: str, path: str, keys: tuple[PublicKey, ...], now: int
    ) -> _Kept:
        memory = self._memory.get()
        before = memory.kept.get(issuer) or _Kept(path, now)
        try:
            body = self._fetch(issuer, email, path, now)
            found = self._read(body.octets or b"", issuer, email, keys, now)
            good_until = body.began + found.expires - found.issued_at
            kept = _Kept(path, body.began, found, good_until)
            self._share(_place(issuer, path), body)
        except BrowserIDError as problem:
            kept = replace(before, path=path, asked=now, problem=problem)
        # What is raised by a fetcher that has it fetched elsewhere leaves all of this as it is.
        memory.arriving.pop(issuer, None)
        memory.keep(issuer, kept)
        return kept

    def _fetch(self, issuer: str, email: str, path: str, now: int) -> _Body:
        """The list's octets. A step that is repeated finds those that have come meanwhile."""
        cached = self._cache.get(_place(issuer, path), now)
        if cached is not None and now - (cached.expires - INTERVAL_MS) >= 0:
            return _Body(cached.expires - INTERVAL_MS, cached.body)
        arriving = self._memory.get().arriving
        body = arriving.get(issuer)
        if body is None or not 0 <= now - body.began < INTERVAL_MS:
            # Nobody has come back for the one before, nor for some others.
            if len(arriving) >= MAX_PROVIDERS:
                arriving.clear()
            body = arriving[issuer] = _Body(now)
        if body.octets is None:
            octets = self._fetcher.fetch_list(issuer, domain_of(email) or issuer, path)
            body = arriving[issuer] = replace(body, octets=octets)
        return body

    def _share(self, place: str, body: _Body) -> None:
        """Keep a list that is good for as long as it need not be asked for again."""
        document = CachedDocument(body.octets or b"", body.began + INTERVAL_MS)
        if len(document.body) <= _MAX_SHARED and self._cache.get(place, body.began) != document:
            self._cache.put(place, document)

    def _read(
        self, octets: bytes, issuer: str, email: str, keys: tuple[PublicKey, ...], now: int
    ) -> RevocationList:
        try:
            return parse_revocation_list(octets, issuer, keys, now, self._skew)
        except DiscoveryError as error:
            if error.code not in _KEYS_CHANGED:
                raise
        # The provider may have another key than when its document was fetched.
        keys = self._providers.refreshed_keys_for(issuer, email, now)
        return parse_revocation_list(octets, issuer, keys, now, self._skew)


def _has_no_list(document: Document) -> bool:
    return isinstance(document, SupportDocument) and document.revocations is None


def _place(issuer: str, path: str) -> str:
    """Where a list is cached; like a document's place it ends with the domain it counts for."""
    return f"{path}?issuer={issuer}"


def _why(problem: BrowserIDError | None) -> str:
    return f": {problem.message}" if problem else ""


def _unavailable(issuer: str, problem: BrowserIDError | None) -> DiscoveryError:
    return DiscoveryError(
        Code.UNAVAILABLE,
        f"this server lets nobody in without the list of revoked keys of {issuer}{_why(problem)}",
        "try again later; `revocations` in [server] says what happens without it",
    )
