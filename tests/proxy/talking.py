"""Runs a conversation on what a client says."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass

from browserid_sasl.proxy.accounts import Kind
from browserid_sasl.proxy.session import CONVERSATIONS
from browserid_sasl.proxy.stream import EndedError
from tests.support.conversing import Octets, OpenDoor

USER = "alice@example.org"
GOOD = base64.b64encode(f"\0{USER}\0secret".encode()).decode()
BAD = base64.b64encode(f"\0{USER}\0guess".encode()).decode()


@dataclass
class Outcome:
    """What came of it.

    :param lines: the client was told, without the greeting.
    :param logged_in: None if it went before that was clear.
    :param rest: of what it has said, for the server.
    """

    greeting: bytes
    lines: list[bytes]
    logged_in: bool | None
    rest: bytes


def talk(kind: Kind, said: str | bytes, door: OpenDoor | None = None) -> Outcome:
    """Say something to the proxy.

    :param said: its lines end with a line feed, which stands for CR LF.
    """
    octets = said if isinstance(said, bytes) else said.replace("\n", "\r\n").encode()
    client = Octets(octets)
    try:
        logged_in = asyncio.run(CONVERSATIONS[kind](client, door or OpenDoor()).run())
    except EndedError:
        logged_in = None
    greeting, *lines = client.lines
    return Outcome(greeting, lines, logged_in, client.said)
