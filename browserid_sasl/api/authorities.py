"""Who is trusted to vouch for addresses, made from the configuration."""

from __future__ import annotations

from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.pinned import pinned_domains
from browserid_sasl.identity.authority import Authority, AuthorityResolver, Fetcher
from browserid_sasl.identity.ports import AuthorityCache
from browserid_sasl.identity.revocation_lists import ListFetcher, RevocationLists
from browserid_sasl.identity.revocations import MAX_TICKET_LIFE_MS


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
    config: Config, authority: Authority, fetcher: ListFetcher | None = None
) -> RevocationLists | None:
    """What `revocations` of [server] asks to look at, None if that is nothing.

    :param authority: says what providers publish.
    :param fetcher: gets lists; over HTTPS when None.
    :raises ConfigurationError: tickets may live for longer than keys are on lists, or the
        authority knows of no lists.
    """
    options = config.server
    if options.revocations == "ignore":
        return None
    if not isinstance(authority, AuthorityResolver):
        raise config.error(
            "server.revocations", "the authority of this server knows of no lists of revoked keys"
        )
    for name, life in (
        ("ticket_lifetime", options.ticket_lifetime_ms),
        ("ticket_renew_limit", options.ticket_renew_limit_ms),
    ):
        if options.tickets and life > MAX_TICKET_LIFE_MS:
            raise config.error(
                f"server.{name}",
                f"{name} is more than {MAX_TICKET_LIFE_MS // 1000} s, for which a revoked key is"
                " on its provider's list",
                "lower it, or set `revocations` to ignore",
            )
    return RevocationLists(
        authority,
        fetcher or https_fetcher(config),
        required=options.revocations == "required",
        skew=options.clock_skew_ms,
        wait=config.discovery.timeout_ms / 1000,
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
