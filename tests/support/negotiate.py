"""A person and web servers with TLS that let in who logs in by HTTP Negotiate."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import requests
import trustme
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.api import Client, Server
from browserid_sasl.config import load
from browserid_sasl.negotiate import asgi, header
from browserid_sasl.negotiate.client import NegotiateAdapter, NegotiateAuth
from browserid_sasl.negotiate.wsgi import NegotiateMiddleware
from browserid_sasl.sasl.channel_binding import tls_server_end_point
from tests.support.patience import wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import DOMAIN, ROOT, Realm
from tests.support.services import service

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

    async def serve(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """The same for ASGI."""
        self.users.append(scope[asgi.CONTEXT].identity)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Basic")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.users[-1].encode()})


def bound_to(certificate: Path) -> bytes:
    """What a login is bound to by a server with the first certificate of this file."""
    first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return header.application_data(tls_server_end_point(first.public_bytes(Encoding.DER)))


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

    def protected_asgi(self, certificate: Path, **options: Any) -> asgi.NegotiateMiddleware:
        """The same for ASGI."""
        return asgi.NegotiateMiddleware(self.seen.serve, self.server(**options), certificate)

    def serve_protected(self, certificate: Path, kind: str, **options: Any) -> int:
        """Serve the application behind a login until the test ends; its port."""
        if kind == "gunicorn":
            return self._stack.enter_context(self._gunicorn(certificate, options))
        protected = self.protected_asgi if kind == "asgi" else self.protected
        return self.serve(protected(certificate, **options), certificate, kind)

    @contextmanager
    def _gunicorn(self, certificate: Path, options: dict[str, str]) -> Iterator[int]:
        """In a process of its own, which has forked from another, and with threads."""
        program, port = self._folder / "protected.py", free_port()
        program.write_text(_PROGRAM.format(self=self, certificate=certificate, options=options))
        command = (sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}")
        threads = ("--worker-class", "gthread", "--threads", "4", "--keep-alive", "60")
        tls = ("--certfile", certificate, "--keyfile", certificate)
        place = ("--chdir", self._folder, "--pythonpath", ROOT, "protected:application")
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder)}
        log = self._folder / "gunicorn.log"
        with service((*command, *threads, *tls, *place), port, variables, log):
            yield port

    def serve(self, application: Any, certificate: Path | None, kind: str = "wsgiref") -> int:
        """Serve until the test ends, on the port that is given back."""
        serving = {"wsgiref": _wsgiref, "uvicorn": _uvicorn, "asgi": _uvicorn_asgi}[kind]
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


_PROGRAM = """
from pathlib import Path

from browserid_sasl.api import Server
from browserid_sasl.config import load
from browserid_sasl.negotiate.wsgi import NegotiateMiddleware


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]


config = load(Path("{self.realm.config_file}")).with_options({options})
config = config.with_options({{"backend": "memory"}}, section="store")
server = Server(config, "http", "localhost", allow=["example.test"])
application = NegotiateMiddleware(hello, server, Path("{certificate}"))
"""


@contextmanager
def _uvicorn(
    application: Any, certificate: Path | None, interface: Literal["wsgi", "asgi3"] = "wsgi"
) -> Iterator[int]:
    """HTTP/1.1: it keeps connections."""
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            port=0,
            interface=interface,
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


def _uvicorn_asgi(application: Any, certificate: Path | None) -> AbstractContextManager[int]:
    return _uvicorn(application, certificate, "asgi3")
