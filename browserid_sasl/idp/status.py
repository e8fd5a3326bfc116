"""How a provider that serves is: for monitoring, on a listener of its own, and for no stranger.

| path | answer |
| --- | --- |
| `GET /health` | 200 as long as the process answers at all |
| `GET /ready` | 200 if its database answers and it has a key to sign with, else 503 and why |
| `GET /ready?domain=DOMAIN` | the same of one domain, where there are several |
| `GET /metrics` | numbers, as Prometheus reads them |

Where there are several domains, the host is ready as long as one of them is: else what breaks one
would have all of them sent elsewhere, or nowhere. The answer has a line for each.

Names in the numbers are of domains that are configured, and of events and paths that there are in
the program, so nobody who asks for something makes them more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from anyio import CapacityLimiter, create_task_group, to_thread
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
            "Events of the audit log, by domain, and by their word there.",
            ["domain", "event"],
            registry=self._registry,
        )
        self._requests = Histogram(
            "browserid_idp_request_seconds",
            "Requests by domain, path and status, and how long their answers took.",
            ["domain", "path", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )

    def counting(self, domain: str) -> Callable[[Event], None]:
        """What counts an event that is in the audit log of a domain."""
        # Rates begin at nothing, and not at the first one.
        for event in Event:
            self._events.labels(domain, event.value)
        return lambda event: self._events.labels(domain, event.value).inc()

    def measuring(self, app: ASGIApp, domain: str) -> ASGIApp:
        """An application whose requests are counted as those of a domain; empty for none."""

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
                self._requests.labels(domain, path, status).observe(time.monotonic() - began)

        return measured

    def text(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self._registry)


@dataclass(frozen=True, slots=True)
class Watched:
    """A domain, and what tells whether its provider is ready.

    :param domain: its name.
    :param fault: what is wrong, empty if it is ready. It may take as long as a database does.
    """

    domain: str
    fault: Callable[[], str]


def fault_of(provider: Provider, now: int, in_memory: int) -> str:
    """What is wrong with a provider, empty if nothing.

    :param now: ms.
    :param in_memory: ms for which keys are published from memory.
    """
    try:
        provider.database.check()
        provider.keys.active(now)
    except BrowserIDError as error:
        left = provider.keys.remembered_for(now, in_memory) // 1000
        remembered = f"\nits keys are published from memory for {left} s" if left else ""
        return f"{error}{remembered}"
    return ""


def create_status_app(watched: Sequence[Watched], metrics: Metrics) -> ASGIApp:
    """The application that tells.

    :param watched: all domains, one at the least.
    """
    # One domain whose database is slow does not keep the others waiting.
    limiters = {each.domain: CapacityLimiter(1) for each in watched}

    async def look(each: Watched, faults: dict[str, str]) -> None:
        limiter = limiters[each.domain]
        faults[each.domain] = await to_thread.run_sync(each.fault, limiter=limiter)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(request: Request) -> Response:
        wanted = request.query_params.get("domain")
        asked = [each for each in watched if wanted in (None, each.domain)]
        if not asked:
            return PlainTextResponse("there is no such domain\n", 404)
        faults: dict[str, str] = {}
        async with create_task_group() as group:
            for each in asked:
                group.start_soon(partial(look, each, faults))
        status = 503 if all(faults.values()) else 200
        if len(asked) == 1:
            return PlainTextResponse(f"{faults[asked[0].domain] or 'ready'}\n", status)
        lines = [f"{each.domain}: {faults[each.domain] or 'ready'}\n" for each in asked]
        return PlainTextResponse("".join(lines), status)

    async def numbers(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[Route(HEALTH, health), Route(READY, ready), Route(METRICS, numbers)],
    )
