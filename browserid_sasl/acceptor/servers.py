"""The servers that a worker accepts logins with, made when they are first needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from browserid_sasl.acceptor import disk
from browserid_sasl.acceptor.log import Log, Priority, to_stderr
from browserid_sasl.acceptor.requests import Begin
from browserid_sasl.api import Server
from browserid_sasl.api.authorities import https_fetcher, resolver, revocation_lists
from browserid_sasl.api.environment import configured_mechanisms
from browserid_sasl.api.server import SERVER_DATABASE, acceptor_stores
from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.discovery.arrivals import ArrivedDocuments, DocumentName
from browserid_sasl.errors import Code, ConfigurationError, RemoteProtocolError
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.identity.addresses import user_name
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument
from browserid_sasl.identity.revocation_lists import RevocationLists
from browserid_sasl.store.base import AcceptorStores

MAX_SERVERS: Final = 64
"""How many are kept: one for each service, host and set of options."""

_SASL_NAMES: Final = {"pop3": "pop", "submission": "smtp", "managesieve": "sieve"}
"""Services that programs of Dovecot's call otherwise than SASL does (RFC 4422 section 5)."""

CALLERS_OPTIONS: Final = (
    "allow",
    "audiences",
    "mechanisms",
    "require_channel_binding",
    "strip_domain",
)
"""Options of [server] that a program may set for its own logins: none names a file."""

_EVERY_MECHANISM: Final = {
    "mechanisms": " ".join(row.name for row in MECHANISMS if row.curve is not None)
}
_PREFIX: Final = "browserid_"


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and what of its configuration matters outside of it.

    :param server: it.
    :param strip_domain: the domain whose addresses become user names by losing it, or empty.
    """

    server: Server
    strip_domain: str

    def user_name(self, address: str) -> str:
        """The name that an address has for the program."""
        return user_name(address, self.strip_domain)


class Servers:
    """The servers of one configuration.

    :param config: the configuration.
    :param machine: the host's own name, where nobody says another.
    :param previous: those of the configuration before, whose stores are used on if they are the
        same.
    :param log: told what an administrator should know.
    """

    def __init__(
        self,
        config: Config,
        machine: str,
        previous: Servers | None = None,
        *,
        log: Log = to_stderr,
    ) -> None:
        self._log = log
        self.config = config
        self.documents = ArrivedDocuments(config)
        self.mechanisms: list[Mechanism] = configured_mechanisms(
            config, "server", config.server.mechanisms
        )
        self._hostname = config.acceptor.hostname or machine
        self._fetcher = https_fetcher(config)
        self._kept: OrderedDict[tuple[object, ...], Served] = OrderedDict()
        self._stores: AcceptorStores | None = None
        self._authority: AuthorityResolver | None = None
        self._revoked: RevocationLists | None = None
        if previous is not None and previous.config.store == config.store:
            self._stores = previous._stores

    def find(self, begin: Begin, listener: ListenerConfig) -> Served:
        """The server for a login.

        :param listener: the options of the socket that it came through.
        :raises RemoteProtocolError: wrong-acceptor-name if the listener is not for the service.
        :raises ConfigurationError: if the program's options cannot be put to use.
        :raises StoreError: if the stores cannot be opened now.
        """
        service = _SASL_NAMES.get(begin.service, begin.service)
        if listener.services and service not in listener.services:
            raise RemoteProtocolError(
                Code.WRONG_ACCEPTOR_NAME,
                f"this socket is not for the service {service!r}",
                "`services` in its [listeners] section says for which it is",
            )
        host = begin.host or listener.hostname or self._hostname
        options = self._options(begin)
        demands = begin.binding_critical, begin.mutual
        key = (service, host, listener, *demands, *sorted(options.items()))
        served = self._kept.get(key)
        if served is None:
            served = self._make(self._configure(options, listener, *demands), service, host)
            self._keep(key, served)
        self._kept.move_to_end(key)
        return served

    def wait_for_disk(self) -> None:
        """Have on the disk what logins have written, if the configuration asks for that.

        :raises StoreError: it cannot be known to be there.
        """
        store = self.config.store
        on_disk = store.backend == "sqlite" and not store.url
        if store.durability == "power" and on_disk and self._stores is not None:
            disk.wait_for(store.server_directory / SERVER_DATABASE)

    def _options(self, begin: Begin) -> Mapping[str, str]:
        """The program's own options, and its list of mechanisms where nobody has made one.

        libsasl2 and Dovecot have lists of their own, and a mechanism that they offer is accepted.
        Only what nobody asked for, the mechanism without key exchange, has to be named here too.
        """
        options = begin.options
        named = "mechanisms" in options or "server.mechanisms" in self.config.origins
        return options if named or not begin.extended else options | _EVERY_MECHANISM

    def fetch(self, name: DocumentName) -> FetchedDocument:
        """Get a document over HTTPS, which takes its time. For other threads than the worker's.

        :raises DiscoveryError: http-error.
        """
        return name.fetch(self._fetcher)

    def knows(self, name: DocumentName) -> bool:
        """Whether a document is for people that the configuration names, see `HttpsFetcher`."""
        return self._fetcher.knows(name.domain, name.principal_domain)

    def _keep(self, key: tuple[object, ...], served: Served) -> None:
        self._kept[key] = served
        if len(self._kept) > MAX_SERVERS:
            self._kept.popitem(last=False)

    def _make(self, config: Config, service: str, host: str) -> Served:
        if self._stores is None:
            self._stores = acceptor_stores(
                _waiting_for_no_disk(config), partial(self._log, Priority.WARNING)
            )
        if self._authority is None:
            self._authority = resolver(
                self.config, self._stores.authorities, fetcher=self.documents
            )
            self._revoked = revocation_lists(
                self.config,
                self._authority,
                self._stores.authorities,
                self.documents,
                partial(self._log, Priority.WARNING),
            )
        server = Server(
            config,
            service,
            host,
            stores=self._stores,
            authority=self._authority,
            revoked=self._revoked,
        )
        return Served(server, config.server.strip_domain)

    def _for_listener(self, listener: ListenerConfig) -> Config:
        """The configuration with what the listener says in place of [server]."""
        config = self.config.allowing(listener.allow) if listener.allow else self.config
        if not listener.strip_domain:
            return config
        section = replace(config.server, strip_domain=listener.strip_domain)
        return replace(config, server=section)

    def _configure(
        self,
        options: Mapping[str, str],
        listener: ListenerConfig,
        binding_critical: bool,
        mutual: bool,
    ) -> Config:
        for name in options:
            if name not in CALLERS_OPTIONS:
                raise ConfigurationError(
                    f"a program may not set {_PREFIX}{name}",
                    "it may set " + ", ".join(_PREFIX + each for each in CALLERS_OPTIONS),
                )
        config = self._for_listener(listener).with_options(options, prefix=_PREFIX)
        section = config.server
        if "audiences" in options and listener.services:
            _check_audiences(section.audiences, listener)
        if binding_critical:
            section = replace(section, require_channel_binding=True)
        if mutual and section.x509_certificate is None:
            raise ConfigurationError(
                "the program demands mutual authentication, and the server has no certificate",
                "set x509_certificate and x509_key in [server]",
            )
        return replace(config, server=section)


def _check_audiences(audiences: tuple[str, ...], listener: ListenerConfig) -> None:
    for audience in audiences:
        if ServiceName.parse(audience).service not in listener.services:
            raise ConfigurationError(
                f"the socket is not for the service of the audience {audience}",
                "`services` in its [listeners] section says for which it is",
            )


def _waiting_for_no_disk(config: Config) -> Config:
    """It is the worker that waits for the disk, see `disk`; for replicas the store does."""
    if config.store.durability != "power":
        return config
    return replace(config, store=replace(config.store, durability="process"))
