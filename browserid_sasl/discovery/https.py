"""One HTTPS request and its answer, bounded in time and size, with TLS always verified.

Built on `requests`, without its sessions: those believe the environment (proxies, ~/.netrc, other
trust anchors) and read the whole of a redirect's body, followed or not. Two more of its habits are
taken away: its timeouts bound single reads only, and it connects to whatever address a name has.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from browserid_sasl.discovery.dialing import Deadline, DeadlineSocket, Dialer
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.records import Record, field

_CHUNK: Final = 16_384
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class Origin(Record):
    """A server to ask.

    :param url: ``https://host`` or ``https://host:port``.
    :param ca_file: PEM file of its trust anchors; None for the system's.
    :param private: whether it may have an address that is not public.
    """

    url: str
    ca_file: Path | None = None
    private: bool = False

    @property
    def host(self) -> str:
        """The host's name, for messages."""
        return urlsplit(self.url).hostname or ""


class Answer(Record):
    """What the server answered.

    :param status: HTTP status code.
    :param headers: of the response, by names in any case.
    :param body: its octets.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class HttpsClient(Record):
    """Makes requests.

    :param timeout: s from the first look at the name to the last octet.
    :param max_size: octets of the answer's body at the most.
    :param dialer: opens the connections.
    """

    timeout: float
    max_size: int
    dialer: Dialer = field(default_factory=Dialer)

    def get(self, origin: Origin, path: str, query: Mapping[str, str]) -> Answer:
        """Ask for a document; the status is not judged.

        :raises DiscoveryError: http-error.
        """
        return self._exchange(
            origin, requests.Request("GET", origin.url + path, _HEADERS, params=dict(query))
        )

    def post(self, origin: Origin, path: str, body: bytes) -> Answer:
        """Send a JSON document; the status is not judged.

        :raises DiscoveryError: http-error.
        """
        headers = _HEADERS | {"Content-Type": "application/json"}
        return self._exchange(
            origin, requests.Request("POST", origin.url + path, headers, data=body)
        )

    def _exchange(self, origin: Origin, request: requests.Request) -> Answer:
        deadline = Deadline.after(self.timeout)
        adapter = _Adapter(origin, self.dialer, deadline)
        try:
            seconds = deadline.remaining()
            with adapter.send(request.prepare(), stream=True, timeout=seconds) as response:
                return self._read(origin, response)
        except (requests.RequestException, HTTPError, TimeoutError) as error:
            if deadline.passed:
                raise _failed(origin, f"did not answer within {self.timeout:g} s") from None
            raise _failed(origin, f"broke off ({type(error).__name__})") from None
        finally:
            adapter.close()

    def _read(self, origin: Origin, response: requests.Response) -> Answer:
        body = bytearray()
        while chunk := response.raw.read(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > self.max_size:
                raise _failed(origin, f"sent more than the {self.max_size} octets permitted")
        return Answer(response.status_code, response.headers, bytes(body))


class _Adapter(HTTPAdapter):
    """Connects by way of `_pool_class`, and verifies TLS with the origin's anchors only."""

    def __init__(self, origin: Origin, dialer: Dialer, deadline: Deadline) -> None:
        self._context = _tls_context(origin)
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = {"https": _pool_class(origin, dialer, deadline)}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *_settings: Any, **_more: Any
    ) -> HTTPConnectionPool:
        context = {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}
        pool: HTTPConnectionPool = self.poolmanager.connection_from_url(
            str(request.url), pool_kwargs=context
        )
        return pool

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        # The inherited method would add the anchors that `requests` brings to our context.
        pass


def _tls_context(origin: Origin) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=origin.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise DiscoveryError(
            Code.HTTP_ERROR,
            f"the trust anchors in {origin.ca_file} can not be read ({error.strerror})",
            "`ca_file` has to name a file of PEM certificates",
        ) from None
    context.hostname_checks_common_name = False
    context.sslsocket_class = DeadlineSocket
    return context


def _pool_class(origin: Origin, dialer: Dialer, deadline: Deadline) -> type[HTTPSConnectionPool]:
    class Connection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            port = self.port or 443
            return dialer.dial(self.host, port, deadline, private=origin.private)

        def connect(self) -> None:
            self.timeout = deadline.remaining()
            try:
                super().connect()
            except ssl.SSLError as error:
                raise _untrusted(origin, error) from None
            if isinstance(self.sock, DeadlineSocket):
                self.sock.deadline = deadline

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


def _untrusted(origin: Origin, error: ssl.SSLError) -> DiscoveryError:
    why = getattr(error, "verify_message", "") or error.reason or "no TLS"
    return DiscoveryError(
        Code.HTTP_ERROR,
        f"{origin.host} can not prove who it is: {why}",
        "its TLS certificate has to be valid for this name and signed by a trusted authority "
        "(`ca_file` in the configuration names another one)",
    )


def _failed(origin: Origin, what: str) -> DiscoveryError:
    return DiscoveryError(
        Code.HTTP_ERROR,
        f"the identity provider at {origin.host} {what}",
        "try again later, or tell its administrator",
    )
