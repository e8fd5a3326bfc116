"""The provider as a running process: TLS, a socket, signals (with uvicorn)."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.records import Record

_MAX_CONNECTIONS: Final = 1000
_CONNECTION_LIFE_S: Final = 60
_SHUTDOWN_S: Final = 5
_GOODBYE_S: Final = 0.2


class Listener(Record):
    """Where and as whom to serve.

    :param host: IP address or name to listen on.
    :param port: TCP port; 0 for one that is free.
    :param certificate: PEM file with the server's certificate and its chain.
    :param key: PEM file with the private key.
    :param proxies: addresses and networks of proxies, whose word is taken for the address a
        client has (X-Forwarded-For). Nobody else's is: anybody can write such a header.
    """

    host: str
    port: int
    certificate: Path
    key: Path
    proxies: tuple[str, ...] = ()

    def open(self) -> socket.socket:
        """Start listening.

        :raises ConfigurationError: it is not possible there.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            both = family == socket.AF_INET6 and self.host == "::"
            return socket.create_server(address, family=family, backlog=128, dualstack_ipv6=both)
        except OSError as error:
            raise ConfigurationError(
                f"can not listen on {self.host} port {self.port} ({error.strerror})",
                "choose another address or port with --listen and --port",
            ) from None

    def check_tls(self) -> None:
        """See whether certificate and key can be used.

        :raises ConfigurationError: they can not.
        """
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate, self.key, password=_no_password
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the TLS certificate {self.certificate} with the key {self.key} can not be used "
                f"({getattr(error, 'strerror', None) or error})",
                "give PEM files that belong together, the key not encrypted",
            ) from None


def serve(app: ASGIApp, listener: Listener, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    :param ready: called with the server's URL once it accepts connections.
    :raises ConfigurationError: the socket or the certificate can not be used.
    """
    listener.check_tls()
    with listener.open() as listening:
        server = make_server(app, listener, lambda: ready(url_of(listening)))
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn puts its own handlers over these and, when it has stopped, raises the signal
            # again: then it has nothing left to do.
            signal.signal(number, server.stop)
        server.run(sockets=[listening])


def make_server(app: ASGIApp, listener: Listener, ready: Callable[[], None]) -> Server:
    """A server that is not running yet.

    :param ready: called once it accepts connections.
    """
    return Server(_config(app, listener), ready)


def url_of(listening: socket.socket) -> str:
    """Where a socket is listening, as a URL."""
    host, port = listening.getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and can be told to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def stop(self, *_signal: object) -> None:
        """Let requests under way end, and stop. Can be used as a signal's handler."""
        self.should_exit = True


class _MortalConnection(H11Protocol):
    """A connection that ends after a while, whatever the client does, or does not do, on it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        asyncio.get_running_loop().call_later(_CONNECTION_LIFE_S, transport.abort)

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is None or self.cycle.response_complete:
            # An idle client need not notice that TLS ends, and would be waited for.
            asyncio.get_running_loop().call_later(_GOODBYE_S, self.transport.abort)


def _config(app: ASGIApp, listener: Listener) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=listener.certificate,
        ssl_keyfile=listener.key,
        loop="asyncio",
        http=_MortalConnection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=bool(listener.proxies),
        forwarded_allow_ips=list(listener.proxies),
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )


def _no_password() -> str:
    raise ValueError("the key is encrypted")
