"""Verification in an event loop: quick by itself, and waiting for documents that are fetched."""

from __future__ import annotations

import asyncio
from typing import Final

from anyio import CapacityLimiter, to_thread

from browserid_sasl.api.assertions import AssertionVerifier, VerifiedAssertion
from browserid_sasl.api.authorities import https_fetcher, resolver, revocation_lists
from browserid_sasl.config import Config
from browserid_sasl.discovery.arrivals import (
    Arrival,
    ArrivedDocuments,
    DocumentName,
    DocumentNeeded,
    fetched,
)
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.authority import MAX_DELEGATIONS, FetchedDocument
from browserid_sasl.store.base import AcceptorStores

_MAX_DOCUMENTS: Final = 2 * (MAX_DELEGATIONS + 2) + 1
"""How many documents one verification may wait for: each of a chain, and each of them anew, and the
list of revoked keys."""


class Verification:
    """Verifies assertions. To be used in one event loop.

    :param config: of the service.
    :param stores: documents are kept there and, if the configuration says `remember`, assertions.
    """

    def __init__(self, config: Config, stores: AcceptorStores) -> None:
        self._arrived = ArrivedDocuments(config)
        self._fetcher = https_fetcher(config)
        authority = resolver(config, stores.authorities, fetcher=self._arrived)
        self._verifier = AssertionVerifier(
            config,
            replay=stores.replay if config.verifier.remember else None,
            authority=authority,
            revoked=revocation_lists(config, authority, stores.authorities, self._arrived),
        )
        # As many as there may be of strangers, and as many again of those that are known: which of
        # them there is room for, the fetcher says.
        self._limiter = CapacityLimiter(2 * config.discovery.max_lookups)
        self._under_way: dict[DocumentName, asyncio.Task[Arrival]] = {}

    async def verify(self, assertion: str, audience: str) -> VerifiedAssertion:
        """See `AssertionVerifier.verify`.

        :raises BrowserIDError: why it is not good.
        """
        name, arrival = None, None
        for _ in range(_MAX_DOCUMENTS):
            try:
                return self._attempt(assertion, audience, name, arrival)
            except DocumentNeeded as needed:
                name = needed.name
            arrival = await self._fetch(name)
        raise DiscoveryError(
            Code.HTTP_ERROR, "it takes too many documents to verify this", "try again later"
        )

    def _attempt(
        self, assertion: str, audience: str, name: DocumentName | None, arrival: Arrival | None
    ) -> VerifiedAssertion:
        if name is None or arrival is None:
            return self._verifier.verify(assertion, audience)
        with self._arrived.handing(name, arrival):
            return self._verifier.verify(assertion, audience)

    async def _fetch(self, name: DocumentName) -> Arrival:
        """Fetch a document in a thread, or wait for whom it is being fetched for."""
        task = self._under_way.get(name)
        if task is None:
            if self._limiter.statistics().tasks_waiting >= self._limiter.total_tokens:
                return DiscoveryError(
                    Code.UNAVAILABLE, "too many identity providers are being asked", "try again"
                )
            task = asyncio.create_task(self._fetch_in_thread(name))
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name))
        # Whoever goes away does not take it away from the others.
        return await asyncio.shield(task)

    async def _fetch_in_thread(self, name: DocumentName) -> Arrival:
        return await to_thread.run_sync(fetched, name, self._ask, limiter=self._limiter)

    def _ask(self, name: DocumentName) -> FetchedDocument:
        return name.fetch(self._fetcher)
