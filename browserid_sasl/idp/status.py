"""How a provider that serves is: for monitoring, on a listener of its own, and for no stranger.

| path | answer |
| --- | --- |
| `GET /health` | 200 as long as the process answers at all |
| `GET /ready` | 200 if its database answers and it has a key to sign with, else 503 and why |
| `GET /metrics` | numbers, as Prometheus reads them |

Names in the numbers are of events and paths that there are in the program, so nobody who asks for
something makes them more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.paths import CERTIFY, DEVICE_AUTHORIZATION, REVOCATIONS, WELL_KNOWN

HEALTH: Final = "/health"
READY: Final = "/ready"
METRICS: Final = "/metrics"

_FOR_PROGRAMS: Final = frozenset({CERTIFY, DEVICE_AUTHORIZATION, REVOCATIONS, WELL_KNOWN})
_PAGES: Final = "pages"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What is counted of a process. Safe for threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "browserid_idp_events",
            "Events of the audit log, by their word there.",
            ["event"],
            registry=self._registry,
        )
        self._requests = Histogram(
            "browserid_idp_request_seconds",
            "Requests by path and status, and how long their answers took.",
            ["path", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        # Rates begin at nothing, and not at the first one.
        for event in Event:
            self._events.labels(event.value)

    def count(self, event: Event) -> None:
        """Count an event that is in the audit log."""
        self._events.labels(event.value).inc()

    def measuring(self, app: ASGIApp) -> ASGIApp:
        """An application whose requests are counted."""

        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            began, status = time.monotonic(), "none"

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            try:
                await app(scope, receive, noting)
            finally:
                path = scope["path"] if scope["path"] in _FOR_PROGRAMS else _PAGES
                self._requests.labels(path, status).observe(time.monotonic() - began)

        return measured

    def text(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self._registry)


def create_status_app(
    provider: Provider, metrics: Metrics, clock: Callable[[], int], in_memory: int
) -> ASGIApp:
    """The application that tells.

    :param clock: ms.
    :param in_memory: ms for which keys are published from memory.
    """
    limiter = CapacityLimiter(1)

    def check() -> None:
        provider.database.check()
        provider.keys.active(clock())

    def remembered() -> str:
        left = provider.keys.remembered_for(clock(), in_memory) // 1000
        return f"its keys are published from memory for {left} s\n" if left else ""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(_request: Request) -> Response:
        try:
            await to_thread.run_sync(check, limiter=limiter)
        except BrowserIDError as error:
            return PlainTextResponse(f"{error}\n{remembered()}", 503)
        return PlainTextResponse("ready\n")

    async def numbers(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[Route(HEALTH, health), Route(READY, ready), Route(METRICS, numbers)],
    )
