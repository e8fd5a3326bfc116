"""One server for several domains: which domain's provider a request is for, by the host it names.

Each domain has hosts of its own, at which nothing of another one is found: cookies are bound to the
host by browsers, and all that they stand for is in the domain's own database. What a proxy says in
`X-Forwarded-Host`, `Forwarded` or elsewhere is not looked at: anybody can write that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.app import SECURITY_HEADERS
from browserid_sasl.web.refusal import RefusedError

# RFC 9110 section 7.2; no host is longer than a name of the DNS.
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,254})(?::[0-9]{0,5})?"
)


class Front:
    """Hands each request to the application of the host it is for.

    :param hosts: the applications, by host: a name in lower case, or an IP address.
    :param otherwise: that of all other hosts.
    """

    def __init__(self, hosts: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._hosts = hosts
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Of HTTP/2 a server hands `:authority` on as the host (ASGI, HTTP connection scope).
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = host_of(named[0]) if named else ""
        # What is no host would confuse whoever puts the request's address together with it.
        if len(named) > 1 or (named and not host):
            await bare_answer(scope, _NO_HOST)(scope, receive, send)
        else:
            await self._hosts.get(host, self._otherwise)(scope, receive, send)


_NO_HOST: Final = RefusedError(
    400, "bad-request", "the request does not say which host it is for, or says it wrongly"
)
_NOT_HERE: Final = RefusedError(
    421,
    "misdirected",
    "there is no identity provider at the host that this request is for: programs find it at the"
    " domain itself, or where the domain's document says",
)


async def misdirected(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of hosts at which there is nothing (RFC 9110 section 15.5.20)."""
    await bare_answer(scope, _NOT_HERE)(scope, receive, send)


def host_of(text: str) -> str:
    """The host that a request is for: in lower case, without port, brackets and a final dot.

    :param text: what it says, such as ``Example.net.:8443``.
    :returns: an empty text if that is no host.
    """
    match = _HOST.fullmatch(text)
    return in_lower_case(match["host"]).strip("[]").removesuffix(".") if match else ""


def bare_answer(scope: Scope, error: RefusedError) -> Response:
    """An answer without a page around it: a sentence for people, an object for programs."""
    headers = SECURITY_HEADERS | {"Cache-Control": "no-store"}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    if "text/html" in Headers(scope=scope).get("Accept", ""):
        return PlainTextResponse(f"{error.message}\n", error.status, headers)
    content = {"error": error.word, "message": error.message}
    return JSONResponse(content, error.status, headers)
