"""Which server is asked about a domain, and what is taken from it (PROTOCOL.md section 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery.dialing import Dialer
from browserid_sasl.discovery.https import Answer, HttpsClient, Origin
from browserid_sasl.discovery.lifetime import lifetime
from browserid_sasl.discovery.pinned import read_pinned
from browserid_sasl.discovery.rooms import Rooms, rooms_for_configured, rooms_for_strangers
from browserid_sasl.errors import Code, DiscoveryError, NoProviderError
from browserid_sasl.identity.addresses import is_domain
from browserid_sasl.identity.authority import FetchedDocument
from browserid_sasl.identity.revocations import MAX_LIST

WELL_KNOWN: Final = "/.well-known/browserid"

_TRY_AGAIN: Final = frozenset({408, 421, 425, 429})
"""Of the statuses that find fault with the request, those that may be others the next time."""

_PAGES: Final = frozenset({"text/html", "application/xhtml+xml", "text/plain"})


class HttpsFetcher:
    """Gets support documents and hands in sign-ins, over HTTPS. Safe for threads.

    Implements `identity.authority.Fetcher` and `agent.application.ProviderAccess`.

    :param discovery: limits, trust anchors, and hosts that may have private addresses.
    :param authorities: by domain, where its provider is if not at https://DOMAIN.
    :param known: further domains whose people are no strangers: no stranger's look-up keeps one
        for them waiting, wherever their domain delegates to.
    :param secondary: domains whose own documents are no strangers' either, whoever they are about.
    :param dialer: opens the connections.
    """

    def __init__(
        self,
        discovery: DiscoveryConfig,
        authorities: Mapping[str, AuthorityOverride],
        *,
        known: Collection[str] = (),
        secondary: Collection[str] = (),
        dialer: Dialer | None = None,
    ) -> None:
        self._discovery = discovery
        self._authorities = authorities
        self._known = frozenset((*known, *authorities, *discovery.private_hosts))
        self._secondary = frozenset(secondary)
        dialer = dialer or Dialer()
        most = discovery.max_lookups
        self._strangers = _make_client(discovery, dialer, rooms_for_strangers(most))
        self._configured = _make_client(discovery, dialer, rooms_for_configured(most))

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """The document that `domain` publishes about `principal_domain`.

        :raises NoProviderError: http-error: it publishes none.
        :raises DiscoveryError: http-error; unavailable when too many are being asked.
        """
        pinned = read_pinned(self._authorities, domain, self._discovery.max_size)
        if pinned is not None:
            return pinned
        origin = self._origin(domain, self._override(domain))
        client = self._client(known=self.knows(domain, principal_domain))
        answer = client.get(origin, WELL_KNOWN, {"domain": principal_domain})
        if answer.status != 200:
            kind = NoProviderError if _says_no(answer.status) else DiscoveryError
            raise kind(
                Code.HTTP_ERROR,
                f"{origin.host} has no support document: it answered with status {answer.status}",
                f"see whether {domain} runs an identity provider; redirects are not followed",
            )
        _check_type(origin, answer)
        return FetchedDocument(answer.body, lifetime(answer.headers))

    def fetch_list(self, domain: str, principal_domain: str, path: str) -> bytes:
        """The list of revoked keys of the identity provider of `domain`.

        Implements `identity.revocation_lists.ListFetcher`.

        :param principal_domain: domain of the people for whom it is asked.
        :param path: absolute path on the provider's server.
        :raises DiscoveryError: http-error, unavailable.
        """
        origin = self._origin(domain, self._override(domain))
        client = self._client(known=self.knows(domain, principal_domain))
        answer = replace(client, max_size=MAX_LIST).get(origin, path, {})
        if answer.status != 200:
            raise DiscoveryError(
                Code.HTTP_ERROR,
                f"{origin.host} does not give its list of revoked keys: it answered with status"
                f" {answer.status}",
                "tell its administrator; redirects are not followed",
            )
        _check_type(origin, answer, "application/jwt")
        return answer.body

    def post(self, domain: str, path: str, body: bytes) -> Answer:
        """Send a JSON document to the identity provider of `domain`.

        :param path: absolute path on the provider's server.
        :returns: the provider's answer, also when it refused: always JSON.
        :raises DiscoveryError: http-error, unavailable.
        """
        origin = self._origin(domain, self._override(domain))
        answer = self._client(known=self.knows(domain, domain)).post(origin, path, body)
        _check_type(origin, answer)
        return answer

    def ask(self, host: str, path: str, query: Mapping[str, str]) -> Answer:
        """Ask a host for a document that is not about identities; nothing of it is judged.

        :param path: absolute path on the host's web server.
        :raises DiscoveryError: http-error, unavailable.
        """
        _check_domain(host)
        private = host in self._discovery.private_hosts
        origin = Origin(f"https://{host}", self._discovery.ca_file, private=private)
        return self._client(known=private).get(origin, path, query)

    def origin(self, domain: str) -> Origin:
        """Where the provider of a domain is looked for.

        :raises DiscoveryError: http-error when the domain can have none.
        """
        return self._origin(domain, self._override(domain))

    def date(self, domain: str) -> str:
        """What time the provider's web server has (RFC 9110 section 6.6.1), empty if it is silent.

        :raises DiscoveryError: http-error; unavailable when too many are being asked.
        """
        client = self._client(known=self.knows(domain, domain))
        answer = client.get(self.origin(domain), WELL_KNOWN, {"domain": domain})
        return answer.headers.get("date", "")

    def address(self, domain: str, path: str) -> str:
        """The URL of a path of the identity provider of `domain`, for a browser.

        :raises DiscoveryError: http-error, if it cannot have one.
        """
        return self.origin(domain).url + path

    def knows(self, domain: str, principal_domain: str) -> bool:
        """Whether a document is asked for on behalf of people that are known.

        Who publishes it does not say so: anybody can delegate a domain to somebody else's provider.
        """
        return principal_domain in self._known or domain in self._secondary

    def _client(self, *, known: bool) -> HttpsClient:
        return self._configured if known else self._strangers

    def _override(self, domain: str) -> AuthorityOverride:
        return self._authorities.get(domain, AuthorityOverride())

    def _origin(self, domain: str, override: AuthorityOverride) -> Origin:
        ca_file = override.ca_file or self._discovery.ca_file
        if override.url:
            return Origin(override.url, ca_file, private=True)
        _check_domain(domain)
        private = domain in self._discovery.private_hosts
        return Origin(f"https://{domain}", ca_file, private=private)


def _make_client(discovery: DiscoveryConfig, dialer: Dialer, rooms: Rooms) -> HttpsClient:
    dialer = replace(dialer, names=rooms.names)
    return HttpsClient(discovery.timeout_ms / 1000, discovery.max_size, dialer, rooms.documents)


def _check_domain(domain: str) -> None:
    if not is_domain(domain) or domain.endswith(".localhost"):
        raise DiscoveryError(
            Code.HTTP_ERROR,
            f"{domain[:253]!r} cannot have an identity provider: it is not a public domain name",
            "a domain has a dot in it and is no IP address; one of a closed network needs "
            "`url` in its [authorities] section",
        )


def _says_no(status: int) -> bool:
    """Whether a status says that there is no such page, and not that something is out of order."""
    return status // 100 in (2, 3, 4) and status not in _TRY_AGAIN


def _check_type(origin: Origin, answer: Answer, wanted: str = "application/json") -> None:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != wanted or "content-encoding" in answer.headers:
        # What a stranger's server says is shown cut, and escaped.
        said = ascii(media_type[:80]) if media_type else "something"
        # Many a web site has a page of its own for whatever is asked for.
        kind = NoProviderError if answer.status == 200 and media_type in _PAGES else DiscoveryError
        raise kind(
            Code.HTTP_ERROR,
            f"{origin.host} answered with {said} (status {answer.status}) instead of {wanted}",
            "the identity provider's web server has to send that type, uncompressed",
        )
