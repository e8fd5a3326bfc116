"""The provider as a web application (ASGI, with Starlette): routes, limits and answers.

| path | answer |
| --- | --- |
| `GET /.well-known/browserid` | the support document (PROTOCOL.md section 2) |
| `POST /certify` | a certificate for whoever shows a password, a code or a renewal |
| `POST /device-authorization` | codes for signing in on another device |
| `GET /revocations` | the signed list of revoked keys |
| `GET /authentication`, `GET /provisioning`, `/browserid/...` | pages for people (`idp.web`) |

An error's answer is `{"error": "a-word", "message": "A sentence."}` with a fitting status, or a
page for a browser.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from browserid_sasl.errors import BrowserIDError, Code, UnavailableStoreError
from browserid_sasl.idp.certification import Certifier, Members
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.grants import GRANT_TYPES
from browserid_sasl.idp.paths import CERTIFY, DEVICE_AUTHORIZATION, REVOCATIONS, WELL_KNOWN
from browserid_sasl.idp.revocations import MEDIA_TYPE
from browserid_sasl.idp.web.errors import wants_page
from browserid_sasl.idp.web.paths import AUTHENTICATION, PROVISIONING
from browserid_sasl.idp.web.site import LOOKING_THREADS, Site
from browserid_sasl.idp.web.visit import House
from browserid_sasl.jose.keys import Spelling
from browserid_sasl.store.base import system_clock
from browserid_sasl.web.bodies import plain_type, read_body
from browserid_sasl.web.clients import Proxies, plain_address
from browserid_sasl.web.refusal import RefusedError

_THREADS: Final = max(1, min(4, os.cpu_count() or 1))
_MAX_WAITING: Final = 32
TRY_AGAIN_S: Final = 5
_LEAST_COPY_MS: Final = 300_000
"""For so long others keep a copy, whatever they are told."""

SECURITY_HEADERS: Final = {
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
    :param embedders: origins of old clients that may frame the page `provisioning`.
    """

    certificate_life: int = 3_600_000
    document_life: int = 3_600_000
    key_spelling: Spelling = "2012.08.15"
    proxies: Proxies = field(default_factory=Proxies)
    embedders: tuple[str, ...] = ()


def create_app(
    provider: Provider, settings: AppSettings, clock: Callable[[], int] = system_clock
) -> ASGIApp:
    """The application of a provider.

    :param clock: ms since the epoch.
    """
    certifier = Certifier(provider, settings.certificate_life, settings.key_spelling)
    endpoints = _Endpoints(provider, certifier, settings, clock)
    house = House(
        provider, certifier, provider.public_url, settings.embedders, settings.document_life
    )
    site = Site(house, endpoints.client_of, clock)
    application = Starlette(
        routes=[
            Route(WELL_KNOWN, endpoints.support_document, methods=["GET"]),
            Route(CERTIFY, endpoints.certify, methods=["POST"]),
            Route(DEVICE_AUTHORIZATION, endpoints.device_authorization, methods=["POST"]),
            Route(REVOCATIONS, endpoints.revocations, methods=["GET"]),
            *site.routes(),
        ],
        exception_handlers={
            kind: _for_people(site, handler)
            for kind, handler in (
                (RefusedError, _refusal),
                (HTTPException, _http_error),
                (BrowserIDError, _broken),
                (Exception, _unexpected),
            )
        },
    )
    application.router.redirect_slashes = False
    return _SecurityHeaders(application)


class _Endpoints:
    def __init__(
        self,
        provider: Provider,
        certifier: Certifier,
        settings: AppSettings,
        clock: Callable[[], int],
    ) -> None:
        self._provider = provider
        self._certifier = certifier
        self._clock = clock
        self._document_life = settings.document_life
        self._remembered = longest_in_memory(settings.document_life)
        self._proxies = settings.proxies
        self._spelling = settings.key_spelling
        # Who waits for a backend, or for a stranger's web server, does not keep the others waiting.
        looking = LOOKING_THREADS if provider.fallback else 0
        self._limiter = CapacityLimiter(_THREADS + provider.outside.backends.most_at_once + looking)
        self._list_limiter = CapacityLimiter(1)
        self._document_limiter = CapacityLimiter(1)

    async def support_document(self, _request: Request) -> Response:
        # Whose database has the keys may have to wait for it.
        published = await to_thread.run_sync(
            self._provider.keys.published_or_remembered,
            self._clock(),
            self._remembered,
            limiter=self._document_limiter,
        )
        document = support_document([key.to_json(self._spelling) for key in published.keys])
        if self._provider.fallback is not None:
            document["grant-types"] = [each for each in GRANT_TYPES if each != "password"]
        # As old as it is here: no copy of it becomes older than any other.
        life = max(0, self._document_life - published.age)
        return JSONResponse(document, headers={"Cache-Control": f"max-age={life // 1000}"})

    async def certify(self, request: Request) -> Response:
        return await self._decide(request, self._certifier.certify)

    async def device_authorization(self, request: Request) -> Response:
        return await self._decide(request, self._certifier.begin_device)

    async def revocations(self, request: Request) -> Response:
        # Apart from those who sign in: however many they are, servers learn what is revoked.
        published = await to_thread.run_sync(
            self._provider.revocations.published, self._clock(), limiter=self._list_limiter
        )
        tag = f'"{published.version}"'
        # Whoever keeps a copy asks each time whether it still holds: a minute is all there is.
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(published.text, media_type=MEDIA_TYPE, headers=headers)

    async def _decide(
        self, request: Request, decide: Callable[[bytes, str, int], Members]
    ) -> Response:
        _check_type(request)
        body = await read_body(request)
        if self._limiter.statistics().tasks_waiting >= _MAX_WAITING:
            raise RefusedError(503, "busy", "too many people are signing in", retry_after=1)
        client = self.client_of(request)
        began = time.monotonic()
        # Hashing a password takes a processor for a while, so it is done in threads, a few at once.
        try:
            answer = await to_thread.run_sync(
                decide, body, client, self._clock(), limiter=self._limiter
            )
        except RefusedError as error:
            if error.word == "wrong-credentials":
                await self._provider.outside.backends.hold_back(began)
            raise
        return JSONResponse(answer, headers=_NO_STORE)

    def client_of(self, request: Request) -> str:
        """The IP address of the client a request comes from.

        :raises RefusedError: bad-request: it is not known, as the connection has ended already.
        """
        if request.client is None:
            raise RefusedError(400, "bad-request", "the client has gone")
        peer = plain_address(request.client.host)
        return self._proxies.client(peer, request.headers.getlist("X-Forwarded-For"))


def longest_in_memory(document_life: int) -> int:
    """Ms for which a host publishes its keys from memory, where its database is away.

    For as long as others may keep their copies anyway (PROTOCOL.md section 2), so that a key that
    was withdrawn meanwhile is taken for good by nobody for longer than it may be in any case.

    :param document_life: what they are told, in ms.
    """
    return max(document_life, _LEAST_COPY_MS)


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
        "device-authorization": DEVICE_AUTHORIZATION,
        "revocations": REVOCATIONS,
        "grant-types": list(GRANT_TYPES),
    }


def _check_type(request: Request) -> None:
    if plain_type(request) != "application/json":
        raise RefusedError(
            415, "unsupported-media-type", "the request has to be application/json, uncompressed"
        )


_NO_STORE: Final = {"Cache-Control": "no-store"}


def _for_people(
    site: Site, refusal_of: Callable[[Exception], RefusedError]
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answers an error, with a page where a browser asks."""

    async def answer(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        page = wants_page(request)
        response = site.error_page(request, refusal) if page else _answer(refusal)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    return answer


def _refusal(error: Exception) -> RefusedError:
    return cast(RefusedError, error)


def _http_error(error: Exception) -> RefusedError:
    error = cast(HTTPException, error)
    word = error.detail.lower().replace(" ", "-")
    return RefusedError(error.status_code, word, f"{error.detail}.")


def _broken(error: Exception) -> RefusedError:
    _logger.error("%s", error)
    if isinstance(error, UnavailableStoreError):
        return RefusedError(
            503,
            "unavailable",
            "the identity provider cannot reach its database at the moment: try again in a little"
            " while",
            Code.INTERACT_UNAVAILABLE,
            retry_after=TRY_AGAIN_S,
        )
    return _unexpected(error)


def _unexpected(_error: Exception) -> RefusedError:
    message = "the identity provider is out of order; its administrator finds out why in its log"
    return RefusedError(500, "internal", message)


def _answer(refusal: RefusedError) -> Response:
    headers = dict(_NO_STORE)
    if refusal.retry_after:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "BrowserID-Password"
    content = {"error": refusal.word, "message": refusal.message}
    return JSONResponse(content, refusal.status, headers)


class _SecurityHeaders:
    """Adds what every answer has to have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
