"""A web service as a running process: TLS, a socket, signals (with uvicorn)."""

from __future__ import annotations

import signal
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.connection import HttpConnection
from browserid_sasl.web.door import Capacity, Door
from browserid_sasl.web.quiet import Log, log_quietly
from browserid_sasl.web.server_certificate import HostCertificates, ServerCertificate

_SHUTDOWN_S: Final = 5
_BACKLOG: Final = 512
_TLS_BUFFER: Final = 16_384


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to serve.

    :param host: IP address or name to listen on.
    :param port: TCP port; 0 for one that is free.
    """

    host: str
    port: int

    def open(self) -> socket.socket:
        """Start listening.

        :raises ConfigurationError: it is not possible there.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            both = family == socket.AF_INET6 and self.host == "::"
            return socket.create_server(
                address, family=family, backlog=_BACKLOG, dualstack_ipv6=both
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {self.host} port {self.port} ({error.strerror})",
                "choose another address or port with --listen and --port",
            ) from None


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom to serve, and as whom.

    :param certificate: what the server presents: one, or one for each host.
    :param capacity: how many connections there may be.
    :param proxies: those before it, which have more of them.
    """

    certificate: ServerCertificate | HostCertificates
    capacity: Capacity = field(default_factory=Capacity)
    proxies: Proxies = field(default_factory=Proxies)


@dataclass(frozen=True, slots=True)
class Aside:
    """Another application of the same process, on a socket of its own, without TLS.

    :param app: the application.
    :param listening: as `Listener.open` makes it.
    """

    app: ASGIApp
    listening: socket.socket


_CAPACITY_ASIDE: Final = Capacity(16, 16)


def serve(
    app: ASGIApp,
    listening: socket.socket,
    terms: Terms,
    ready: Callable[[], None],
    *,
    aside: Aside | None = None,
    log: Log = "text",
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param listening: as `Listener.open` makes it.
    :param ready: called once it accepts connections.
    :param aside: what else is served.
    :param log: how the lines of the log on standard error are written.
    :raises ConfigurationError: there cannot be so many files.
    """
    terms.capacity.reserve()
    # asyncio has a buffer of 256 KiB for each connection, which a crowd of silent clients would
    # fill the memory with. A TLS record has no more than this (RFC 8446, section 5.1).
    SSLProtocol.max_size = _TLS_BUFFER
    log_quietly(log)
    server = make_server(app, terms, ready, aside)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn puts its own handlers over these and, when it has stopped, raises the signal
        # again: then it has nothing left to do.
        signal.signal(number, server.stop)
    server.run(sockets=[listening])


def make_server(
    app: ASGIApp, terms: Terms, ready: Callable[[], None], aside: Aside | None = None
) -> WebServer:
    """A server that is not running yet.

    :param ready: called once it accepts connections.
    :param aside: what else is served.
    """
    return WebServer(_config(app), terms, ready, aside)


def place_of(listening: socket.socket) -> dict[str, object]:
    """Where a socket is listening, for programs."""
    address, port = listening.getsockname()[:2]
    return {"url": url_of(listening), "address": address, "port": port}


def url_of(listening: socket.socket) -> str:
    """Where a socket is listening, as a URL."""
    host, port = listening.getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class WebServer(uvicorn.Server):
    """uvicorn's server with a door of its own, which says when it is ready and can be stopped."""

    def __init__(
        self,
        config: uvicorn.Config,
        terms: Terms,
        ready: Callable[[], None],
        aside: Aside | None = None,
    ) -> None:
        super().__init__(config)
        self._terms = terms
        self._ready = ready
        self._aside = aside

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, in place of having asyncio accept what comes."""
        self.servers = []
        self._doors = [self._door(listening) for listening in sockets or ()]
        if self._aside is not None:
            self._doors.append(self._door_aside(self._aside))
        for door in self._doors:
            door.open()
        self.started = True
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, and let requests under way end."""
        for door in self._doors:
            door.close()
        await super().shutdown(sockets)

    def stop(self, *_signal: object) -> None:
        """Let requests under way end, and stop. Can be used as a signal's handler."""
        self.should_exit = True

    def _door(self, listening: socket.socket) -> Door:
        return Door(
            listening,
            self._terms.certificate.context,
            partial(HttpConnection, config=self.config, server_state=self.server_state),
            self._terms.capacity,
            self._terms.proxies,
        )

    def _door_aside(self, aside: Aside) -> Door:
        config = _config(aside.app)
        config.load()
        return Door(
            aside.listening,
            lambda: None,
            partial(HttpConnection, config=config, server_state=self.server_state),
            _CAPACITY_ASIDE,
            Proxies(),
        )


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=HttpConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="warning",
        # Who the client is, the application finds out itself.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
