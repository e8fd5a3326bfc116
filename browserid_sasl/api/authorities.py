"""Who is trusted to vouch for addresses, made from the configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.pinned import pinned_domains
from browserid_sasl.identity.authority import Authority, AuthorityResolver, Fetcher
from browserid_sasl.identity.ports import AuthorityCache
from browserid_sasl.identity.revocation_lists import ListFetcher, RevocationLists

_logger: Final = logging.getLogger(__name__)


def resolver(
    config: Config, cache: AuthorityCache, fetcher: Fetcher | None = None
) -> AuthorityResolver:
    """The authorities that a server trusts.

    :param cache: keeps their documents.
    :param fetcher: gets them; from pinned files and over HTTPS when None.
    """
    return AuthorityResolver(
        fetcher or https_fetcher(config),
        cache,
        secondary=config.server.secondary_authorities,
        pinned=pinned_domains(config.authorities),
        allow_legacy=config.server.allow_legacy_keys,
        wait=config.discovery.timeout_ms / 1000,
    )


def revocation_lists(
    config: Config,
    authority: Authority,
    cache: AuthorityCache,
    fetcher: ListFetcher | None = None,
    tell: Callable[[str], object] = _logger.warning,
) -> RevocationLists | None:
    """What `revocations` of [server] asks to look at, None if that is nothing.

    :param authority: says what providers publish.
    :param cache: keeps their lists for the other processes that have it.
    :param fetcher: gets lists; over HTTPS when None.
    :param tell: takes a sentence when logins go on without one.
    :raises ConfigurationError: the authority knows of no lists.
    """
    options = config.server
    if options.revocations == "ignore":
        return None
    if not isinstance(authority, AuthorityResolver):
        raise config.error(
            "server.revocations", "the authority of this server knows of no lists of revoked keys"
        )
    return RevocationLists(
        authority,
        fetcher or https_fetcher(config),
        cache,
        required=options.revocations == "required",
        skew=options.clock_skew_ms,
        wait=config.discovery.timeout_ms / 1000,
        tell=tell,
    )


def https_fetcher(config: Config) -> HttpsFetcher:
    """Gets documents over HTTPS. Those whose people are let in by name are no strangers to it."""
    lists = (config.server.allow, *(each.allow for each in config.listeners.values()))
    return HttpsFetcher(
        config.discovery,
        config.authorities,
        known=[entry.rpartition("@")[2] for each in lists for entry in each],
        secondary=config.server.secondary_authorities,
    )
