"""The provider as a web application (ASGI, with Starlette): routes, limits and answers.

| path | answer |
| --- | --- |
| `GET /.well-known/browserid` | the support document (PROTOCOL.md section 2) |
| `POST /certify` | `{"certificate": "..."}` for a key of somebody who gives their password |
| `GET /authentication`, `GET /provisioning` | pages that say how to sign in from a shell |

An error's answer is `{"error": "a-word", "message": "A sentence."}` with a fitting status.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.certification import MAX_SIZE, Certifier
from browserid_sasl.idp.clients import Proxies, plain_address
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.pages import sign_in_page
from browserid_sasl.idp.refusal import RefusedError
from browserid_sasl.jose.keys import Spelling
from browserid_sasl.store.base import system_clock

WELL_KNOWN: Final = "/.well-known/browserid"
CERTIFY: Final = "/certify"
AUTHENTICATION: Final = "/authentication"
PROVISIONING: Final = "/provisioning"

_BODY_TIME_S: Final = 10
_THREADS: Final = max(1, min(4, os.cpu_count() or 1))
_MAX_WAITING: Final = 32

_SECURITY_HEADERS: Final = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the operator decides.

    :param certificate_life: ms a certificate lives at the most.
    :param document_life: ms for which others may keep the support document.
    :param key_spelling: how keys are written in that document and in certificates.
    :param proxies: those before the server.
    """

    certificate_life: int = 3_600_000
    document_life: int = 3_600_000
    key_spelling: Spelling = "2012.08.15"
    proxies: Proxies = field(default_factory=Proxies)


def create_app(
    provider: Provider, settings: AppSettings, clock: Callable[[], int] = system_clock
) -> ASGIApp:
    """The application of a provider.

    :param clock: ms since the epoch.
    """
    endpoints = _Endpoints(provider, settings, clock)
    application = Starlette(
        routes=[
            Route(WELL_KNOWN, endpoints.support_document, methods=["GET"]),
            Route(CERTIFY, endpoints.certify, methods=["POST"]),
            Route(AUTHENTICATION, endpoints.authentication, methods=["GET"]),
            Route(PROVISIONING, endpoints.provisioning, methods=["GET"]),
        ],
        exception_handlers={
            RefusedError: _answer_refusal,
            HTTPException: _answer_http_error,
            BrowserIDError: _answer_broken,
            Exception: _answer_unexpected,
        },
    )
    application.router.redirect_slashes = False
    return _SecurityHeaders(application)


class _Endpoints:
    def __init__(self, provider: Provider, settings: AppSettings, clock: Callable[[], int]) -> None:
        self._provider = provider
        self._clock = clock
        self._cache_control = f"max-age={settings.document_life // 1000}"
        self._proxies = settings.proxies
        self._spelling = settings.key_spelling
        self._certifier = Certifier(provider, settings.certificate_life, settings.key_spelling)
        self._limiter = CapacityLimiter(_THREADS)

    async def support_document(self, _request: Request) -> Response:
        keys = self._provider.keys.published(self._clock())
        document = support_document([key.to_json(self._spelling) for key in keys])
        return JSONResponse(document, headers={"Cache-Control": self._cache_control})

    async def certify(self, request: Request) -> Response:
        _check_type(request)
        body = await _read_body(request)
        if self._limiter.statistics().tasks_waiting >= _MAX_WAITING:
            raise RefusedError(503, "busy", "too many people are signing in", retry_after=1)
        client = self._client_of(request)
        # Hashing a password takes a processor for a while, so it is done in threads, a few at once.
        text = await to_thread.run_sync(self._certify, body, client, limiter=self._limiter)
        return JSONResponse({"certificate": text}, headers=_NO_STORE)

    def _client_of(self, request: Request) -> str:
        # A connection of this server always has another end.
        peer = plain_address(request.client.host) if request.client else ""
        return self._proxies.client(peer, request.headers.getlist("X-Forwarded-For"))

    def _certify(self, body: bytes, client: str) -> str:
        return self._certifier.certify(body, client, self._clock())

    async def authentication(self, _request: Request) -> Response:
        return HTMLResponse(sign_in_page("Sign in", self._provider.domain))

    async def provisioning(self, _request: Request) -> Response:
        return HTMLResponse(sign_in_page("Get a certificate", self._provider.domain))


def support_document(keys: Sequence[dict[str, str]]) -> dict[str, Any]:
    """What is published (PROTOCOL.md section 2).

    :param keys: those that verify, the one that signs first.
    """
    # Some take `public-key`, and some, as soon as there is a `keys`, nothing but the first of that
    # which fits: so it has all of them, or is not there.
    further = {"keys": list(keys)} if len(keys) > 1 else {}
    return {
        "public-key": keys[0],
        **further,
        "authentication": AUTHENTICATION,
        "provisioning": PROVISIONING,
        "certify": CERTIFY,
    }


def _check_type(request: Request) -> None:
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or "Content-Encoding" in request.headers:
        raise RefusedError(
            415, "unsupported-media-type", "the request has to be application/json, uncompressed"
        )


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        with anyio.fail_after(_BODY_TIME_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_SIZE:
                    raise RefusedError(
                        413, "too-large", f"the request has more than {MAX_SIZE} octets"
                    )
    except TimeoutError:
        raise RefusedError(408, "timeout", "the request took too long to arrive") from None
    except ClientDisconnect:
        raise RefusedError(400, "disconnected", "the request broke off") from None
    return bytes(body)


_NO_STORE: Final = {"Cache-Control": "no-store"}


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    error = cast(RefusedError, error)
    headers = dict(_NO_STORE)
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "BrowserID-Password"
    return _answer(error.status, error.word, error.message, headers)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    word = error.detail.lower().replace(" ", "-")
    headers = _NO_STORE | dict(error.headers or {})
    return _answer(error.status_code, word, f"{error.detail}.", headers)


async def _answer_broken(_request: Request, error: Exception) -> Response:
    _logger.error("%s", error)
    return await _answer_unexpected(_request, error)


async def _answer_unexpected(_request: Request, _error: Exception) -> Response:
    message = "the identity provider is out of order; its administrator finds out why in its log"
    return _answer(500, "internal", message, _NO_STORE)


def _answer(status: int, word: str, message: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": word, "message": message}, status, headers)


class _SecurityHeaders:
    """Adds what every answer has to have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
