"""HTTP Negotiate: header fields, and requests as strangers send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.api import Server
from browserid_sasl.gss.plain import PlainAcceptor, PlainInitiator
from browserid_sasl.negotiate import header
from browserid_sasl.negotiate.wsgi import NegotiateMiddleware
from fuzz.jose import as_text
from fuzz.target import Target
from fuzz.worlds import acceptor, initiator, recorded
from tests.support.exchanges import server_certificate
from tests.support.world import AES128

_COOKIE: Final = "browserid-exchange=AAAA"


class _Server:
    """Accepts in the small world, whatever the channel is."""

    def accept(self, *, channel_binding: bytes) -> PlainAcceptor:
        assert channel_binding.startswith(b"tls-server-end-point:")
        return PlainAcceptor([AES128], lambda mechanism: acceptor())


def _hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["REMOTE_USER"].encode()]


@cache
def _protected() -> NegotiateMiddleware:
    with TemporaryDirectory(prefix="fuzz-") as folder:
        certificate = Path(folder) / "certificate.pem"
        certificate.write_bytes(server_certificate().certificate.public_bytes(Encoding.PEM))
        return NegotiateMiddleware(_hello, cast(Server, _Server()), certificate)


def _request(octets: bytes) -> None:
    """A request's two header fields, a line each; refusals are answers, and no errors."""
    authorization, _, cookie = as_text(octets).partition("\n")
    environ = {"HTTP_AUTHORIZATION": authorization, "HTTP_COOKIE": cookie}
    answers: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, fields: list[tuple[str, str]], *exc_info: object) -> Any:
        answers.append((status, fields))

    _protected()(environ, start)
    [(status, fields)] = answers
    assert status[:3] in {"200", "401"}
    assert all(value.isprintable() and value.isascii() for _, value in fields)


def _first_token() -> bytes:
    token = PlainInitiator(AES128, initiator()).step()
    assert token is not None
    return token


def _requests() -> Iterator[bytes]:
    yield header.write(_first_token()).encode()
    yield f"{header.write(b'c,')}\n{_COOKIE}".encode()
    for token in recorded("initiator"):
        yield f"{header.write(token)}\na=b; {_COOKIE}".encode()


TARGETS: Final = (
    Target(
        "negotiate-header",
        lambda octets: header.read(as_text(octets)),
        lambda: (b"Negotiate", b"Negotiate Yywx", b"negotiate  Yywx==", b"Basic Yywx"),
    ),
    Target("negotiate-request", _request, _requests),
)
