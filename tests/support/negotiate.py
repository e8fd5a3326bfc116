"""A person and web servers with TLS that let in who logs in by HTTP Negotiate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import requests
import trustme
import uvicorn

from browserid_sasl.api import Client, Server
from browserid_sasl.config import load
from browserid_sasl.negotiate.client import NegotiateAdapter, NegotiateAuth
from browserid_sasl.negotiate.wsgi import NegotiateMiddleware
from tests.support.patience import wait_until
from tests.support.sample_programs import DOMAIN, Realm

HOST = "localhost"
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass
class Seen:
    """What the application behind a login was asked.

    :param users: who asked.
    :param bodies: with what.
    """

    users: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.users.append(environ["REMOTE_USER"])
        self.bodies.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic")])
        return [environ["REMOTE_USER"].encode()]


class Web:
    """Servers, and the person who asks them.

    :param realm: whose.
    :param folder: for files.
    """

    def __init__(self, realm: Realm, folder: Path, stack: ExitStack) -> None:
        self.realm = realm
        self._folder = folder
        self._stack = stack
        self._authority = trustme.CA()
        self.anchors = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.anchors))
        self.seen = Seen()

    def certificate(self) -> Path:
        """A new one for this host, with its key."""
        issued = self._authority.issue_cert(HOST, "127.0.0.1")
        path = self._folder / f"{len(list(self._folder.iterdir()))}.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def server(self, *, allow: Iterable[str] | None = (DOMAIN,), **options: str) -> Server:
        """What decides; with options of its section of the configuration."""
        config = load(self.realm.config_file).with_options({"backend": "memory"}, section="store")
        return Server(config.with_options(options), "http", HOST, allow=allow)

    def protected(self, certificate: Path, **options: Any) -> NegotiateMiddleware:
        """The application behind a login."""
        return NegotiateMiddleware(self.seen, self.server(**options), certificate)

    def serve(
        self, application: Application, certificate: Path | None, kind: str = "wsgiref"
    ) -> int:
        """Serve until the test ends, on the port that is given back."""
        serving = {"wsgiref": _wsgiref, "uvicorn": _uvicorn}[kind]
        return self._stack.enter_context(serving(application, certificate))

    def client(self, host: str) -> Client:
        """The person's client for a host, without tickets."""
        own = load(self.realm.config_file).with_options({"backend": "memory"}, section="store")
        return Client(own, "http", host, credentials=self.realm.person())

    def session(
        self, *hosts: str, client: Callable[[str], Client] | None = None
    ) -> requests.Session:
        """A session that logs in to these hosts."""
        session = self._stack.enter_context(requests.Session())
        session.trust_env = False
        session.verify = str(self.anchors)
        session.mount("https://", NegotiateAdapter())
        session.auth = NegotiateAuth(*(hosts or (HOST,)), client=client or self.client)
        return session


@contextmanager
def _wsgiref(application: Application, certificate: Path | None) -> Iterator[int]:
    """HTTP/1.0: it closes after each answer."""
    with make_server("127.0.0.1", 0, application, _Threading, _Quiet) as server:
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _uvicorn(application: Application, certificate: Path | None) -> Iterator[int]:
    """HTTP/1.1: it keeps connections."""
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            port=0,
            interface="wsgi",
            ssl_certfile=certificate,
            ssl_keyfile=certificate,
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "uvicorn's start")
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
