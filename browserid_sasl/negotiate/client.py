"""HTTP ``Negotiate`` for the package `requests`.

    session = requests.Session()
    session.mount("https://", NegotiateAdapter())
    session.auth = NegotiateAuth("intranet.example.org")

A token goes only to the hosts that are named, over TLS whose certificate was verified, and is bound
to that certificate. An answer is believed only if it has the server's own token in it: whoever
cannot make that had no part in the login.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar
from urllib3 import BaseHTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from browserid_sasl.api import Client
from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.negotiate import header
from browserid_sasl.sasl.channel_binding import tls_server_end_point

_MOST_ROUNDS: Final = 3
"""A login, one again without a ticket, and an extra round trip."""

_MOST_DRAINED: Final = 65_536
"""Octets of a refusal that are read, for its connection to be used again."""

_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = "WWW-Authenticate"


class _Connection(HTTPSConnection):
    """One that still knows the server's certificate when the server has closed it."""

    peer_certificate: bytes | None = None

    def connect(self) -> None:
        super().connect()
        self.peer_certificate = self.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class NegotiateAdapter(HTTPAdapter):
    """A transport that knows of each response which certificate the server had.

    Its parameters are those of `requests.adapters.HTTPAdapter`.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Have the connections remember it."""
        super().init_poolmanager(*arguments, **options)
        _remembering(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Those through a proxy too: it is the certificate at the tunnel's other end."""
        return _remembering(super().proxy_manager_for(*arguments, **options))

    def build_response(
        self, request: requests.PreparedRequest, resp: BaseHTTPResponse
    ) -> requests.Response:
        """Note the certificate in the response."""
        response = super().build_response(request, resp)
        connection = resp.connection
        if isinstance(connection, _Connection):
            response.peer_certificate = connection.peer_certificate  # type: ignore[attr-defined]
        return response


def _remembering(manager: Any) -> Any:
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _Pool}
    return manager


def _client(identity: str, hostname: str) -> Client:
    return Client(service="http", hostname=hostname, identity=identity)


class NegotiateAuth(AuthBase):
    """Logs in to servers that ask for it. Safe for threads.

    :param hosts: names of those that may learn who you are, as they are in the addresses. A
        redirection elsewhere gets no token.
    :param identity: the address to log in as; the configured or only one when empty.
    :param client: makes the client for a host, in place of one with the machine's configuration.
    """

    def __init__(
        self, *hosts: str, identity: str = "", client: Callable[[str], Client] | None = None
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._client = client or partial(_client, identity)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Have the response to a request looked at."""
        position = _position(request.body)
        request.register_hook("response", partial(self._respond, position))  # type: ignore[no-untyped-call]
        return request

    def _respond(
        self, position: int | None, response: requests.Response, **options: Any
    ) -> requests.Response:
        """Log in if that is what the response asks for.

        :raises BrowserIDError: nobody is signed in, the server refuses and says why, or what
            answers has not proven to have taken part in the login.
        """
        if response.status_code != _UNAUTHORIZED or not self._may_learn(response.url):
            return response
        # Of a server whose certificate nobody looks at it is not known which one it is.
        if options.get("verify") is False:
            return response
        if _offered(response) is None:
            return response
        host = urlsplit(response.url).hostname or ""
        initiator = self._client(host).initiate(channel_binding=_binding(response))
        token = initiator.step()
        for _ in range(_MOST_ROUNDS):
            response = _send_again(response, token or b"", position, options)
            token = _step(initiator, response)
            if token is None:
                return response
        raise RemoteProtocolError(
            Code.BAD_CONTEXT_TOKEN, "the login comes to no end: the server asks for ever more"
        )

    def _may_learn(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme == "https" and parts.hostname in self._hosts


def _position(body: object) -> int | None:
    """Where a body begins that is read from a file, None for others."""
    tell = getattr(body, "tell", None)
    return tell() if tell else None


def _offered(response: requests.Response) -> bytes | None:
    """The token with which the server asks, maybe empty; None if it does not ask."""
    for value in response.headers.get(_CHALLENGE, "").split(","):
        token = header.read(value)
        if token is not None:
            return token
    return None


def _binding(response: requests.Response) -> bytes:
    certificate: bytes | None = getattr(response, "peer_certificate", None)
    if certificate is None:
        raise LocalProtocolError(
            Code.MISSING_CHANNEL_BINDINGS,
            "the server's certificate is not known, to which the login has to be bound",
            'mount the transport: session.mount("https://", NegotiateAdapter())',
        )
    return header.application_data(tls_server_end_point(certificate))


def _step(initiator: PlainInitiator, response: requests.Response) -> bytes | None:
    """Take the server's token: the next one to send, None when the login is complete."""
    accepted = response.status_code != _UNAUTHORIZED
    # Before the last message of an extra round trip the server has proven itself already.
    proven = initiator.complete
    if proven and accepted:
        return None
    answer = _offered(response)
    if answer and not proven:
        token = initiator.step(answer)
        if initiator.complete and accepted:
            return None
        if token is not None and not accepted:
            return token
    raise RemoteProtocolError(
        Code.MISSING_SIGNATURE,
        f"{urlsplit(response.url).hostname} answers {response.status_code} without the token that"
        " proves that the login was with it",
        "it refuses without saying why, or somebody else answers in its place",
    )


def _send_again(
    response: requests.Response, token: bytes, position: int | None, options: dict[str, Any]
) -> requests.Response:
    """The request that was answered, now with a token."""
    response.raw.read(_MOST_DRAINED)
    response.close()
    request: Any = response.request.copy()
    _rewind(request, position)
    jar = request._cookies
    extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]
    request.prepare_cookies(jar)
    request.headers["Authorization"] = header.write(token)
    again: requests.Response = response.connection.send(request, **options)
    again.history = [*response.history, response]
    again.request = request
    return again


def _rewind(request: requests.PreparedRequest, position: int | None) -> None:
    body: Any = request.body
    if body is None or isinstance(body, bytes | str):
        return
    if position is None:
        raise LocalProtocolError(
            Code.INVALID_USAGE,
            "the request has a body that cannot be sent a second time, with the login",
            "give it as octets or as a file, or log in with a request without a body before",
        )
    body.seek(position)
