"""A server that has said all it will say, and the client's half that it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from browserid_sasl.adapters.login import Login
from browserid_sasl.proxy.accounts import Security
from browserid_sasl.proxy.exchange import Exchange
from browserid_sasl.proxy.server import MailServer
from browserid_sasl.proxy.stream import ServerStream
from tests.support.conversing import Octets

Server = TypeVar("Server", bound=MailServer)


def serve(
    make: Callable[[ServerStream, Security], Server],
    stream: Octets,
    security: Security = Security.STARTTLS,
) -> Server:
    """Greet a server."""
    server = make(stream, security)
    asyncio.run(server.greet())
    return server


class _Messages:
    """In place of a `Login`: its messages can be told apart."""

    name = "BROWSERID-AES128"
    initial_base64 = b"aW5pdGlhbA=="

    def answer_base64(self, challenge: bytes) -> bytes:
        return b"answer " + challenge


def exchange() -> Exchange:
    """The client's half of an exchange."""
    return Exchange(cast(Login, _Messages()))
