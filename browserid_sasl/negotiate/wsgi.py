"""A WSGI application behind a login by HTTP ``Negotiate``.

Each request is a login of its own. Where one takes more than one message of the client's, because
there is an extra round trip, what goes on is kept in this process until the next request, by a
cookie that is good once: several worker processes then need one that is always the same client's.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.api import Server
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.negotiate import header
from browserid_sasl.sasl.channel_binding import tls_server_end_point

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

CONTEXT: Final = "browserid.context"
"""Where in the environment of a request its `SecurityContext` is."""

_COOKIE: Final = "browserid-exchange"
_MOST_PENDING: Final = 1_000
_PENDING_S: Final = 60.0
_CHALLENGE: Final = "WWW-Authenticate"

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Pending:
    """An exchange that waits for the client's next message."""

    acceptor: PlainAcceptor
    until: float


class _PendingExchanges:
    """Those of this process: a limited number, each for a limited time, and taken once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._all: OrderedDict[str, _Pending] = OrderedDict()

    def keep(self, acceptor: PlainAcceptor) -> str:
        """The name by which `take` finds it."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._all[name] = _Pending(acceptor, self._clock() + _PENDING_S)
            # The oldest goes first: all live equally long.
            while len(self._all) > _MOST_PENDING:
                self._all.popitem(last=False)
        return name

    def take(self, name: str) -> PlainAcceptor | None:
        """The exchange, if there is one of this name that has not expired."""
        with self._lock:
            pending = self._all.pop(name, None)
        return pending.acceptor if pending and self._clock() < pending.until else None


class NegotiateMiddleware:
    """Lets only those through to an application who have logged in. Safe for threads.

    The application finds the address in ``REMOTE_USER``, and the context under `CONTEXT`.

    :param application: what is behind it.
    :param server: says who may log in, which is nobody until it is told; made with the service
        ``http`` and the name that is in the address that people open.
    :param certificate: the file with the certificate that TLS clients of this service see, of a
        proxy if one ends TLS; PEM, its own certificate first.
    :param clock: s.
    :raises LocalProtocolError: invalid-parameter when no channel binding can be made of the
        certificate.
    """

    def __init__(
        self,
        application: WSGIApplication,
        server: Server,
        certificate: Path,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._application = application
        self._server = server
        own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        binding = tls_server_end_point(own.public_bytes(Encoding.DER))
        self._binding = header.application_data(binding)
        # Apart, so that strangers who send tickets that nobody knows push out nobody else.
        self._verified = _PendingExchanges(clock)
        self._unknown = _PendingExchanges(clock)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        # Only what is proven below says who it is, whatever is in front of this.
        for name in ("REMOTE_USER", "AUTH_TYPE", CONTEXT):
            environ.pop(name, None)
        try:
            token = header.read(environ.get("HTTP_AUTHORIZATION", ""))
            if not token:
                return _refuse(start_response, header.SCHEME)
            return self._log_in(token, environ, start_response)
        except BrowserIDError:
            return _refuse(start_response, header.SCHEME)

    def _log_in(
        self, token: bytes, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        name = _cookie(environ)
        acceptor = (
            self._verified.take(name)
            or self._unknown.take(name)
            or self._server.accept(channel_binding=self._binding)
        )
        answer = acceptor.step(token)
        if acceptor.complete:
            return self._serve(acceptor, answer, environ, start_response)
        challenge = header.write(answer) if answer else header.SCHEME
        if acceptor.failure:
            return _refuse(start_response, challenge)
        pending = self._verified if acceptor.awaits_proof else self._unknown
        return _refuse(start_response, challenge, pending.keep(acceptor))

    def _serve(
        self,
        acceptor: PlainAcceptor,
        answer: bytes | None,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        environ["REMOTE_USER"] = acceptor.context.identity
        environ["AUTH_TYPE"] = header.SCHEME
        environ[CONTEXT] = acceptor.context

        # None at the end of an extra round trip: the answer before has proven all there is.
        ours: Headers = [(_CHALLENGE, header.write(answer))] if answer else []
        if _cookie(environ):
            ours.append(("Set-Cookie", _set_cookie("", 0)))

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            own = [(name, value) for name, value in headers if name.lower() != _CHALLENGE.lower()]
            return start_response(status, own + ours, *exc_info)

        return self._application(environ, start)


def _cookie(environ: dict[str, Any]) -> str:
    try:
        morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _set_cookie(value: str, seconds: float) -> str:
    life = f"Max-Age={seconds:.0f}; Path=/"
    return f"{_COOKIE}={value}; {life}; Secure; HttpOnly; SameSite=Strict"


def _refuse(start_response: StartResponse, challenge: str, exchange: str = "") -> Iterable[bytes]:
    body = b"log in with an e-mail identity: this server asks for HTTP Negotiate\n"
    headers: Headers = [
        (_CHALLENGE, challenge),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if exchange:
        headers.append(("Set-Cookie", _set_cookie(exchange, _PENDING_S)))
    start_response("401 Unauthorized", headers)
    return [body]
