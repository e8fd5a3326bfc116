"""Stores as files that somebody looks into, or clears, without being a server or a client.

Looking makes nothing and writes nothing: no folder, no file, no lock that outlives it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from browserid_sasl.api.environment import no_home
from browserid_sasl.api.server import replay_grace
from browserid_sasl.api.shared import shared_stores, shared_url
from browserid_sasl.api.stores import person_file, server_file
from browserid_sasl.config import Config
from browserid_sasl.database_url import DatabaseUrl
from browserid_sasl.errors import Code, StoreError
from browserid_sasl.store.base import AcceptorStores, InitiatorStores
from browserid_sasl.store.shared import SharedStores
from browserid_sasl.store.sqlite import (
    ACCEPTOR_SCHEMA,
    INITIATOR_SCHEMA,
    look_into_acceptor,
    look_into_initiator,
    open_acceptor,
    open_initiator,
    presented,
)
from browserid_sasl.store.view import application_of


@dataclass(frozen=True, slots=True)
class ServerCache:
    """What the servers of a machine remember.

    :param path: of the file, which need not be there.
    :param config: of the servers.
    """

    path: Path
    config: Config

    def look(self) -> AcceptorStores:
        """Its stores, to read from; empty ones if there is no file.

        :raises StoreError: it cannot be read.
        :raises ConfigurationError: it is not there, for want of a home folder.
        """
        _require_place(self.config, "store.server_directory", self.path)
        return look_into_acceptor(self.path)

    def open(self) -> AcceptorStores:
        """Its stores, to remove something; empty ones if there is no file.

        :raises StoreError: it cannot be written.
        """
        if not os.path.exists(self.path):
            return self.look()
        durability = self.config.store.durability_of_files
        return open_acceptor(self.path, durability=durability, grace=replay_grace(self.config))

    def presented(self) -> Iterable[tuple[bytes, int]]:
        """Digest and expiry (ms) of the assertions that it remembers.

        :raises StoreError: it cannot be read.
        """
        _require_place(self.config, "store.server_directory", self.path)
        return presented(self.path)


@dataclass(frozen=True, slots=True)
class PersonCache:
    """What a person's programs remember.

    :param path: of the file, which need not be there.
    :param config: of the person.
    """

    path: Path
    config: Config

    def look(self) -> InitiatorStores:
        """See `ServerCache.look`."""
        _require_place(self.config, "store.directory", self.path)
        return look_into_initiator(self.path)

    def open(self) -> InitiatorStores:
        """See `ServerCache.open`."""
        if not os.path.exists(self.path):
            return self.look()
        return open_initiator(self.path, durability=self.config.store.durability_of_files)


@dataclass(frozen=True, slots=True)
class SharedCache:
    """What the servers of several hosts remember together.

    :param config: of the servers.
    """

    config: Config

    @property
    def path(self) -> DatabaseUrl:
        """Where it is."""
        return shared_url(self.config)

    def look(self) -> SharedStores:
        """Its stores.

        :raises StoreError: it cannot be read.
        :raises ConfigurationError: the configuration of it cannot be put to use.
        """
        return shared_stores(self.config, grace=replay_grace(self.config))

    open = look

    def presented(self) -> Iterable[tuple[bytes, int]]:
        """Name and expiry (ms) of the assertions that it remembers.

        :raises StoreError: it cannot be read.
        """
        return self.look().memory.presented()


Cache = ServerCache | PersonCache | SharedCache


def server_cache(config: Config) -> ServerCache | SharedCache:
    """The one that a configuration names.

    :raises ConfigurationError: it is in the servers' memory.
    """
    return SharedCache(config) if config.store.url else ServerCache(server_file(config), config)


def person_cache(config: Config) -> PersonCache:
    """The one that a configuration names.

    :raises ConfigurationError: it would be in memory.
    """
    return PersonCache(person_file(config), config)


def named_cache(path: Path, config: Config) -> Cache:
    """The one in a file that somebody names.

    :raises StoreError: there is no such file, or it is none.
    """
    application = application_of(path)
    if application == ACCEPTOR_SCHEMA.application_id:
        return ServerCache(path, config)
    if application == INITIATOR_SCHEMA.application_id:
        return PersonCache(path, config)
    raise StoreError(
        Code.CACHE_ERROR,
        f"{str(path)!a} is no cache of this program",
        "give the path of a store's file, such as client.db or server.db",
    )


def _require_place(config: Config, option: str, path: Path) -> None:
    if config.lacks_home(option) and not os.path.exists(path):
        raise no_home(config, option, f"{path} is not there")
