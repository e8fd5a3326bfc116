"""After the login: octets both ways, as they come.

Each side's window is the transport's buffer. While it is full, nothing is taken from the other
side; so neither a slow reader nor a fast writer costs memory.
"""

from __future__ import annotations

import asyncio
from typing import Final

from browserid_sasl.proxy.end import WINDOW, End

_QUIET_S: Final = 5.0
"""A side that has said its last word is given the other's answer, until that is silent so long."""

_CLOSE_S: Final = 10.0


class _Half(asyncio.Protocol):
    """What comes from one side goes to the other."""

    def __init__(self, pipe: Pipe, transport: asyncio.Transport) -> None:
        self._pipe = pipe
        self.transport = transport
        self.other = self
        self.moved = False

    def data_received(self, data: bytes) -> None:
        self.moved = True
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._pipe.finish(self)
        return self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, error: Exception | None) -> None:
        self._pipe.lost(self)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class Pipe:
    """Two ends put together.

    :param client: the mail program's.
    :param server: the server's.
    """

    def __init__(self, client: End, server: End) -> None:
        self._client = _Half(self, client.transport)
        self._server = _Half(self, server.transport)
        self._client.other, self._server.other = self._server, self._client
        self._gone: set[_Half] = set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        for end, half in ((client, self._client), (server, self._server)):
            end.transport.set_protocol(half)
        # In this order: what has come already goes first, and may fill a window.
        for end, half in ((client, self._client), (server, self._server)):
            half.other.transport.write(end.rest())
        for end, half in ((client, self._client), (server, self._server)):
            self._begin(end, half)

    def _begin(self, end: End, half: _Half) -> None:
        if end.gone:
            self.lost(half)
        elif end.ended:
            self.finish(half)
        elif half.other.transport.get_write_buffer_size() <= WINDOW:
            half.transport.resume_reading()

    async def run(self) -> None:
        """Until both sides are gone."""
        try:
            await self._over
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for half in (self._client, self._server):
                half.transport.abort()

    def finish(self, half: _Half) -> None:
        """One side will say nothing more."""
        if half is self._server:
            self._close(self._client)
        else:
            self._server.moved = False
            self._wait_for_silence()

    def lost(self, half: _Half) -> None:
        """One side is gone."""
        self._gone.add(half)
        if half.other in self._gone:
            self._end()
        else:
            self._close(half.other)

    def _wait_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        if self._server.moved or self._timer is None:
            self._server.moved = False
            self._timer = loop.call_later(_QUIET_S, self._wait_for_silence)
        else:
            self._close(self._server)

    def _close(self, half: _Half) -> None:
        """Let what is to be written be written, for a while, and end."""
        # A TLS transport that is closed twice cannot be aborted any more (Python 3.11).
        if not half.transport.is_closing():
            half.transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_CLOSE_S, self._end)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
