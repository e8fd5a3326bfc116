"""The stores that commands look into: those that outlive a process."""

from __future__ import annotations

from browserid_sasl.api import acceptor_stores, initiator_stores
from browserid_sasl.config import Config
from browserid_sasl.store.base import AcceptorStores, InitiatorStores


def server_stores(config: Config) -> AcceptorStores:
    """The stores of the servers of this machine.

    :raises ConfigurationError: they are in the servers' memory.
    :raises StoreError: they can not be opened.
    """
    _check_backend(config)
    return acceptor_stores(config)


def person_stores(config: Config) -> InitiatorStores:
    """The stores of the person who runs the command.

    :raises ConfigurationError: they would be in this command's memory.
    :raises StoreError: they can not be opened.
    """
    _check_backend(config)
    return initiator_stores(config)


def _check_backend(config: Config) -> None:
    if config.store.backend == "memory":
        raise config.error(
            "store.backend",
            "what is kept in memory ends with its process, and no other can see it",
            "set `backend` to sqlite",
        )
