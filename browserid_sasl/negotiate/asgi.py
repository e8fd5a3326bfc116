"""An ASGI application behind a login by HTTP ``Negotiate`` (`browserid_sasl.negotiate.logins`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

from browserid_sasl.api import Server
from browserid_sasl.negotiate.logins import CHALLENGE, CONTEXT, REFUSAL, Headers, Logins

__all__ = ["CONTEXT", "NegotiateMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DENIAL: Final = "websocket.http.response"
"""The extension by which a server answers a handshake with something else than 403."""

_BEGIN_ANSWER: Final = frozenset({"http.response.start", "websocket.accept"})
"""The messages with which an application's answer begins."""


class NegotiateMiddleware:
    """Lets only those through to an application who have logged in, web sockets' too.

    The application finds the security context in its scope under `CONTEXT`, and the address in that
    as ``identity``. A login may wait, for a provider's document or a database: it has a thread
    meanwhile.

    :param application: what is behind it.
    :param server: see `Logins`, which says what is raised too.
    :param certificate: likewise.
    :param clock: s.
    """

    def __init__(
        self,
        application: Application,
        server: Server,
        certificate: Path,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._application = application
        self._logins = Logins(server, certificate, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, a web socket, or the application's own start and end (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        answer = await asyncio.to_thread(
            self._logins.answer, _only(scope, b"authorization"), _joined(scope, b"cookie")
        )
        if answer.context is None:
            await _refuse(scope, receive, send, answer.headers)
            return
        # Whoever was in the scope before has proven nothing here.
        own = {**scope, CONTEXT: answer.context}
        await self._application(own, receive, _adding(send, answer.headers))


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for field, value in scope["headers"] if field.lower() == name]


def _only(scope: Scope, name: bytes) -> str:
    """The field's value; none of several, of which nobody knows who wrote which."""
    values = _values(scope, name)
    return values[0] if len(values) == 1 else ""


def _joined(scope: Scope, name: bytes) -> str:
    """HTTP/2 divides this field (RFC 9113 section 8.2.3)."""
    return "; ".join(_values(scope, name))


def _octets(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _adding(send: Send, headers: Headers) -> Send:
    """Sends what an application sends, with our fields in it."""

    async def send_with(message: MutableMapping[str, Any]) -> None:
        if message["type"] in _BEGIN_ANSWER:
            challenge = CHALLENGE.lower().encode()
            own = [each for each in message.get("headers", ()) if each[0].lower() != challenge]
            message = {**message, "headers": own + _octets(headers)}
        await send(message)

    return send_with


async def _refuse(scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # that it would connect
        if _DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        prefix = "websocket.http"
    start = {"type": f"{prefix}.response.start", "status": 401, "headers": _octets(headers)}
    await send(start)
    await send({"type": f"{prefix}.response.body", "body": REFUSAL})
