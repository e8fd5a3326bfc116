"""What targets of several areas read into: a small world, and the recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from browserid_sasl.gss.acceptor import Acceptor, ExchangeStores
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.store import memory_acceptor
from tests.support import vectors
from tests.support.world import World, fixed_environment, key, support_document


@cache
def world() -> World:
    """A world with fast keys."""
    world = World()
    world.person.user_key = key("alice", "ES256")
    world.person.signing_key = key("idp", "ES256")
    world.provider.documents["idp.test"] = support_document(key("idp", "ES256"))
    return world


def initiator(options: InitiatorOptions | None = None, **further: Any) -> Initiator:
    """An initiator of the world without tickets, who chooses the same numbers every time."""
    return world().initiator(
        options, tickets=None, environment=fixed_environment("initiator"), **further
    )


def acceptor(**further: Any) -> Acceptor:
    """An acceptor of the world that remembers nothing."""
    stores = memory_acceptor()
    return world().acceptor(
        stores=ExchangeStores(stores.replay, stores.tickets),
        environment=fixed_environment("acceptor"),
        **further,
    )


def recorded(sender: str) -> Iterator[bytes]:
    """The messages of one side in the recorded exchanges.

    :param sender: initiator or acceptor.
    """
    for folder in (vectors.FOLDER, vectors.OURS):
        for name in vectors.names(folder=folder):
            yield from vectors.load(name, folder).messages(sender)
