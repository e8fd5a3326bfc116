"""SASL exchanges in the small world."""

from __future__ import annotations

from typing import Any

from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.gs2 import BindingFlag
from browserid_sasl.sasl.server import ServerMechanism
from tests.support.world import World

EXPORTER = ChannelBinding("tls-exporter", b"exported keying material")
BINDINGS = {EXPORTER.type: EXPORTER.data, "tls-unique": b"finished"}


def make_client(
    world: World,
    options: InitiatorOptions | None = None,
    *,
    flag: BindingFlag = BindingFlag.NONE,
    binding: ChannelBinding | None = None,
    authzid: str = "",
    **further: Any,
) -> ClientMechanism:
    """A client of the world's server; `further` are arguments of its initiator."""

    def make_initiator(*, channel_binding: bytes | None) -> Initiator:
        return world.initiator(options, channel_binding=channel_binding, **further)

    name = world.mechanism.plus_name if flag is BindingFlag.USED else world.mechanism.name
    return ClientMechanism(
        name, make_initiator, flag=flag, channel_binding=binding, authzid=authzid
    )


def bound_client(world: World, **further: Any) -> ClientMechanism:
    """A client that binds to the channel."""
    return make_client(world, flag=BindingFlag.USED, binding=EXPORTER, **further)


def make_server(world: World, **options: Any) -> ServerMechanism:
    """The world's server; `options` are those of the mechanism."""
    return ServerMechanism(world.acceptor, **options)


def converse(client: ClientMechanism, server: ServerMechanism) -> list[bytes]:
    """Carry messages until the server is done; what it said, in order."""
    said = []
    message = client.step(None)
    while True:
        challenge = server.step(message)
        if challenge is not None:
            said.append(challenge)
        if server.complete:
            if challenge is not None:
                assert client.step(challenge) == b""
            return said
        message = client.step(challenge)
