"""A connection's end until the login: lines, limits, and the moment at which TLS begins."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.proxy.end import WINDOW, End, ServerEnd
from browserid_sasl.proxy.stream import EndedError, LineTooLongError, TooSlowError
from tests.support.patience import PATIENCE
from tests.support.refusal import refused

Test = Callable[[End, socket.socket], Coroutine[Any, Any, None]]


@asynccontextmanager
async def pair(seconds: float, make: Callable[[float], End]) -> AsyncIterator[Any]:
    """An end, and the socket at the other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        _, end = await loop.create_connection(lambda: make(loop.time() + seconds), sock=ours)
        try:
            yield end, theirs
        finally:
            end.transport.abort()


def run(test: Test, seconds: float = PATIENCE, make: Callable[[float], End] = End) -> None:
    async def within() -> None:
        async with pair(seconds, make) as (end, theirs):
            await test(end, theirs)

    asyncio.run(within())


def test_lines_octets_and_the_rest() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        theirs.sendall(b"one\r\ntwo\n\r\nabcdef")
        assert [await end.line(), await end.line(), await end.line()] == [b"one", b"two", b""]
        assert await end.octets(2) == b"ab"
        await end.skip(1)
        end.put_back(b"x")
        assert end.rest() == b"xdef"

    run(test)


@pytest.mark.parametrize(("length", "fits"), [(10, True), (11, False), (100_000, False)])
@pytest.mark.parametrize("end_of_line", [b"\r\n", b"\n", b""])
def test_a_line_has_so_many_octets_and_no_more(length: int, fits: bool, end_of_line: bytes) -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        theirs.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(theirs, b"x" * length + end_of_line)
        theirs.shutdown(socket.SHUT_WR)
        if fits and end_of_line:
            assert len(await end.line(10)) == length
        else:
            expected = EndedError if not end_of_line and length <= 11 else LineTooLongError
            with pytest.raises(expected):
                await end.line(10)

    run(test)


def test_no_more_is_taken_than_a_window() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        theirs.setblocking(False)
        sending = asyncio.create_task(
            asyncio.get_running_loop().sock_sendall(theirs, bytes(8 * 1_048_576))
        )
        await asyncio.sleep(0.2)
        assert not sending.done()
        held = len(end.rest())
        assert held <= WINDOW + 262_144  # what asyncio reads at once
        await end.skip(8 * 1_048_576 - held)
        await sending

    run(test)


def test_whoever_takes_too_long_is_given_up() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        theirs.sendall(b"half a line")
        with pytest.raises(TooSlowError):
            await end.line()
        with pytest.raises(TooSlowError):
            while True:  # the other side takes nothing
                await end.write(bytes(WINDOW))

    run(test, 0.3)


def test_what_is_sent_to_who_has_gone() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        theirs.close()
        with pytest.raises(EndedError):
            await end.line()
        with pytest.raises(EndedError):
            while True:
                await end.write(b"x")
                await asyncio.sleep(0)

    run(test)


def server_end(limit: float) -> End:
    return ServerEnd(limit, ssl.create_default_context(), "mail.example.org")


def test_nothing_may_come_between_starttls_and_tls() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        assert isinstance(end, ServerEnd)
        theirs.sendall(b"+OK begin\r\n+OK and more\r\n")
        assert await end.line() == b"+OK begin"
        with refused(Code.BAD_CONTEXT_TOKEN):
            await end.start_tls()

    run(test, make=server_end)


def test_what_is_no_tls() -> None:
    async def test(end: End, theirs: socket.socket) -> None:
        assert isinstance(end, ServerEnd)
        theirs.sendall(b"+OK begin\r\n")
        await end.line()
        asyncio.get_running_loop().call_later(0.1, theirs.sendall, b"+OK this is no TLS\r\n")
        with refused(Code.HTTP_ERROR):
            await end.start_tls()

    run(test, make=server_end)
