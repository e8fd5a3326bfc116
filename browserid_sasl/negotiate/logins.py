"""The server's side of HTTP ``Negotiate``, whatever it is that speaks HTTP.

Each request is a login of its own. Where one takes more than one message of the client's, because
there is an extra round trip, what goes on is kept in this process until the next request, by a
cookie that is good once: several worker processes then need one that is always the same client's.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.api import Server
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.gss.context import SecurityContext
from browserid_sasl.gss.plain import PlainAcceptor
from browserid_sasl.negotiate import header
from browserid_sasl.sasl.channel_binding import tls_server_end_point

CONTEXT: Final = "browserid.context"
"""Where an application finds the `SecurityContext` of its request."""

CHALLENGE: Final = "WWW-Authenticate"
"""The header field that is ours alone in an answer."""

REFUSAL: Final = b"log in with an e-mail identity: this server asks for HTTP Negotiate\n"
"""The body of a 401."""

_COOKIE: Final = "browserid-exchange"
_MOST_PENDING: Final = 1_000
_PENDING_S: Final = 60.0

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do with a request.

    :param context: whose it is, None for nobody's: it is refused with status 401.
    :param headers: fields of the response, beside the application's own.
    """

    context: SecurityContext | None
    headers: Headers


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


class Logins:
    """Logins of one service. Safe for threads.

    :param server: says who may log in, which is nobody until it is told; made with the service
        ``http`` and the name that is in the address that people open.
    :param certificate: the file with the certificate that TLS clients of this service see, of a
        proxy if one ends TLS; PEM, its own certificate first.
    :param clock: s.
    :raises LocalProtocolError: invalid-parameter when no channel binding can be made of the
        certificate.
    """

    def __init__(self, server: Server, certificate: Path, clock: Callable[[], float]) -> None:
        self._server = server
        own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        binding = tls_server_end_point(own.public_bytes(Encoding.DER))
        self._binding = header.application_data(binding)
        # Apart, so that strangers who send tickets that nobody knows push out nobody else.
        self._verified = _PendingExchanges(clock)
        self._unknown = _PendingExchanges(clock)

    def answer(self, authorization: str, cookies: str) -> Answer:
        """Take a request's two header fields, each empty if there is none. It may wait for others.

        :returns: what to do with the request, also where it is refused.
        """
        try:
            token = header.read(authorization)
            if not token:
                return _refusal(header.SCHEME)
            return self._log_in(token, _exchange_of(cookies))
        except BrowserIDError:
            return _refusal(header.SCHEME)

    def _log_in(self, token: bytes, exchange: str) -> Answer:
        acceptor = (
            self._verified.take(exchange)
            or self._unknown.take(exchange)
            or self._server.accept(channel_binding=self._binding)
        )
        answer = acceptor.step(token)
        if acceptor.complete:
            # None at the end of an extra round trip: the answer before has proven all there is.
            ours: Headers = [(CHALLENGE, header.write(answer))] if answer else []
            if exchange:
                ours.append(("Set-Cookie", _set_cookie("", 0)))
            return Answer(acceptor.context, ours)
        challenge = header.write(answer) if answer else header.SCHEME
        if acceptor.failure:
            return _refusal(challenge)
        pending = self._verified if acceptor.awaits_proof else self._unknown
        return _refusal(challenge, pending.keep(acceptor))


def _exchange_of(cookies: str) -> str:
    try:
        morsel = SimpleCookie(cookies).get(_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _set_cookie(value: str, seconds: float) -> str:
    life = f"Max-Age={seconds:.0f}; Path=/"
    return f"{_COOKIE}={value}; {life}; Secure; HttpOnly; SameSite=Strict"


def _refusal(challenge: str, exchange: str = "") -> Answer:
    headers: Headers = [
        (CHALLENGE, challenge),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(REFUSAL))),
        ("Cache-Control", "no-store"),
    ]
    if exchange:
        headers.append(("Set-Cookie", _set_cookie(exchange, _PENDING_S)))
    return Answer(None, headers)
