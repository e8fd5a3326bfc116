"""Waits on a port of loopback for the browser to bring a sign-in's result (RFC 8252 section 7.3).

Any program and any web page on the machine can connect here. So there is one path, one good
request, and little of anything else: what is too long, too slow or too much is dropped, and who
does not know the state, which only the provider's page does, is told nothing and changes nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

PATH: Final = "/browserid"

_MAX_HEAD: Final = 16_384
_MAX_FIELDS: Final = 16
_HEAD_S: Final = 5.0
_ANSWER_S: Final = 60.0
_MOST_CONNECTIONS: Final = 16
_HTTP_PORT: Final = 80
_WITHOUT_LISTENER: Final = 61_823
"""The port of an address that nobody listens at. The browser shows it all the same."""

_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8",
    "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cache-Control: no-store",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "Connection: close",
)
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<h1>{title}</h1>
<p>{text}
</html>
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the provider's page sent back.

    :param code: for the certificate, secret; empty if there is an error.
    :param error: the provider's word for it, as it came; empty without.
    :param description: its sentence, as it came; empty without.
    """

    code: str = field(default="", repr=False)
    error: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class _Refusal(Exception):
    status: str
    why: str


def read_result(query: str, state: str) -> Result | None:
    """Read the query of the address that a browser was sent back to.

    :param state: what it has to have, secret.
    :returns: None if it is anything else than one answer to this sign-in.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        return None
    values = dict(pairs)
    # First of all: whoever does not know the state learns nothing of what else was wrong.
    if not hmac.compare_digest(values.get("state", "").encode(), state.encode()):
        return None
    if len(values) != len(pairs) or ("code" in values) == ("error" in values):
        return None
    code = values.get("code", "")
    return Result(code, values.get("error", ""), values.get("error_description", ""))


class Loopback:
    """A listener for one sign-in. Use it in an ``async with`` block.

    :param state: what the right request has in its query, secret.
    :param port: TCP port; 0 for any.
    """

    def __init__(self, state: str, port: int) -> None:
        self._state = state
        self._port = port
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._silent: list[asyncio.Task[None]] = []
        self._hosts: frozenset[str] = frozenset()
        self._result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.uri = ""

    @property
    def heard(self) -> bool:
        """Whether there is a listener."""
        return bool(self._servers)

    async def result(self) -> Result:
        """Wait for what the browser brings, or the person."""
        return await self._result

    def take(self, result: Result) -> None:
        """What the person has brought in the browser's place."""
        if not self._result.done():
            self._result.set_result(result)

    def read(self, address: str) -> Result | None:
        """The result in an address that the browser shows."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        return read_result(parts.query, self._state)

    def show(self, title: str, text: str) -> None:
        """What the browser is shown in the end."""
        if not self._page.done():
            self._page.set_result(_answer("200 OK", title, text))

    async def __aenter__(self) -> Self:
        sockets = _listening(self._port)
        port = sockets[0].getsockname()[1] if sockets else self._port or _WITHOUT_LISTENER
        for each in sockets:
            server = await asyncio.start_server(self._accept, sock=each, limit=_MAX_HEAD)
            self._servers.append(server)
        addresses = [each.getsockname()[0] for each in sockets]
        host = "[::1]" if addresses == ["::1"] else "127.0.0.1"
        self._hosts = hosts_at(port)
        self.uri = f"http://{host}:{port}{PATH}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        self.show("The sign-in has ended", "You can close this page.")
        # Who waits for the page gets it; nobody is waited for who does not read.
        if self._connections:
            await asyncio.wait(self._connections, timeout=1)
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as a task
        self._connections.add(task)
        self._silent.append(task)
        if len(self._silent) > _MOST_CONNECTIONS:
            # Browsers say at once what they want. So the one that has said nothing for longest
            # goes, and nobody keeps the right one out by being many.
            self._silent.pop(0).cancel()
        try:
            await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            self._said(task)
            self._connections.discard(task)
            writer.close()

    def _said(self, task: asyncio.Task[None] | None) -> None:
        self._silent = [each for each in self._silent if each is not task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        self._said(asyncio.current_task())
        try:
            result = self._judge(head)
        except _Refusal as refusal:
            page = _answer(refusal.status, "Nothing to see here", refusal.why)
        else:
            self._result.set_result(result)
            async with asyncio.timeout(_ANSWER_S):
                page = await asyncio.shield(self._page)
        async with asyncio.timeout(_HEAD_S):
            writer.write(page)
            await writer.drain()

    def _judge(self, head: bytes) -> Result:
        """The result in a request, if it is the one that is waited for."""
        request, *fields = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.partition(" ")
        path, _, query = target.partition("?")
        if not version.startswith("HTTP/1."):
            raise _Refusal("400 Bad Request", "This is no request.")
        if method != "GET":
            raise _Refusal("405 Method Not Allowed", "Pages are asked for here, once.")
        hosts = _values(fields, "host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise _Refusal("421 Misdirected Request", "This is another host.")
        if path != PATH:
            raise _Refusal("404 Not Found", "There is no such page.")
        result = read_result(query, self._state)
        if result is None:
            raise _Refusal("400 Bad Request", "This is not the sign-in that is waited for.")
        if self._result.done():
            raise _Refusal("410 Gone", "This sign-in has been taken already.")
        return result


def hosts_at(port: int) -> frozenset[str]:
    """What the field `Host` of a request may be, in lower case, at a port of loopback.

    Any other name that leads here is a stranger's (DNS rebinding).
    """
    # The port of the scheme is left out by browsers.
    ending = "" if port == _HTTP_PORT else f":{port}"
    return frozenset(f"{name}{ending}" for name in ("127.0.0.1", "[::1]", "localhost"))


def _values(fields: Sequence[str], name: str) -> list[str]:
    pairs = (each.partition(":") for each in fields)
    return [value.strip().lower() for each, _, value in pairs if each.strip().lower() == name]


def _listening(port: int) -> list[socket.socket]:
    """Sockets on the loopback addresses, of one port; none if that cannot be."""
    sockets: list[socket.socket] = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with suppress(OSError):
            one = socket.socket(family, socket.SOCK_STREAM)
            try:
                _bind(one, address, sockets[0].getsockname()[1] if sockets else port)
            except BaseException:
                one.close()
                raise
            sockets.append(one)
    return sockets


def _bind(one: socket.socket, address: str, port: int) -> None:
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if port:
        # The last sign-in's connections may still linger.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, port))
    one.listen(_MOST_CONNECTIONS)
    one.setblocking(False)


def _answer(status: str, title: str, text: str) -> bytes:
    page = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
    lines = (f"HTTP/1.1 {status}", *_HEADERS, f"Content-Length: {len(page)}", "", "")
    return "\r\n".join(lines).encode() + page
