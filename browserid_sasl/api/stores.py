"""The stores that commands and the agent look into: those that outlive a process."""

from __future__ import annotations

from pathlib import Path

from browserid_sasl.agent import presence
from browserid_sasl.api.client import CLIENT_DATABASE, initiator_stores
from browserid_sasl.api.server import SERVER_DATABASE, acceptor_stores
from browserid_sasl.api.shared import shared_stores
from browserid_sasl.config import Config
from browserid_sasl.errors import DamagedStoreError
from browserid_sasl.store.base import AcceptorStores, InitiatorStores, system_clock
from browserid_sasl.store.sqlite import ACCEPTOR_SCHEMA, INITIATOR_SCHEMA, begin_anew


def server_stores(config: Config) -> AcceptorStores:
    """The stores of the servers of this machine.

    :raises ConfigurationError: they are in the servers' memory.
    :raises StoreError: they cannot be opened.
    """
    if not config.store.url:
        _check_backend(config)
    return acceptor_stores(config)


def person_stores(config: Config) -> InitiatorStores:
    """The stores of the person who runs the program.

    :raises ConfigurationError: they would be in this program's memory.
    :raises StoreError: they cannot be opened.
    """
    _check_backend(config)
    return initiator_stores(config)


def person_file(config: Config) -> Path:
    """Where the stores of the person are who runs the program.

    :raises ConfigurationError: they would be in this program's memory.
    """
    _check_backend(config)
    return config.store.directory / CLIENT_DATABASE


def server_file(config: Config) -> Path:
    """Where the stores of the servers of this machine are.

    :raises ConfigurationError: they are in the servers' memory.
    """
    _check_backend(config)
    return config.store.server_directory / SERVER_DATABASE


def sound_person_stores(config: Config) -> tuple[InitiatorStores, str]:
    """The stores of the person who runs the program, begun anew if they are damaged.

    :returns: the stores, and what to tell the person, empty if they were not damaged.
    :raises ConfigurationError: they would be in this program's memory.
    :raises StoreError: they cannot be opened, or not be put aside.
    """
    try:
        stores = person_stores(config)
        # Damage shows in what is read, and all of it is needed sooner or later.
        for kept in (stores.identities.all(), stores.tickets.all(0), stores.authorities.all(0)):
            list(kept)
    except DamagedStoreError as error:
        return _begun_anew(config, error)
    return stores, ""


def _begun_anew(config: Config, error: DamagedStoreError) -> tuple[InitiatorStores, str]:
    moved = reset(config, server=False)
    told = (
        f"{error.message}; it is kept as {moved[0]}, and a new one is made:"
        " whoever else was signed in has to sign in again"
    )
    return person_stores(config), told


def reset(config: Config, *, server: bool) -> list[Path]:
    """Move a store aside, damaged or not, and begin an empty one; clear one that is shared.

    :param server: the servers', in place of that of the person who runs the program.
    :returns: where its files are now; none if there were none.
    :raises ConfigurationError: it would be in memory.
    :raises StoreError: that cannot be done.
    """
    now = system_clock()
    if server and config.store.url:
        shared_stores(config, grace=0).engine.clear()
        return []
    if server:
        return begin_anew(server_file(config), ACCEPTOR_SCHEMA, now)
    path = person_file(config)
    moved = begin_anew(path, INITIATOR_SCHEMA, now)
    presence.tell(person_stores(config).identities, path)
    return moved


def _check_backend(config: Config) -> None:
    if config.store.backend == "memory":
        raise config.error(
            "store.backend",
            "what is kept in memory ends with its process, and no other can see it",
            "set `backend` to sqlite",
        )
