"""A home with a person's and a server's stores, as one login leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE, SERVER_DATABASE
from browserid_sasl.gss.acceptor import ExchangeStores
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.jose import json as strict_json
from browserid_sasl.store.base import system_clock
from tests.support.world import HOUR, World, exchange, key, support_document


def prepare_home(folder: Path) -> Mapping[str, str]:
    """Write a configuration that says where its stores are; the environment of who lives there."""
    path = folder / "browserid.toml"
    path.write_text(
        f'[store]\ndirectory = "{folder}/client"\nserver_directory = "{folder}/server"\n'
    )
    return {"HOME": str(folder), "BROWSERID_CONFIG": str(path)}


def log_in_once(folder: Path) -> World:
    """Have both sides keep what they keep after one login, with nobody who has it open."""
    client = store.open_initiator(folder / "client" / CLIENT_DATABASE)
    server = store.open_acceptor(folder / "server" / SERVER_DATABASE)
    world = World()
    world.clock.now = system_clock()
    world.client_tickets = client.tickets
    world.stores = ExchangeStores(server.replay, server.tickets)
    exchange(world.initiator(), world.acceptor())
    body = strict_json.dumps(support_document(key("idp")))
    for stores in (client, server):
        stores.authorities.put("idp.test", CachedDocument(body, world.clock.now + HOUR))
        stores.close()
    return world
