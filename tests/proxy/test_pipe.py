"""What becomes of both ends when one of them goes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from browserid_sasl.proxy import pipe as pipe_module
from browserid_sasl.proxy.end import End
from browserid_sasl.proxy.pipe import Pipe
from tests.support.patience import PATIENCE


class SlowToClose:
    """A transport that counts how often it is closed, and is not gone by that, as TLS may be.

    :param end: whose.
    """

    def __init__(self, end: End) -> None:
        self.count = 0
        transport: Any = end.transport
        transport.close = self
        transport.is_closing = lambda: self.count > 0

    def __call__(self) -> None:
        self.count += 1


async def connected() -> tuple[End, socket.socket]:
    """An end, and the socket at its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    _, end = await loop.create_connection(lambda: End(loop.time() + PATIENCE), sock=ours)
    return end, theirs


def test_a_server_that_is_to_close_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe_module, "_CLOSE_S", 0.1)

    async def within() -> int:
        (client, program), (server, other) = await connected(), await connected()
        closings = SlowToClose(server)
        pipe = Pipe(client, server)
        running = asyncio.create_task(pipe.run())
        # The program has said all, and the server has been silent for long enough.
        pipe.finish(pipe._client)
        pipe._wait_for_silence()
        assert closings.count == 1
        # Then the program is gone too.
        program.close()
        other.close()
        await asyncio.wait_for(running, PATIENCE)
        return closings.count

    assert asyncio.run(within()) == 1
