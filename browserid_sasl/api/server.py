"""The server's side: accepts logins to one service."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Final

from browserid_sasl.api.allowed import Allowed, anybody
from browserid_sasl.api.authorities import resolver, revocation_lists
from browserid_sasl.api.environment import SYSTEM, configured_mechanisms, stores_in
from browserid_sasl.api.shared import shared_stores
from browserid_sasl.attributes.claims import NameAttribute, jwt_attributes
from browserid_sasl.attributes.saml import SamlVerifier, saml_attributes
from browserid_sasl.config import Config, ServerConfig, load
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.extras import not_installed
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.context import SecurityContext
from browserid_sasl.gss.mechanisms import PLUS, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.identity.authority import Authority
from browserid_sasl.identity.revocations import MAX_TICKET_LIFE_MS
from browserid_sasl.identity.verifier import RevokedKeys, Verifier
from browserid_sasl.sasl import registry
from browserid_sasl.sasl.server import Authorize, ServerMechanism, only_oneself
from browserid_sasl.store.base import REPLAY_GRACE, AcceptorStores
from browserid_sasl.store.memory import memory_acceptor
from browserid_sasl.store.shared import unheard
from browserid_sasl.store.sqlite import open_acceptor
from browserid_sasl.x509.files import load_believed, load_server_credential

SERVER_DATABASE: Final = "server.db"

_PURGE_MARGIN_MS: Final = 60_000
"""How long an assertion is remembered beyond the moment it can no longer verify."""


class Server:
    """Authenticates clients of one service. Safe for threads, and for processes that fork.

    That a domain vouches for an address says who somebody is, and not that they may log in. A
    server admits those whom `allow` here or in the configuration names, and nobody without; only
    a program that gives `start` an `authorize` of its own has said it in that way.

    :param config: the configuration; the files of the machine when None.
    :param service: the service's SASL name, for example ``imap``.
    :param hostname: the name clients know the host by; this machine's when None.
    :param allow: who may log in, in place of `allow` and `allow_file` of the configuration:
        domains, addresses, or ``["*"]`` for everybody. An empty list is nobody.
    :param stores: what to remember logins in, for servers that share it; where the configuration
        says when None.
    :param authority: whose certificates to believe, likewise.
    :param revoked: which keys not to believe any more, likewise.
    :raises ConfigurationError: when an option cannot be put to use.
    """

    def __init__(
        self,
        config: Config | None = None,
        service: str = "host",
        hostname: str | None = None,
        *,
        allow: Iterable[str] | None = None,
        stores: AcceptorStores | None = None,
        authority: Authority | None = None,
        revoked: RevokedKeys | None = None,
    ) -> None:
        config = load() if config is None else config
        if allow is not None:
            config = config.allowing(allow)
        options = config.server
        self._config = config
        self._mechanisms = configured_mechanisms(config, "server", options.mechanisms)
        self._name = ServiceName.make(service, hostname or socket.getfqdn())
        stores = acceptor_stores(config) if stores is None else stores
        authority = authority or resolver(config, stores.authorities)
        self._verifier = Verifier(
            authority,
            skew=options.clock_skew_ms,
            max_life=options.max_certificate_life_ms,
            allow_legacy=options.allow_legacy_keys,
            revoked=revoked or revocation_lists(config, authority, stores.authorities),
        )
        _check_ticket_life(config)
        self._stores = ExchangeStores(
            stores.replay,
            stores.tickets if options.tickets else None,
            stores.admission,
            stores.waits,
        )
        self._options = AcceptorOptions(
            names=(self._name, *map(ServiceName.parse, options.audiences)),
            host_alias=options.host_spn_alias,
            ticket_lifetime=options.ticket_lifetime_ms,
            ticket_renew_limit=options.ticket_renew_limit_ms,
            cap_ticket=options.cap_ticket_at_certificate,
            extra_round_trip=options.extra_round_trip,
        )
        self._allowed = Allowed(config, said=allow is not None)
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
        plus_listed: bool | None = None,
        success_data: bool = False,
        authorize: Authorize | None = None,
        may_act_as: Authorize = only_oneself,
    ) -> ServerMechanism:
        """Begin a login.

        :param name: the mechanism the client has picked. With ``-PLUS`` it has to bind to the
            channel (RFC 5801 section 5).
        :param channel_bindings: the channel's binding data by type, for example
            ``tls-exporter``; empty without.
        :param plus_listed: whether clients were told the name with ``-PLUS``; None if they were
            where there is binding data. One that was not then has been deceived, and is refused.
        :param success_data: whether the application's protocol sends data along with success.
        :param authorize: whether an identity may log in, and act as another if it asks to. Where
            the configuration says who may log in, both have to agree; where it does not, this
            decides alone, once the identity is proven.
        :param may_act_as: without `authorize`: whether an identity that may log in may act as
            another. It does not say who may log in.
        :raises LocalProtocolError: wrong-mech when the mechanism is not offered.
        """
        mechanism = self._offered(name)
        program_decides = authorize is not None and not self._allowed.is_said
        allow = anybody if program_decides else self._allowed.check
        return ServerMechanism(
            partial(self._acceptor, mechanism, allow=allow),
            channel_bindings=channel_bindings,
            plus_listed=plus_listed,
            require_binding=self._config.server.require_channel_binding
            or name.upper().endswith(PLUS),
            success_data=success_data,
            authorize=may_act_as if authorize is None else authorize,
        )

    def accept(self, name: str = "", *, channel_binding: bytes | None = None) -> PlainAcceptor:
        """Begin to accept a security context in plain GSS-API form, without SASL.

        :param name: the mechanism it has to be of; one of those that are offered when empty.
        :param channel_binding: GSS `application_data` that the initiator has to have signed,
            None without.
        :raises LocalProtocolError: wrong-mech when it is not offered.
        """
        return PlainAcceptor(
            [self._offered(name)] if name else self._mechanisms,
            partial(self._acceptor, channel_binding=channel_binding, allow=self._allowed.check),
        )

    def _offered(self, name: str) -> Mechanism:
        mechanism = mechanism_by_name(name)
        if mechanism not in self._mechanisms:
            raise LocalProtocolError(
                Code.WRONG_MECH,
                f"{mechanism.name} is not offered here",
                "offered are " + ", ".join(self.mechanisms()),
            )
        return mechanism

    def name_attributes(self, context: SecurityContext) -> tuple[NameAttribute, ...]:
        """What is known of an initiator besides the address (RFC 6680).

        These are the claims of its certificate and, if it has a SAML assertion in it, the
        assertion and its attributes. Those of the assertion are authenticated if a key that the
        configuration has for its issuer has signed it, and it is in force.

        :param context: of a login to this server: `Result.context`, or `PlainAcceptor.context`.
        :raises RemoteProtocolError: unknown-attribute when the SAML assertion cannot be read.
        :raises ConfigurationError: when a section of `saml` cannot be put to use.
        """
        from_saml = saml_attributes(context, SYSTEM.clock(), self._saml_verifier())
        return (*jwt_attributes(context), *from_saml)

    def _acceptor(
        self,
        mechanism: Mechanism,
        *,
        channel_binding: bytes | None,
        allow: Callable[[str], None],
        authorize: Callable[[str], None] | None = None,
    ) -> Acceptor:
        return Acceptor(
            mechanism,
            self._options,
            self._verifier,
            self._stores,
            SYSTEM,
            allow=allow,
            channel_binding=channel_binding,
            credential=self._credential,
            authorize=authorize,
        )


def _check_ticket_life(config: Config) -> None:
    """A key leaves its provider's list when no ticket can be in force any more."""
    options = config.server
    if options.revocations == "ignore" or not options.tickets:
        return
    for name, life in (
        ("ticket_lifetime", options.ticket_lifetime_ms),
        ("ticket_renew_limit", options.ticket_renew_limit_ms),
    ):
        if life > MAX_TICKET_LIFE_MS:
            raise config.error(
                f"server.{name}",
                f"{name} is more than {MAX_TICKET_LIFE_MS // 1000} s, for which a revoked key is"
                " on its provider's list",
                "lower it, or set `revocations` to ignore",
            )


def acceptor_stores(config: Config, tell: Callable[[str], None] = unheard) -> AcceptorStores:
    """What a server remembers, where the configuration says.

    :param tell: is told when a shared store may have lost something.

    :raises StoreError: when it cannot be opened.
    :raises ConfigurationError: the same, for want of a home folder.
    """
    grace = replay_grace(config)
    if config.store.url:
        return shared_stores(config, grace=grace, tell=tell)
    if config.store.backend == "memory":
        return memory_acceptor(grace=grace)
    path = config.store.server_directory / SERVER_DATABASE
    with stores_in(config, "store.server_directory"):
        return open_acceptor(path, durability=config.store.durability_of_files, grace=grace)


def replay_grace(config: Config) -> int:
    """For how long (ms) an assertion is remembered after it has expired."""
    return max(REPLAY_GRACE, config.server.clock_skew_ms + _PURGE_MARGIN_MS)


def _server_credential(options: ServerConfig) -> ServerCredential | None:
    if options.x509_certificate is None or options.x509_key is None:
        return None
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
        # An extra, which few have installed.
        from browserid_sasl.attributes.saml_signatures import SignatureVerifier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        option = f"saml.{next(iter(files))}.certificate_file"
        raise config.error(option, *not_installed("saml", error)) from None
    return SignatureVerifier({issuer: load_believed(file) for issuer, file in files.items()})
