"""HTTP Negotiate between `requests` and web servers with TLS, and what neither falls for."""

from __future__ import annotations

import io
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from browserid_sasl.api import Client
from browserid_sasl.errors import (
    Code,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
)
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.negotiate import header
from browserid_sasl.negotiate.client import NegotiateAuth
from browserid_sasl.negotiate.wsgi import NegotiateMiddleware
from tests.support.negotiate import HOST, Web, bound_to
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, Realm

Start = Callable[..., Any]
each_server = pytest.mark.parametrize("kind", ["wsgiref", "uvicorn"])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Servers and a person."""
    with ExitStack() as stack:
        yield Web(Realm(tmp_path, PrivateKey.generate("ES256")), tmp_path, stack)


def once(web: Web) -> Callable[[str], Client]:
    """One client for all logins, which keeps its tickets."""
    client = web.client(HOST)
    return lambda host: client


def code_of(action: Callable[[], object], kind: type[Exception] = RemoteProtocolError) -> Code:
    with pytest.raises(kind) as raised:
        action()
    code = raised.value.code  # type: ignore[attr-defined]
    assert isinstance(code, Code)
    return code


# Logins


@each_server
def test_a_request_logs_in(web: Web, kind: str) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate), certificate, kind)
    session = web.session(client=once(web))
    for _ in range(3):
        response = session.get(f"https://{HOST}:{port}/", timeout=PATIENCE)
        assert (response.status_code, response.text) == (200, ALICE)
        assert [each.status_code for each in response.history] == [401]
        assert "Basic" not in response.headers["WWW-Authenticate"]
    assert web.seen.users == [ALICE] * 3


@each_server
def test_an_extra_round_trip(web: Web, kind: str) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate, extra_round_trip="yes"), certificate, kind)
    session = web.session(client=once(web))
    for _ in range(2):
        response = session.get(f"https://{HOST}:{port}/", timeout=PATIENCE)
        assert (response.status_code, len(response.history)) == (200, 2)


@each_server
def test_a_ticket_that_the_server_has_lost(web: Web, kind: str) -> None:
    certificate, client = web.certificate(), once(web)
    for _ in range(2):
        port = web.serve(web.protected(certificate), certificate, kind)
        response = web.session(client=client).get(f"https://{HOST}:{port}/", timeout=PATIENCE)
        assert response.status_code == 200
    assert len(response.history) == 2


@each_server
def test_bodies(web: Web, kind: str) -> None:
    certificate = web.certificate()
    url = f"https://{HOST}:{web.serve(web.protected(certificate), certificate, kind)}/"
    session = web.session()
    file = io.BytesIO(b"not this: but this")
    file.seek(10)
    for body in (b"octets", "text", file):
        assert session.post(url, data=body, timeout=PATIENCE).status_code == 200
    assert web.seen.bodies == [b"octets", b"text", b"but this"]


def test_a_body_that_is_there_only_once(web: Web) -> None:
    certificate = web.certificate()
    url = f"https://{HOST}:{web.serve(web.protected(certificate), certificate, 'uvicorn')}/"
    body = iter([b"once"])
    code = code_of(lambda: web.session().post(url, data=body, timeout=PATIENCE), LocalProtocolError)
    assert code is Code.INVALID_USAGE
    assert web.seen.users == []


def test_through_a_proxy(web: Web) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate), certificate)
    session = web.session()
    with tunnels() as (proxy, asked):
        session.proxies = {"https": f"http://127.0.0.1:{proxy}"}
        assert session.get(f"https://{HOST}:{port}/", timeout=PATIENCE).text == ALICE
    assert asked
    assert all(b"Negotiate" not in octets for octets in asked)


@contextmanager
def tunnels() -> Iterator[tuple[int, list[bytes]]]:
    """An HTTP proxy, and what it was asked in the clear."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=tunnel, args=(connection, asked), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def tunnel(client: socket.socket, asked: list[bytes]) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    asked.append(request)
    port = int(request.split(b" ")[1].rpartition(b":")[2])
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        other = {client: server, server: client}
        while True:
            for readable in select.select(other, (), ())[0]:
                octets = readable.recv(65_536)
                if not octets:
                    return
                other[readable].sendall(octets)


# Who is refused, and why


def test_nobody_may_log_in_until_it_is_said(web: Web) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate, allow=None), certificate)
    action = web.session().get
    code = code_of(lambda: action(f"https://{HOST}:{port}/", timeout=PATIENCE), PeerRefusedError)
    assert code is Code.NO_LOCAL_MAPPING
    assert web.seen.users == []


def test_somebody_between_with_another_certificate(web: Web) -> None:
    port = web.serve(web.protected(web.certificate()), web.certificate())
    action = web.session().get
    code = code_of(lambda: action(f"https://{HOST}:{port}/", timeout=PATIENCE), PeerRefusedError)
    assert code is Code.CHANNEL_BINDINGS_MISMATCH
    assert web.seen.users == []


def test_a_token_is_good_once(web: Web) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate), certificate)
    url = f"https://{HOST}:{port}/"
    response = web.session().get(url, timeout=PATIENCE)
    fields = {"Authorization": response.request.headers["Authorization"]}
    again = requests.get(url, headers=fields, verify=str(web.anchors), timeout=PATIENCE)
    assert again.status_code == 401
    assert web.seen.users == [ALICE]


HEADERS = ("", "Negotiate", "Negotiate ", "Basic YTpi", "NegotiateYII=", "Negotiate ====")
TOKENS = ("YII=", "YA==YA==", "é", "A" * 20_000, "A" * 16_384)


@pytest.mark.parametrize("value", [*HEADERS, *(f"Negotiate {token}" for token in TOKENS)])
def test_headers_that_are_none(web: Web, value: str) -> None:
    certificate = web.certificate()
    environ = {"HTTP_AUTHORIZATION": value, "REMOTE_USER": ALICE, "AUTH_TYPE": "Negotiate"}
    status, headers = ask(web.protected(certificate), environ)
    assert status == "401 Unauthorized"
    assert headers["WWW-Authenticate"].startswith("Negotiate")
    assert web.seen.users == []


def ask(application: NegotiateMiddleware, environ: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The status and the header of an answer."""
    answers: list[Any] = []

    def start_response(*answer: Any) -> Any:
        answers.append(answer)

    for _ in application(environ, start_response):
        pass
    [(status, headers)] = answers
    return status, dict(headers)


def pending(web: Web, application: NegotiateMiddleware, certificate: bytes) -> tuple[Any, str]:
    """The first half of a login with an extra round trip: the second message, and the cookie."""
    initiator = web.client(HOST).initiate(channel_binding=certificate)
    environ = {"HTTP_AUTHORIZATION": header.write(initiator.step() or b"")}
    _, headers = ask(application, environ)
    token = initiator.step(header.read(headers["WWW-Authenticate"]))
    return token, headers["Set-Cookie"].partition(";")[0]


@pytest.mark.parametrize(("waited", "goes_on"), [(59, True), (61, False)])
def test_an_exchange_waits_a_minute_and_is_taken_once(web: Web, waited: int, goes_on: bool) -> None:
    certificate, now = web.certificate(), [0.0]
    server = web.server(extra_round_trip="yes")

    def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return []

    middleware = NegotiateMiddleware(application, server, certificate, clock=lambda: now[0])
    token, cookie = pending(web, middleware, bound_to(certificate))
    now[0] = waited
    second = {"HTTP_AUTHORIZATION": header.write(token), "HTTP_COOKIE": cookie}
    assert (ask(middleware, dict(second))[0] == "200 OK") is goes_on
    assert ask(middleware, dict(second))[0] == "401 Unauthorized"


def test_a_client_is_left_without_the_cookie_of_an_exchange(web: Web) -> None:
    """The one that is taken back is the one that was given, wherever the request leads to."""
    certificate = web.certificate()
    port = web.serve(web.protected(certificate, extra_round_trip="yes"), certificate)
    session = web.session()
    answer = session.get(f"https://{HOST}:{port}/some/where", timeout=PATIENCE)
    assert answer.status_code == 200
    assert any("Set-Cookie" in each.headers for each in answer.history)
    assert not session.cookies


# Whom a client tells nothing, and believes nothing


def test_a_redirection_takes_no_token_elsewhere(web: Web) -> None:
    asked: list[str | None] = []

    def elsewhere(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        asked.append(environ.get("HTTP_AUTHORIZATION"))
        start_response("401 Unauthorized", [("WWW-Authenticate", "Negotiate")])
        return [b""]

    other = web.serve(elsewhere, web.certificate())

    def redirects(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("302 Found", [("Location", f"https://127.0.0.1:{other}/")])
        return [b""]

    certificate = web.certificate()
    middleware = NegotiateMiddleware(redirects, web.server(), certificate)
    port = web.serve(middleware, certificate)
    response = web.session().get(f"https://{HOST}:{port}/", timeout=PATIENCE)
    assert response.status_code == 401
    assert asked == [None]


def test_a_redirection_on_the_same_host_logs_in_anew(web: Web) -> None:
    def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/old":
            start_response("302 Found", [("Location", "/new")])
            return [b""]
        return web.seen(environ, start_response)

    certificate = web.certificate()
    port = web.serve(NegotiateMiddleware(application, web.server(), certificate), certificate)
    response = web.session().get(f"https://{HOST}:{port}/old", timeout=PATIENCE)
    assert (response.status_code, web.seen.users) == (200, [ALICE])


def test_without_tls_without_verification_and_to_other_hosts_nothing_is_said(web: Web) -> None:
    asked: list[str | None] = []

    def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        asked.append(environ.get("HTTP_AUTHORIZATION"))
        start_response("401 Unauthorized", [("WWW-Authenticate", "Negotiate")])
        return [b""]

    plain, tls = web.serve(application, None), web.serve(application, web.certificate())
    session = web.session()
    assert session.get(f"http://{HOST}:{plain}/", timeout=PATIENCE).status_code == 401
    assert session.get(f"https://127.0.0.1:{tls}/", timeout=PATIENCE).status_code == 401
    with pytest.warns(Warning, match="Unverified"):
        session.get(f"https://{HOST}:{tls}/", verify=False, timeout=PATIENCE)
    assert asked == [None] * 3


@pytest.mark.parametrize("token", ["", "Negotiate", "Negotiate YII=", "Negotiate QyxhLmIuYw=="])
@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "302 Found"])
def test_an_answer_without_the_servers_token(web: Web, token: str, status: str) -> None:
    """Whoever answers so has had no part in the login."""

    def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if "HTTP_AUTHORIZATION" in environ:
            start_response(status, [("WWW-Authenticate", token), ("Location", "/")])
        else:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Negotiate, Basic")])
        return [b"believe me"]

    port = web.serve(application, web.certificate())
    with pytest.raises(RemoteProtocolError):
        web.session().get(f"https://{HOST}:{port}/", timeout=PATIENCE)


def test_without_the_transport_there_is_nothing_to_bind_to(web: Web) -> None:
    certificate = web.certificate()
    port = web.serve(web.protected(certificate), certificate)
    auth = NegotiateAuth(HOST, client=web.client)

    def get() -> object:
        url = f"https://{HOST}:{port}/"
        return requests.get(url, auth=auth, verify=str(web.anchors), timeout=PATIENCE)

    assert code_of(get, LocalProtocolError) is Code.MISSING_CHANNEL_BINDINGS
