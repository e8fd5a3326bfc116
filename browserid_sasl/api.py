"""What programs use: a server and a client made from the configuration.

Everything below this module is handed its files, sockets, clock and randomness; here they are
opened. A `Server` or `Client` is made once and shared by threads; each login is a mechanism
object of its own.

What most logins do without (HTTP, X.509, SAML) is imported when it is needed: a service that
forks a process for each connection feels every import in its first login.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from browserid_sasl import store
from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.config import Config, ServerConfig, load
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.extras import not_installed
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.agreement import EcdhKey
from browserid_sasl.gss.dialects import dialect_by_name
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.interfaces import (
    CredentialSource,
    Environment,
    ServerCredential,
    ServerTrust,
)
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.plain import PlainAcceptor, PlainInitiator
from browserid_sasl.identity.authority import AuthorityResolver, FetchedDocument, Fetcher
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.sasl import registry
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.server import Authorize, ServerMechanism, only_oneself
from browserid_sasl.store.base import system_clock

if TYPE_CHECKING:
    from browserid_sasl.gss.attributes import NameAttribute
    from browserid_sasl.gss.context import SecurityContext
    from browserid_sasl.gss.saml import SamlVerifier

SERVER_DATABASE: Final = "server.db"
CLIENT_DATABASE: Final = "client.db"

_PURGE_MARGIN_MS: Final = 60_000
"""How long an assertion is remembered beyond the moment it can no longer verify."""


now_ms: Final = system_clock
"""The system's clock, ms since the epoch."""

SYSTEM: Final = Environment(clock=now_ms, random=os.urandom, ephemeral=EcdhKey.generate)
"""The machine's own time and randomness."""


class Server:
    """Authenticates clients of one service. Safe for threads, and for processes that fork.

    :param config: the configuration; the files of the machine when None.
    :param service: the service's SASL name, for example ``imap``.
    :param hostname: the name clients know the host by; this machine's when None.
    :raises ConfigurationError: when an option can not be put to use.
    """

    def __init__(
        self, config: Config | None = None, service: str = "host", hostname: str | None = None
    ) -> None:
        config = load() if config is None else config
        options = config.server
        self._config = config
        self._mechanisms = _mechanisms(config, "server", options.mechanisms)
        self._name = ServiceName.make(service, hostname or socket.getfqdn())
        stores = acceptor_stores(config)
        resolver = AuthorityResolver(
            _FetcherOnDemand(config),
            stores.authorities,
            secondary=options.secondary_authorities,
            allow_legacy=options.allow_legacy_keys,
        )
        self._verifier = Verifier(
            resolver,
            skew=options.clock_skew_ms,
            max_life=options.max_certificate_life_ms,
            allow_legacy=options.allow_legacy_keys,
        )
        self._stores = ExchangeStores(stores.replay, stores.tickets if options.tickets else None)
        self._options = AcceptorOptions(
            names=(self._name, *map(ServiceName.parse, options.audiences)),
            host_alias=options.host_spn_alias,
            ticket_lifetime=options.ticket_lifetime_ms,
            ticket_renew_limit=options.ticket_renew_limit_ms,
            cap_ticket=options.cap_ticket_at_certificate,
            extra_round_trip=options.extra_round_trip,
        )
        self._credential = _server_credential(config.server)
        self._saml_verifier = cache(partial(_saml_verifier, config))

    @property
    def name(self) -> ServiceName:
        """The service's own name."""
        return self._name

    def mechanisms(self, *, channel_binding: bool = False) -> list[str]:
        """The names to offer to clients.

        :param channel_binding: whether the channel has binding data.
        """
        return registry.offer(self._mechanisms, channel_binding=channel_binding)

    def start(
        self,
        name: str,
        *,
        channel_bindings: Mapping[str, bytes] | None = None,
        success_data: bool = False,
        authorize: Authorize = only_oneself,
    ) -> ServerMechanism:
        """Begin a login.

        :param name: the mechanism the client has picked.
        :param channel_bindings: the channel's binding data by type, for example
            ``tls-exporter``; empty without.
        :param success_data: whether the application's protocol sends data along with success.
        :param authorize: whether an identity may log in, and act as another if it asks to.
        :raises LocalProtocolError: wrong-mech when the mechanism is not offered.
        """
        mechanism = mechanism_by_name(name)
        if mechanism not in self._mechanisms:
            raise LocalProtocolError(
                Code.WRONG_MECH,
                f"{mechanism.name} is not offered here",
                "offered are " + ", ".join(self.mechanisms()),
            )
        return ServerMechanism(
            partial(self._acceptor, mechanism),
            channel_bindings=channel_bindings,
            require_binding=self._config.server.require_channel_binding,
            success_data=success_data,
            authorize=authorize,
        )

    def accept(self, *, channel_binding: bytes | None = None) -> PlainAcceptor:
        """Begin to accept a security context in plain GSS-API form, without SASL.

        :param channel_binding: GSS `application_data` that the initiator has to have signed,
            None without.
        """
        return PlainAcceptor(
            self._mechanisms, partial(self._acceptor, channel_binding=channel_binding)
        )

    def name_attributes(self, context: SecurityContext) -> tuple[NameAttribute, ...]:
        """What is known of an initiator besides the address (RFC 6680).

        These are the claims of its certificate and, if it has a SAML assertion in it, the
        assertion and its attributes. Those of the assertion are authenticated if a key that the
        configuration has for its issuer has signed it, and it is in force.

        :param context: of a login to this server: `Result.context`, or `PlainAcceptor.context`.
        :raises RemoteProtocolError: unknown-attribute when the SAML assertion can not be read.
        :raises ConfigurationError: when a section of `saml` can not be put to use.
        """
        from browserid_sasl.gss.attributes import jwt_attributes  # noqa: PLC0415
        from browserid_sasl.gss.saml import saml_attributes  # noqa: PLC0415

        from_saml = saml_attributes(context, SYSTEM.clock(), self._saml_verifier())
        return (*jwt_attributes(context), *from_saml)

    def _acceptor(
        self,
        mechanism: Mechanism,
        *,
        channel_binding: bytes | None,
        authorize: Callable[[str], None] | None = None,
    ) -> Acceptor:
        return Acceptor(
            mechanism,
            self._options,
            self._verifier,
            self._stores,
            SYSTEM,
            channel_binding=channel_binding,
            credential=self._credential,
            authorize=authorize,
        )


class Client:
    """Logs in to one service. Safe for threads.

    :param config: the configuration; the files of the machine and the user when None.
    :param service: the service's SASL name, for example ``imap``.
    :param hostname: the name the server knows itself by.
    :param identity: the e-mail address to log in as; the configured or only one when empty.
    :param credentials: who signs; the keys of this user when None.
    :raises ConfigurationError: when an option can not be put to use.
    """

    def __init__(
        self,
        config: Config | None = None,
        service: str = "host",
        hostname: str = "localhost",
        *,
        identity: str = "",
        credentials: CredentialSource | None = None,
    ) -> None:
        config = load() if config is None else config
        options = config.client
        self._mechanisms = _mechanisms(config, "client", options.mechanisms)
        self._target = ServiceName.make(service, hostname)
        stores = initiator_stores(config)
        self._tickets = stores.tickets
        self._credentials = credentials or AgentCredentialSource(
            stores.identities, identity or options.identity, now_ms
        )
        self._options = InitiatorOptions(
            dialect=dialect_by_name(options.dialect),
            mutual=Mutual(options.mutual),
            assertion_lifetime=options.assertion_lifetime_ms,
            extra_round_trip=options.extra_round_trip,
        )
        self._trust = _trust(self._options.mutual, options.trust_anchors)

    def start(
        self,
        offered: str | Sequence[str],
        *,
        authzid: str = "",
        channel_binding: ChannelBinding | None = None,
        binding_critical: bool = False,
    ) -> ClientMechanism:
        """Begin a login.

        :param offered: the mechanisms the server lists, to choose from; or the one to use.
        :param authzid: the identity to act as; empty for one's own.
        :param channel_binding: the channel's binding, None without.
        :param binding_critical: whether to insist on binding to the channel.
        :raises LocalProtocolError: wrong-mech when none of them fits.
        """
        bound = channel_binding is not None
        if isinstance(offered, str):
            choice = registry.demand(offered, channel_binding=bound, critical=binding_critical)
        else:
            choice = registry.choose(
                offered, self._mechanisms, channel_binding=bound, critical=binding_critical
            )
        return ClientMechanism(
            choice.name,
            partial(self._initiator, choice.mechanism),
            flag=choice.flag,
            channel_binding=channel_binding,
            authzid=authzid,
        )

    def initiate(self, name: str = "", *, channel_binding: bytes | None = None) -> PlainInitiator:
        """Begin to initiate a security context in plain GSS-API form, without SASL.

        :param name: the mechanism; the first of the configured ones when empty.
        :param channel_binding: GSS `application_data` to sign, None without.
        :raises LocalProtocolError: wrong-mech when there is no such mechanism.
        """
        mechanism = mechanism_by_name(name) if name else self._mechanisms[0]
        return PlainInitiator(
            mechanism, self._initiator(mechanism, channel_binding=channel_binding)
        )

    def _initiator(self, mechanism: Mechanism, *, channel_binding: bytes | None) -> Initiator:
        return Initiator(
            mechanism,
            self._target,
            self._credentials,
            SYSTEM,
            self._options,
            tickets=self._tickets,
            channel_binding=channel_binding,
            trust=self._trust,
        )


def _mechanisms(config: Config, section: str, names: Sequence[str]) -> list[Mechanism]:
    try:
        return [mechanism_by_name(name) for name in names]
    except LocalProtocolError as error:
        raise config.error(f"{section}.mechanisms", error.message, error.remedy) from None


def acceptor_stores(config: Config) -> store.AcceptorStores:
    """What a server remembers, where the configuration says.

    :raises StoreError: when it can not be opened.
    """
    grace = max(store.REPLAY_GRACE, config.server.clock_skew_ms + _PURGE_MARGIN_MS)
    if config.store.backend == "memory":
        return store.memory_acceptor(grace=grace)
    path = config.store.server_directory / SERVER_DATABASE
    return store.open_acceptor(path, durability=config.store.durability, grace=grace)


def initiator_stores(config: Config) -> store.InitiatorStores:
    """A person's keys and tickets, where the configuration says.

    :raises StoreError: when they can not be opened.
    """
    if config.store.backend == "memory":
        return store.memory_initiator()
    path = config.store.directory / CLIENT_DATABASE
    return store.open_initiator(path, durability=config.store.durability)


class _FetcherOnDemand:
    """Fetches documents over HTTPS; the client is made with the first one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fetcher: Fetcher | None = None

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """See `Fetcher.fetch`."""
        if self._fetcher is None:
            from browserid_sasl.discovery import HttpsFetcher  # noqa: PLC0415

            self._fetcher = HttpsFetcher(self._config.discovery, self._config.authorities)
        return self._fetcher.fetch(domain, principal_domain)


def _server_credential(options: ServerConfig) -> ServerCredential | None:
    if options.x509_certificate is None or options.x509_key is None:
        return None
    from browserid_sasl.x509_files import load_server_credential  # noqa: PLC0415

    return load_server_credential(options.x509_certificate, options.x509_key)


def _saml_verifier(config: Config) -> SamlVerifier | None:
    """The keys of the SAML authorities that are configured, None when there are none."""
    files = {
        issuer: authority.certificate_file
        for issuer, authority in config.saml.items()
        if authority.certificate_file is not None
    }
    if not files:
        return None
    try:
        from browserid_sasl.gss.saml_signatures import SignatureVerifier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        option = f"saml.{next(iter(files))}.certificate_file"
        raise config.error(option, *not_installed("saml", error)) from None
    from browserid_sasl.x509_files import load_certificates  # noqa: PLC0415

    return SignatureVerifier({issuer: load_certificates(file) for issuer, file in files.items()})


def _trust(mutual: Mutual, anchors: Path | None) -> ServerTrust | None:
    if mutual is Mutual.OFF:
        return None
    from browserid_sasl.gss.x509 import X509Trust  # noqa: PLC0415
    from browserid_sasl.x509_files import load_anchors  # noqa: PLC0415

    return X509Trust(load_anchors(anchors))
