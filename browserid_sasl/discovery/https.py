"""One HTTPS request and its answer, bounded in time and size, with TLS always verified.

Built on httpcore's connection, which gets its octets from a stream that is passed in: ours ends at
a deadline and after so many octets. There are no sessions, redirects, proxies and decoders to take
away, and nothing is believed that the environment says.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpcore

from browserid_sasl.discovery.dialing import Deadline, Dialer
from browserid_sasl.discovery.rooms import Room
from browserid_sasl.discovery.trust import tls_context
from browserid_sasl.errors import Code, DiscoveryError, NoProviderError

MAX_OVERHEAD: Final = 32_768
"""Octets that an answer may have besides its document: headers, and the framing of chunks."""

_HTTPS_PORT: Final = 443
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")

_OF_SOMEBODY_ELSE: Final = frozenset({18, 62})
"""OpenSSL's numbers for a certificate that nobody but itself has signed, and one for another name:
what a host has that does something else, as many a mail server does."""


@dataclass(frozen=True, slots=True)
class Origin:
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
        """The host's name, without the brackets of an IPv6 address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port to connect to."""
        return urlsplit(self.url).port or _HTTPS_PORT


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered.

    :param status: HTTP status code.
    :param headers: of the response, by names in lower case. The values of a header that came
        several times are joined by commas.
    :param body: its octets.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpsClient:
    """Makes requests. Safe for threads.

    :param timeout: s from the first look at the name to the last octet.
    :param max_size: octets of the answer's body at the most.
    :param dialer: opens the connections.
    :param room: for requests under way.
    """

    timeout: float
    max_size: int
    dialer: Dialer
    room: Room

    def get(
        self, origin: Origin, path: str, query: Mapping[str, str], *more: tuple[str, str]
    ) -> Answer:
        """Ask for a document; the status is not judged.

        :param more: headers.
        :raises DiscoveryError: http-error, unavailable.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        return self._exchange(origin, "GET", target, None, *more)

    def submit(
        self, origin: Origin, path: str, form: Mapping[str, str], *more: tuple[str, str]
    ) -> Answer:
        """Send a form; the status is not judged.

        :param more: headers.
        :raises DiscoveryError: http-error, unavailable.
        """
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        return self._exchange(origin, "POST", path, urlencode(form).encode(), kind, *more)

    def post(self, origin: Origin, path: str, body: bytes) -> Answer:
        """Send a JSON document; the status is not judged.

        :raises DiscoveryError: http-error, unavailable.
        """
        return self._exchange(origin, "POST", path, body, ("Content-Type", "application/json"))

    def _exchange(
        self, origin: Origin, method: str, target: str, body: bytes | None, *more: tuple[str, str]
    ) -> Answer:
        headers = [
            ("Host", origin.url.removeprefix("https://")),
            ("Accept", "application/json, application/jwt"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *more,
        ]
        deadline = Deadline.after(self.timeout)
        leave = self.room.enter(origin.host)
        try:
            stream = self._connect(origin, deadline)
            with httpcore.HTTP11Connection(httpcore.URL(origin.url).origin, stream) as connection:
                request = connection.stream(
                    method, origin.url + target, headers=headers, content=body
                )
                with request as response:
                    return self._read(response, stream)
        except DiscoveryError:
            raise
        except Exception as error:
            # Whatever a server makes the libraries raise, its clients get an error of ours.
            if deadline.passed:
                raise _failed(origin.host, f"did not answer within {self.timeout:g} s") from None
            raise _failed(origin.host, f"broke off ({type(error).__name__})") from None
        finally:
            leave()

    def _connect(self, origin: Origin, deadline: Deadline) -> BoundedStream:
        context = tls_context(origin.ca_file)
        connection = self.dialer.dial(origin.host, origin.port, deadline, private=origin.private)
        # It is closed by whatever fails here, and by the stream from then on.
        with connection:
            connection.settimeout(deadline.remaining())
            try:
                secure = context.wrap_socket(connection, server_hostname=origin.host)
            except ssl.SSLError as error:
                raise _untrusted(origin, error) from None
        return BoundedStream(secure, deadline, origin.host, self.max_size)

    @staticmethod
    def _read(response: httpcore.Response, stream: BoundedStream) -> Answer:
        if response.extensions["http_version"] not in _VERSIONS:
            raise httpcore.RemoteProtocolError("unknown version")
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            stream.check(len(body))
        headers: dict[str, str] = {}
        for name, value in response.headers:
            key, text = name.decode("ascii").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return Answer(response.status, headers, bytes(body))


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every read and write ends at one deadline, and that gives so many octets.

    httpcore's own time limits, which start anew with each octet, are not used.

    :param connection: to the server; the stream closes it.
    :param deadline: of the whole exchange.
    :param host: the server's name, for messages.
    :param max_size: octets of the document that is to be read.
    """

    def __init__(
        self, connection: ssl.SSLSocket, deadline: Deadline, host: str, max_size: int
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._host = host
        self._max_size = max_size
        self._left = max_size + MAX_OVERHEAD

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See `httpcore.NetworkStream`.

        :raises DiscoveryError: http-error when the server has sent too much.
        :raises OSError: when the connection or the time is over.
        """
        if self._left == 0:
            raise self._too_much()
        self._connection.settimeout(self._deadline.remaining())
        octets = self._connection.recv(min(max_bytes, self._left))
        self._left -= len(octets)
        return octets

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See `httpcore.NetworkStream`.

        :raises WriteError: when the server has closed the connection; it may have said why.
        :raises TimeoutError: when the time is over.
        """
        try:
            while buffer:
                self._connection.settimeout(self._deadline.remaining())
                buffer = buffer[self._connection.send(buffer) :]
        except TimeoutError:
            raise
        except OSError as error:
            raise httpcore.WriteError(str(error)) from None

    def close(self) -> None:
        """See `httpcore.NetworkStream`."""
        self._connection.close()

    def check(self, size: int) -> None:
        """Whether a document of that size may be read on.

        :raises DiscoveryError: http-error when it is too large.
        :raises TimeoutError: when the time is over: small chunks cost time without any reading.
        """
        if size > self._max_size:
            raise self._too_much()
        self._deadline.remaining()

    def _too_much(self) -> DiscoveryError:
        return _failed(self._host, f"sent more than the {self._max_size} octets permitted")


def _untrusted(origin: Origin, error: ssl.SSLError) -> DiscoveryError:
    why = getattr(error, "verify_message", "") or error.reason or "no TLS"
    foreign = getattr(error, "verify_code", 0) in _OF_SOMEBODY_ELSE
    return (NoProviderError if foreign else DiscoveryError)(
        Code.HTTP_ERROR,
        f"{origin.host} cannot prove who it is: {why}",
        "its TLS certificate has to be valid for this name and signed by a trusted authority "
        "(`ca_file` in the configuration names another one)",
    )


def _failed(host: str, what: str) -> DiscoveryError:
    """What is raised when a server does not answer as it should."""
    return DiscoveryError(
        Code.HTTP_ERROR,
        f"the identity provider at {host} {what}",
        "try again later, or tell its administrator",
    )
