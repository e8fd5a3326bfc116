"""The client's side: logs in to one service."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.agent.flows.renewal import renewed
from browserid_sasl.agent.keyring import with_keyring
from browserid_sasl.agent.naming import acting_as, default_at
from browserid_sasl.api.environment import SYSTEM, configured_mechanisms, stores_in
from browserid_sasl.config import Config, load
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.gss.context import NO_FLAGS, ContextFlag
from browserid_sasl.gss.dialects import dialect_by_name
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.gss.ports import CredentialSource, ServerTrust
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.sasl import registry
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.store.base import InitiatorStores
from browserid_sasl.store.memory import memory_initiator
from browserid_sasl.store.sqlite import open_initiator
from browserid_sasl.x509.files import load_anchors
from browserid_sasl.x509.trust import X509Trust

CLIENT_DATABASE: Final = "client.db"


class Client:
    """Logs in to one service. Safe for threads.

    :param config: the configuration; the files of the machine and the user when None.
    :param service: the service's SASL name, for example ``imap``.
    :param hostname: the name the server knows itself by.
    :param identity: the e-mail address to log in as, or its local part where only one that is
        signed in has it; the configured or only one when empty.
    :param stores: of keys and tickets, for clients that share them; where the configuration says
        when None.
    :param credentials: who signs; the keys of this user when None.
    :raises ConfigurationError: when an option cannot be put to use.
    """

    def __init__(
        self,
        config: Config | None = None,
        service: str = "host",
        hostname: str = "localhost",
        *,
        identity: str = "",
        stores: InitiatorStores | None = None,
        credentials: CredentialSource | None = None,
    ) -> None:
        config = load() if config is None else config
        options = config.client
        self._mechanisms = configured_mechanisms(config, "client", options.mechanisms)
        self._target = ServiceName.make(service, hostname)
        stores = initiator_stores(config) if stores is None else stores
        self._tickets = stores.tickets
        self._name = identity
        self._credentials = credentials or AgentCredentialSource(
            stores.identities,
            identity,
            SYSTEM.clock,
            default=default_at(options, service, hostname),
            renew=partial(_renewed, config, stores.identities),
        )
        self._options = InitiatorOptions(
            dialect=dialect_by_name(options.dialect),
            mutual=Mutual(options.mutual),
            assertion_lifetime=options.assertion_lifetime_ms,
            extra_round_trip=options.extra_round_trip,
            transcript_binding=options.require_transcript_binding,
        )
        self._trust_for = cache(partial(_trust, anchors=options.trust_anchors))
        # What cannot be read is an error now, and not in the middle of a login.
        self._trust_for(self._options.mutual)

    @property
    def identity(self) -> str:
        """The e-mail address that logs in.

        :raises CredentialError: when nobody is signed in, or it is not clear who is meant.
        """
        return self._credentials.identity

    def start(
        self,
        offered: list[str] | tuple[str, ...],
        *,
        authzid: str = "",
        channel_binding: ChannelBinding | None = None,
        binding_critical: bool = False,
    ) -> ClientMechanism:
        """Begin a login with one of the mechanisms that the server lists.

        With binding data and no ``-PLUS`` in the list, the server is told what it seemed to offer:
        if somebody has altered the list on its way, it refuses (RFC 5802 section 6).

        :param offered: the whole list, as it came from the server.
        :param authzid: the identity to act as; empty for one's own. A name for oneself counts as
            empty too, see `agent.naming.acting_as`.
        :param channel_binding: the channel's binding, None without.
        :param binding_critical: whether to insist on binding to the channel.
        :raises LocalProtocolError: wrong-mech when none of them fits.
        :raises CredentialError: with an `authzid`, when it is not clear who logs in.
        """
        choice = registry.choose(
            offered,
            self._mechanisms,
            channel_binding=channel_binding is not None,
            critical=binding_critical,
        )
        return self._begin(choice, channel_binding, authzid)

    def start_with(
        self,
        name: str,
        *,
        authzid: str = "",
        channel_binding: ChannelBinding | None = None,
        binding_critical: bool = False,
    ) -> ClientMechanism:
        """Begin a login with a mechanism that the person, or the program, has named.

        What the server lists plays no part, and so nothing is known of whether it could bind: the
        login is bound to the channel only where `binding_critical` or a ``-PLUS`` says so. The
        other parameters are those of `start`.

        :param name: the mechanism, with or without ``-PLUS``.
        :raises LocalProtocolError: wrong-mech when there is no such mechanism;
            missing-channel-bindings when the login is to be bound and there is nothing to bind to.
        :raises CredentialError: with an `authzid`, when it is not clear who logs in.
        """
        bound = channel_binding is not None
        choice = registry.demand(name, channel_binding=bound, critical=binding_critical)
        return self._begin(choice, channel_binding, authzid)

    def _begin(
        self, choice: registry.Choice, channel_binding: ChannelBinding | None, authzid: str
    ) -> ClientMechanism:
        return ClientMechanism(
            choice.name,
            partial(self._initiator, choice.mechanism),
            flag=choice.flag,
            channel_binding=channel_binding,
            authzid=authzid and acting_as(self.identity, self._name, authzid),
        )

    def initiate(
        self,
        name: str = "",
        *,
        channel_binding: bytes | None = None,
        flags: ContextFlag = NO_FLAGS,
    ) -> PlainInitiator:
        """Begin to initiate a security context in plain GSS-API form, without SASL.

        :param name: the mechanism; the first of the configured ones when empty.
        :param channel_binding: GSS `application_data` to sign, None without.
        :param flags: what the program asks for. `MUTUAL` has the server asked for its certificate,
            even if the configuration does not; whether it has shown one, the context's flags say.
            `DCE_STYLE` and `IDENTIFY` are the others that make a difference.
        :raises LocalProtocolError: wrong-mech when there is no such mechanism.
        :raises ConfigurationError: the trust anchors cannot be used.
        """
        mechanism = mechanism_by_name(name) if name else self._mechanisms[0]
        initiator = self._initiator(
            mechanism, channel_binding=channel_binding, options=self._asked(flags)
        )
        return PlainInitiator(mechanism, initiator)

    def _asked(self, flags: ContextFlag) -> InitiatorOptions:
        """The configured options with what a program asks for on top."""
        options, asks = self._options, ContextFlag.MUTUAL in flags
        prefers = asks and options.mutual is Mutual.OFF
        return replace(
            options,
            mutual=Mutual.PREFERRED if prefers else options.mutual,
            mutual_tickets=asks,
            dce_style=ContextFlag.DCE_STYLE in flags,
            identify=ContextFlag.IDENTIFY in flags,
        )

    def _initiator(
        self,
        mechanism: Mechanism,
        *,
        channel_binding: bytes | None,
        options: InitiatorOptions | None = None,
    ) -> Initiator:
        options = options or self._options
        return Initiator(
            mechanism,
            self._target,
            self._credentials,
            SYSTEM,
            options,
            tickets=self._tickets,
            channel_binding=channel_binding,
            trust=self._trust_for(options.mutual),
        )


def initiator_stores(config: Config) -> InitiatorStores:
    """A person's keys and tickets, where the configuration says.

    :raises StoreError: when they cannot be opened.
    :raises ConfigurationError: the same, for want of a home folder.
    """
    if config.store.backend == "memory":
        return memory_initiator()
    path = config.store.directory / CLIENT_DATABASE
    with stores_in(config, "store.directory"):
        stores = open_initiator(path, durability=config.store.durability_of_files)
    return replace(stores, identities=with_keyring(stores.identities, path, config.client.keys))


def _renewed(config: Config, store: IdentityStore, record: IdentityRecord) -> IdentityRecord:
    http = HttpsFetcher(config.discovery, config.authorities)
    return renewed(record, store, http, SYSTEM.clock, config.client.fallback)


def _trust(mutual: Mutual, anchors: Path | None) -> ServerTrust | None:
    if mutual is Mutual.OFF:
        return None
    return X509Trust(load_anchors(anchors))
