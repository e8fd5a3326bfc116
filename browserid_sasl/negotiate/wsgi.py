"""A WSGI application behind a login by HTTP ``Negotiate`` (`browserid_sasl.negotiate.logins`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from browserid_sasl.api import Server
from browserid_sasl.negotiate import header
from browserid_sasl.negotiate.logins import CHALLENGE, CONTEXT, REFUSAL, Headers, Logins

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

__all__ = ["CONTEXT", "NegotiateMiddleware"]


class NegotiateMiddleware:
    """Lets only those through to an application who have logged in. Safe for threads.

    The application finds the address in ``REMOTE_USER``, and the context under `CONTEXT`.

    :param application: what is behind it.
    :param server: see `Logins`, which says what is raised too.
    :param certificate: likewise.
    :param clock: s.
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
        self._logins = Logins(server, certificate, clock)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        # Only what is proven below says who it is, whatever is in front of this.
        for name in ("REMOTE_USER", "AUTH_TYPE", CONTEXT):
            environ.pop(name, None)
        answer = self._logins.answer(
            environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_COOKIE", "")
        )
        if answer.context is None:
            start_response("401 Unauthorized", answer.headers)
            return [REFUSAL]
        environ["REMOTE_USER"] = answer.context.identity
        environ["AUTH_TYPE"] = header.SCHEME
        environ[CONTEXT] = answer.context

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            own = [(name, value) for name, value in headers if name.lower() != CHALLENGE.lower()]
            return start_response(status, own + answer.headers, *exc_info)

        return self._application(environ, start)
