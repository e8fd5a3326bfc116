"""Who is trusted to vouch for addresses, made from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browserid_sasl.config import Config
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument, Fetcher
from browserid_sasl.pinned_files import pinned_domains, read_pinned
from browserid_sasl.store.base import AuthorityCache

if TYPE_CHECKING:
    from browserid_sasl.discovery import HttpsFetcher


def resolver(
    config: Config, cache: AuthorityCache, fetcher: Fetcher | None = None
) -> AuthorityResolver:
    """The authorities that a server trusts.

    :param cache: keeps their documents.
    :param fetcher: gets those that are not pinned; over HTTPS when None.
    """
    return AuthorityResolver(
        _FetcherOnDemand(config, fetcher),
        cache,
        secondary=config.server.secondary_authorities,
        pinned=pinned_domains(config.authorities),
        allow_legacy=config.server.allow_legacy_keys,
        wait=config.discovery.timeout_ms / 1000,
    )


def https_fetcher(config: Config) -> HttpsFetcher:
    """Gets documents over HTTPS. Those whose people are let in by name are no strangers to it."""
    from browserid_sasl.discovery import HttpsFetcher  # noqa: PLC0415 - not for pinned documents

    lists = (config.server.allow, *(each.allow for each in config.listeners.values()))
    return HttpsFetcher(
        config.discovery,
        config.authorities,
        known=[entry.rpartition("@")[2] for each in lists for entry in each],
        secondary=config.server.secondary_authorities,
    )


class _FetcherOnDemand:
    """Reads pinned documents, and fetches others; what does that is made with the first of them."""

    def __init__(self, config: Config, fetcher: Fetcher | None) -> None:
        self._config = config
        self._fetcher = fetcher

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """See `Fetcher.fetch`."""
        config = self._config
        pinned = read_pinned(config.authorities, domain, config.discovery.max_size)
        if pinned is not None:
            return pinned
        if self._fetcher is None:
            self._fetcher = https_fetcher(config)
        return self._fetcher.fetch(domain, principal_domain)
