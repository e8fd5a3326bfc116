"""The domains of an identity provider of this host: whether programs find each, and its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from browserid_sasl.api.authorities import resolver
from browserid_sasl.config import Config, IdpConfig
from browserid_sasl.config.domains import domains_of
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.doctor import configured
from browserid_sasl.doctor.certificates import addresses, certificate
from browserid_sasl.doctor.findings import Finding, bad, doubtful, findings_of, good
from browserid_sasl.errors import BrowserIDError, ConfigurationError
from browserid_sasl.identity.authority import AuthorityResolver
from browserid_sasl.identity.look_alikes import look_alikes, shown_domain
from browserid_sasl.identity.support import Delegation, Disabled, Document, SupportDocument
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.memory import memory_acceptor

KeysOf = Callable[[IdpConfig], Mapping[str, PublicKey]]
"""The keys that a domain's provider has to publish, by their names, read from where it keeps them.

:raises BrowserIDError: they cannot be read.
"""


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """The identity provider of this host.

    :param keys_of: reads keys.
    :param config_file: its configuration, in place of the usual ones.
    :param domain: the one to look at, empty for each.
    """

    keys_of: KeysOf
    config_file: Path | None = None
    domain: str = ""

    def findings(self) -> Iterator[Finding]:
        """All that is to be said."""
        config, found = configured.read(self.config_file, user=True)
        yield from found
        if config is None:
            return
        yield from findings_of("domains", lambda: self._of(config))

    def _of(self, config: Config) -> Iterator[Finding]:
        domains = domains_of(config)
        chosen = [each for each in domains if self.domain in ("", each)]
        if not chosen:
            raise _none(self.domain, domains)
        keys = {name: _Keys.read(self.keys_of, each.idp) for name, each in domains.items()}
        for domain in chosen:
            look = _Look(domain, domains[domain], keys)
            yield from findings_of(look.check, look.findings)
        for pair in look_alikes(domains):
            if {*pair} & {*chosen}:
                yield _alike(*pair)


def _none(domain: str, domains: Mapping[str, Config]) -> ConfigurationError:
    if not domains:
        return ConfigurationError("no domain is configured", "give `domain` in [idp]")
    return ConfigurationError(
        f"{domain!a} is none of the domains of the provider",
        f"give one of {', '.join(domains)}",
    )


def _alike(one: str, other: str) -> Finding:
    shown = f"{shown_domain(one)} and {shown_domain(other)}"
    return doubtful(
        "domains",
        f"people may take {one} and {other} for one another ({shown})",
        "give the pages of both a `name` and a `logo_file`, and see that both are meant",
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """A domain's keys by their names, or why they cannot be read."""

    keys: Mapping[str, PublicKey]
    error: BrowserIDError | None = None

    @classmethod
    def read(cls, keys_of: KeysOf, options: IdpConfig) -> _Keys:
        try:
            return cls(keys_of(options))
        except BrowserIDError as error:
            return cls({}, error)


class _Look:
    """A look at one domain.

    :param config: in which `idp` is the domain's.
    :param keys: of all domains.
    """

    def __init__(self, domain: str, config: Config, keys: Mapping[str, _Keys]) -> None:
        self.check = f"domain {domain}"
        self._domain = domain
        self._config = config
        self._authority = config.idp.authority or domain
        self._all = keys
        self._resolver: AuthorityResolver = resolver(config, memory_acceptor().authorities)

    def findings(self) -> Iterator[Finding]:
        """What is to be said of it."""
        own = self._all[self._domain]
        if own.error is not None:
            raise own.error
        yield from self._shared(own.keys)
        yield from self._reached()
        if self._authority != self._domain:
            yield from self._delegation()
        yield from self._published(own.keys)

    def _shared(self, own: Mapping[str, PublicKey]) -> Iterator[Finding]:
        for other, theirs in self._all.items():
            for name in own.keys() & theirs.keys.keys() if other != self._domain else ():
                yield bad(
                    self.check,
                    f"its key {name} is one of {other}, too: who has the folder of one can sign for"
                    " both",
                    f"browserid-idp rotate-key --domain {self._domain} --withdraw-old",
                )

    def _reached(self) -> Iterator[Finding]:
        """Where programs find it, and where people do."""
        fetcher = HttpsFetcher(self._config.discovery, self._config.authorities)
        origin = fetcher.origin(self._authority)
        pages = urlsplit(self._config.idp.public_url)
        places = {(origin.host, origin.port)}
        if pages.hostname:
            places.add((pages.hostname, pages.port or 443))
        for host, port in sorted(places):
            yield from addresses(self.check, host)
            yield from certificate(self.check, host, port, origin.ca_file)

    def _delegation(self) -> Iterator[Finding]:
        remedy = (
            f"publish at https://{self._domain}/.well-known/browserid, without a redirect, what"
            f" `browserid-idp delegation --domain {self._domain}` prints"
        )
        try:
            document = self._document(self._domain)
        except BrowserIDError as error:
            said = f"{self._domain} does not say that its provider is {self._authority}"
            yield bad(self.check, f"{said}: {error.message}", remedy)
            return
        if document == Delegation(self._authority):
            yield good(self.check, f"{self._domain} says that its provider is {self._authority}")
        else:
            said = f"{self._domain} {_said(document)}, and not that its provider is"
            yield bad(self.check, f"{said} {self._authority}", remedy)

    def _published(self, own: Mapping[str, PublicKey]) -> Iterator[Finding]:
        remedy = (
            f"see what answers at https://{self._authority}: it has to be this provider, and a web"
            " server before it has to hand on the host (`proxy_set_header Host $host;`)"
        )
        try:
            document = self._document(self._authority)
        except BrowserIDError as error:
            yield bad(self.check, f"{self._authority} publishes no keys: {error.message}", remedy)
            return
        if not isinstance(document, SupportDocument):
            said = f"{self._authority} {_said(document)}, and publishes no keys"
            yield bad(self.check, said, remedy)
            return
        published = {key.thumbprint for key in document.keys}
        for name, key in own.items():
            if key.thumbprint in published:
                yield good(self.check, f"{self._authority} publishes its key {name}")
            else:
                yield bad(self.check, f"{self._authority} does not publish its key {name}", remedy)
        for thumbprint in published - {key.thumbprint for key in own.values()}:
            yield bad(
                self.check,
                f"{self._authority} publishes the key {thumbprint.hex()[:16]}, which is not here:"
                f" who has it can log in as everybody of {self._domain}",
                remedy,
            )

    def _document(self, domain: str) -> Document:
        return self._resolver.document(domain, self._domain, system_clock())


def _said(document: Document) -> str:
    """What a document says, after the name of whose it is."""
    if isinstance(document, Delegation):
        return f"says that its provider is {document.authority}"
    if isinstance(document, Disabled):
        return "says that it has no provider"
    return "publishes keys of its own"
