"""All pages put together: how a request finds its page, and what becomes of its errors."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from browserid_sasl.idp.web import (
    account,
    admin_log,
    admin_people,
    admin_system,
    authentication,
    by_request,
    device,
    embedding,
    invitation,
    machines,
    mailed,
    paths,
    questions,
    signin,
    switches,
    upstream,
)
from browserid_sasl.idp.web.assets import ASSETS
from browserid_sasl.idp.web.by_request import CHALLENGE
from browserid_sasl.idp.web.errors import error_page, wants_page
from browserid_sasl.idp.web.forms import read_form
from browserid_sasl.idp.web.visit import House, Page, Visit
from browserid_sasl.web.refusal import RefusedError

PAGES: Final[Sequence[Page]] = (
    *authentication.PAGES,
    *embedding.PAGES,
    *device.PAGES,
    *machines.PAGES,
    *signin.PAGES,
    *upstream.PAGES,
    *by_request.PAGES,
    *questions.PAGES,
    *invitation.PAGES,
    *switches.PAGES,
    *account.PAGES,
    *admin_people.PAGES,
    *admin_log.PAGES,
    *admin_system.PAGES,
)
"""Every page of a domain's provider. Whoever adds a module with pages adds it here."""

FALLBACK_PAGES: Final[Sequence[Page]] = (
    *authentication.PAGES,
    *embedding.PAGES,
    *device.PAGES,
    *machines.PAGES,
    *mailed.PAGES,
    *upstream.PAGES,
    *switches.PAGES,
    *account.PAGES_WITHOUT_MEANS,
)
"""Every page of a fallback provider, whose people sign in by mail, or at a provider that stands for
their domain, and have nothing to change."""

LOOKING_THREADS: Final = 32
"""Of a fallback provider, which waits for other people's web servers."""

_THREADS: Final = 4
_HASHING_THREADS: Final = max(1, min(4, os.cpu_count() or 1))
_MAX_WAITING: Final = 32


class Site:
    """The pages of a provider.

    :param house: what they share.
    :param client_of: tells a request's IP address.
    :param clock: ms.
    """

    def __init__(
        self, house: House, client_of: Callable[[Request], str], clock: Callable[[], int]
    ) -> None:
        self._house = house
        self._client_of = client_of
        self._clock = clock
        # Those who hash have threads of their own, so that the other pages go on to be quick.
        self._quick = CapacityLimiter(_THREADS)
        self._backends = house.provider.outside.backends
        stands_in = house.provider.fallback is not None
        self._pages = FALLBACK_PAGES if stands_in else PAGES
        looking = LOOKING_THREADS if stands_in else 0
        self._hashing = CapacityLimiter(_HASHING_THREADS + self._backends.most_at_once + looking)

    def routes(self) -> list[Route]:
        """The routes of all pages."""
        pages = [
            Route(page.path, self._endpoint(page), methods=page.methods) for page in self._pages
        ]
        static = Route(f"{paths.STATIC}/{{name}}", _static, methods=["GET"])
        return [*pages, static, Route(paths.LOGO, self._logo, methods=["GET"])]

    def error_page(self, request: Request, error: RefusedError) -> Response:
        """The page about an error that happened before, or outside of, a page's own work."""
        visit = Visit(self._house, request, {}, "", self._clock())
        return error_page(visit, error, visit.before, bare=True)

    async def _logo(self, _request: Request) -> Response:
        logo = self._house.provider.look.logo
        if logo is None:
            raise RefusedError(404, "not-found", "Not Found.")
        return Response(logo.content, headers=_KEPT, media_type="image/png")

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            form = await read_form(request) if request.method == "POST" else {}
            slow = page.slow if request.method == "POST" else page.asking
            limiter = self._hashing if slow else self._quick
            if limiter.statistics().tasks_waiting >= _MAX_WAITING:
                raise RefusedError(503, "busy", "too many people are signing in", retry_after=1)
            visit = Visit(self._house, request, form, self._client_of(request), self._clock())
            began = time.monotonic()
            response = await to_thread.run_sync(partial(_answer, page, visit), limiter=limiter)
            # A challenge is no wrong password: it goes on at once, in the same browser.
            if slow and response.status_code == 401 and CHALLENGE not in response.headers:
                await self._backends.hold_back(began)
            return response

        return answer


def _answer(page: Page, visit: Visit) -> Response:
    try:
        return page.answer(visit)
    except RefusedError as error:
        visit.record(error, visit.session.email if visit.session else "")
        if not wants_page(visit.request):
            raise
        return error_page(visit, error, page.back(visit))


_KEPT: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def _static(request: Request) -> Response:
    asset = ASSETS.get(request.path_params["name"])
    if asset is None:
        raise RefusedError(404, "not-found", "Not Found.")
    return Response(asset.content, headers=_KEPT, media_type=asset.media_type)
