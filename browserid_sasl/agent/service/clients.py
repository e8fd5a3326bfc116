"""Clients made from the person's configuration, and made anew when it changes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.agent.keyring import at_hand
from browserid_sasl.agent.naming import default_at
from browserid_sasl.api import Client, initiator_stores
from browserid_sasl.config import Config, candidate_files, load
from browserid_sasl.private_files import Stamp, stamp_if_there
from browserid_sasl.store.base import InitiatorStores, system_clock

_MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Target:
    """What a client is made for.

    :param mechanism: its name, without ``-PLUS``; None for the configured ones.
    :param service: for example ``imap``.
    :param host: the name the server knows itself by.
    :param name: who logs in, see `agent.naming.choose`; empty for the default identity.
    :param mutual: whether the program demands that the server authenticates itself.
    """

    mechanism: str | None
    service: str
    host: str
    name: str
    mutual: bool


class Clients:
    """The clients of one person. For one thread.

    :param config_file: the configuration file; None for those of the machine and the person.
    """

    def __init__(self, config_file: Path | None) -> None:
        self._config_file = config_file
        self._stamps: tuple[Stamp | None, ...] = ()
        self._config: Config | None = None
        self._stores: InitiatorStores | None = None
        self._kept: OrderedDict[Target, Client] = OrderedDict()

    @property
    def config(self) -> Config:
        """The configuration as it is now.

        :raises ConfigurationError: it is not valid.
        """
        stamps = tuple(map(stamp_if_there, candidate_files(self._config_file)))
        if self._config is None or stamps != self._stamps:
            config = load(self._config_file)
            self._kept.clear()
            if self._config is None or _kept_in(config) != _kept_in(self._config):
                self._stores = None
            self._config, self._stamps = config, stamps
        return self._config

    def get(self, target: Target) -> Client:
        """The client for a target.

        :raises BrowserIDError: the configuration, a store or the trust anchors cannot be used.
        """
        config = self.config
        if target not in self._kept:
            self._keep(target, _make(config, target, self.stores))
        self._kept.move_to_end(target)
        return self._kept[target]

    @property
    def stores(self) -> InitiatorStores:
        """The person's keys and tickets, where the configuration says.

        :raises BrowserIDError: it is not valid, or they cannot be opened.
        """
        config = self.config
        if self._stores is None:
            self._stores = initiator_stores(config)
        return self._stores

    def _keep(self, target: Target, client: Client) -> None:
        self._kept[target] = client
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)


def _make(config: Config, target: Target, stores: InitiatorStores) -> Client:
    """The person's configuration with what the program decided on top."""
    section = config.client
    if target.mechanism is not None:
        section = replace(section, mechanisms=(target.mechanism,))
    if target.mutual:
        section = replace(section, mutual="required")
    default = default_at(section, target.service, target.host)
    return Client(
        replace(config, client=section),
        target.service,
        target.host,
        identity=target.name,
        stores=stores,
        # The agent sees to renewals and to the keyring itself, and lets nobody else wait for them.
        credentials=AgentCredentialSource(
            stores.identities,
            target.name,
            system_clock,
            default=default,
            find=partial(at_hand, stores.identities),
        ),
    )


def _kept_in(config: Config) -> object:
    return config.store, config.client.keys
