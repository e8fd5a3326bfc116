"""What comes to the port that a sign-in listens on, and who is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from browserid_sasl.agent.flows.loopback import PATH, Loopback, Result, read_result
from tests.support.patience import PATIENCE
from tests.support.ports import free_port

STATE = "the-state"
GOOD = f"{PATH}?code=c&state={STATE}"


def listening(use: Callable[[Loopback], Awaitable[None]], port: int = 0) -> None:
    async def run() -> None:
        async with Loopback(STATE, port) as loopback:
            await use(loopback)

    asyncio.run(asyncio.wait_for(run(), 60))


def port_of(loopback: Loopback) -> int:
    return int(loopback.uri.rpartition(":")[2].partition("/")[0])


async def send(
    loopback: Loopback, head: str | bytes, address: str = "127.0.0.1", *, end: bool = False
) -> str:
    """Send something; all that is answered."""
    octets = head.encode() if isinstance(head, str) else head
    reader, writer = await asyncio.open_connection(address, port_of(loopback))
    writer.write(octets)
    if end:
        writer.write_eof()
    try:
        return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


def get(loopback: Loopback, target: str = GOOD, host: str = "", method: str = "GET") -> str:
    host = host or f"127.0.0.1:{port_of(loopback)}"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"


class TestTheRightRequest:
    @pytest.mark.parametrize("name", ["127.0.0.1", "[::1]", "localhost"])
    def test_by_any_name_of_loopback(self, name: str) -> None:
        async def use(loopback: Loopback) -> None:
            loopback.show("You are signed in", "You can close this page.")
            address = "::1" if name == "[::1]" else "127.0.0.1"
            if address == "::1" and not socket.has_ipv6:
                raise AssertionError("the machine has no IPv6 on loopback")
            said = await send(loopback, get(loopback, host=f"{name}:{port_of(loopback)}"), address)
            assert said.startswith("HTTP/1.1 200 OK\r\n")
            assert await loopback.result() == Result("c")

        listening(use)

    def test_the_page_is_plain_and_can_do_nothing(self) -> None:
        async def use(loopback: Loopback) -> None:
            loopback.show("You are <b>signed in</b>", "You can close this page.")
            said = await send(loopback, get(loopback))
            assert "Content-Security-Policy: default-src 'none';" in said
            assert "Cache-Control: no-store" in said
            assert "Referrer-Policy: no-referrer" in said
            assert "You can close this page." in said
            assert "<script" not in said
            assert "<b>" not in said
            assert "&lt;b&gt;" in said

        listening(use)

    def test_the_page_says_what_comes_of_it(self) -> None:
        async def use(loopback: Loopback) -> None:
            answered = asyncio.create_task(send(loopback, get(loopback)))
            await loopback.result()
            assert not answered.done()
            loopback.show("You are not signed in", "The provider is away.")
            assert "The provider is away." in await answered

        listening(use)

    def test_there_is_one(self) -> None:
        async def use(loopback: Loopback) -> None:
            loopback.show("Done", "Done")
            assert "200 OK" in await send(loopback, get(loopback))
            again = await send(loopback, get(loopback, f"{PATH}?code=other&state={STATE}"))
            assert again.startswith("HTTP/1.1 410 Gone")
            assert await loopback.result() == Result("c")

        listening(use)


class TestStrangers:
    @pytest.mark.parametrize(
        ("target", "status"),
        [
            ("/", 404),
            ("/favicon.ico", 404),
            (f"{PATH}/?code=c&state={STATE}", 404),
            (PATH, 400),
            (f"{PATH}?code=c", 400),
            (f"{PATH}?code=c&state=other", 400),
            (f"{PATH}?code=c&state=", 400),
            (f"{PATH}?state={STATE}", 400),
            (f"{PATH}?code=c&error=e&state={STATE}", 400),
            (f"{PATH}?code=c&code=d&state={STATE}", 400),
            (f"{PATH}?code=c&state={STATE}&state=other", 400),
            (f"{PATH}?code=%FF&state={STATE}", 400),
            (f"{PATH}?{'&'.join(['x=1'] * 20)}&code=c&state={STATE}", 400),
        ],
    )
    def test_are_told_nothing_and_change_nothing(self, target: str, status: int) -> None:
        async def use(loopback: Loopback) -> None:
            said = await send(loopback, get(loopback, target))
            assert said.startswith(f"HTTP/1.1 {status} ")
            assert STATE not in said
            loopback.show("Done", "Done")
            assert "200 OK" in await send(loopback, get(loopback))

        listening(use)

    @pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get", ""])
    def test_with_another_method(self, method: str) -> None:
        async def use(loopback: Loopback) -> None:
            assert " 405 " in await send(loopback, get(loopback, method=method))

        listening(use)

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:1"]
    )
    def test_by_the_name_of_another_host(self, host: str) -> None:
        async def use(loopback: Loopback) -> None:
            assert " 421 " in await send(loopback, get(loopback, host=host))
            twice = f"GET {GOOD} HTTP/1.1\r\nHost: x\r\nHost: 127.0.0.1:{port_of(loopback)}\r\n\r\n"
            assert " 421 " in await send(loopback, twice)

        listening(use)

    @pytest.mark.parametrize(
        "octets", [b"", b"GET\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n"]
    )
    def test_that_speak_something_else(self, octets: bytes) -> None:
        async def use(loopback: Loopback) -> None:
            assert " 200 " not in await send(loopback, octets, end=True)

        listening(use)

    def test_that_send_too_much(self) -> None:
        async def use(loopback: Loopback) -> None:
            assert await send(loopback, f"GET {GOOD} HTTP/1.1\r\nX: {'x' * 40_000}\r\n\r\n") == ""

        listening(use)

    def test_that_are_too_slow_or_too_many_keep_nobody_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("browserid_sasl.agent.flows.loopback._HEAD_S", 0.2)

        async def use(loopback: Loopback) -> None:
            port = port_of(loopback)
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            await asyncio.gather(*(_drained(reader) for reader, _ in slow))
            monkeypatch.setattr("browserid_sasl.agent.flows.loopback._HEAD_S", PATIENCE)
            loopback.show("Done", "Done")
            assert "200 OK" in await send(loopback, get(loopback))
            for _, writer in slow:
                writer.close()

        listening(use)

    def test_that_are_many_and_silent_make_room_for_who_asks(self) -> None:
        """However long the silent ones may wait: somebody else on this machine can be many."""

        async def use(loopback: Loopback) -> None:
            port = port_of(loopback)
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
            loopback.show("Done", "Done")
            assert "200 OK" in await send(loopback, get(loopback))
            for _, writer in silent:
                writer.close()

        listening(use)

    def test_that_come_after_the_right_one_do_not_put_it_out(self) -> None:
        async def use(loopback: Loopback) -> None:
            answered = asyncio.create_task(send(loopback, get(loopback)))
            await loopback.result()
            port = port_of(loopback)
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
            loopback.show("Done", "Done")
            assert "200 OK" in await answered
            for _, writer in silent:
                writer.close()

        listening(use)


async def _drained(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


class TestPort:
    def test_the_one_that_is_wanted(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]

        async def use(loopback: Loopback) -> None:
            assert loopback.uri == f"http://127.0.0.1:{port}{PATH}"
            assert loopback.heard

        listening(use, port)

    def test_that_of_http_is_in_no_name_of_a_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = free_port()
        monkeypatch.setattr("browserid_sasl.agent.flows.loopback._HTTP_PORT", port)

        async def use(loopback: Loopback) -> None:
            loopback.show("Done", "Done")
            assert "200 OK" in await send(loopback, get(loopback, host="127.0.0.1"))

        listening(use, port)

    def test_one_that_others_have_leaves_the_address_to_paste(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as first,
            socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6),
        ):
            port = first.getsockname()[1]

            async def use(loopback: Loopback) -> None:
                assert not loopback.heard
                assert loopback.uri == f"http://127.0.0.1:{port}{PATH}"
                pasted = loopback.read(f"{loopback.uri}?code=c&state={STATE}")
                assert pasted is not None
                loopback.take(pasted)
                assert await loopback.result() == Result("c")

            listening(use, port)


def test_an_error_is_read_as_it_came() -> None:
    query = f"error=access_denied&error_description=No%20way&state={STATE}"
    assert read_result(query, STATE) == Result(error="access_denied", description="No way")


def test_the_code_is_in_no_repr() -> None:
    assert "secret" not in repr(Result("secret"))
