"""Logins by HTTP Negotiate behind web servers that keep connections, by WSGI and by ASGI."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.negotiate import asgi, header
from browserid_sasl.sasl.channel_binding import tls_server_end_point
from tests.support.negotiate import HOST, Web, bound_to
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, Realm

each_server = pytest.mark.parametrize("kind", ["uvicorn", "asgi", "gunicorn"])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Servers and a person."""
    with ExitStack() as stack:
        yield Web(Realm(tmp_path, PrivateKey.generate("ES256")), tmp_path, stack)


class Line:
    """One connection to a server, which both keep.

    :param web: whose.
    :param port: where the server is.
    """

    def __init__(self, web: Web, port: int) -> None:
        trust = ssl.create_default_context(cafile=str(web.anchors))
        self.connection = http.client.HTTPSConnection(HOST, port, timeout=PATIENCE, context=trust)
        self.connection.connect()
        self._socket = self.connection.sock
        certificate = self._socket.getpeercert(binary_form=True)
        assert certificate
        self.bound = header.application_data(tls_server_end_point(certificate))

    def ask(self, token: bytes = b"", cookie: str = "") -> tuple[int, bytes, str]:
        """A request: the answer's status, the token in it, and its cookie."""
        fields = {"Cookie": cookie} if cookie else {}
        if token:
            fields["Authorization"] = header.write(token)
        self.connection.request("GET", "/", headers=fields)
        answer = self.connection.getresponse()
        answer.read()
        assert self.connection.sock is self._socket, "the connection was kept"
        offered = header.read(answer.headers.get("WWW-Authenticate", ""))
        return answer.status, offered or b"", answer.headers.get("Set-Cookie", "").split(";")[0]


class Exchange:
    """One login, request by request."""

    def __init__(self, web: Web, line: Line) -> None:
        self._initiator: PlainInitiator = web.client(HOST).initiate(channel_binding=line.bound)
        self.token, self.cookie = self._initiator.step(), ""

    def go_on(self, line: Line) -> int:
        status, offered, self.cookie = line.ask(self.token or b"", self.cookie)
        self.token = self._initiator.step(offered) if offered else None
        return status


@each_server
class TestKeptConnections:
    def test_each_request_is_a_login(self, web: Web, kind: str) -> None:
        certificate = web.certificate()
        line = Line(web, web.serve_protected(certificate, kind))
        with closing(line.connection):
            for _ in range(2):
                assert Exchange(web, line).go_on(line) == 200
                # The connection is nobody's.
                assert line.ask()[0] == 401

    def test_exchanges_on_two_connections_interleave(self, web: Web, kind: str) -> None:
        port = web.serve_protected(web.certificate(), kind, extra_round_trip="yes")
        first, second = Line(web, port), Line(web, port)
        with closing(first.connection), closing(second.connection):
            one, other = Exchange(web, first), Exchange(web, second)
            assert [one.go_on(first), other.go_on(second)] == [401, 401]
            assert one.cookie != other.cookie
            assert [other.go_on(second), one.go_on(first)] == [200, 200]

    def test_exchanges_on_one_connection_interleave(self, web: Web, kind: str) -> None:
        """As a proxy's, before the server, which has many people's requests on it."""
        line = Line(web, web.serve_protected(web.certificate(), kind, extra_round_trip="yes"))
        with closing(line.connection):
            one, other = Exchange(web, line), Exchange(web, line)
            assert [each.go_on(line) for each in (one, other)] == [401, 401]
            assert [each.go_on(line) for each in (one, other)] == [200, 200]

    def test_the_cookie_of_one_exchange_does_not_help_another(self, web: Web, kind: str) -> None:
        line = Line(web, web.serve_protected(web.certificate(), kind, extra_round_trip="yes"))
        with closing(line.connection):
            one, other = Exchange(web, line), Exchange(web, line)
            assert [each.go_on(line) for each in (one, other)] == [401, 401]
            assert line.ask(one.token or b"", other.cookie)[0] == 401
            assert line.ask(other.token or b"", one.cookie)[0] == 401


def test_requests_logs_in_to_asgi(web: Web) -> None:
    certificate = web.certificate()
    port = web.serve_protected(certificate, "asgi")
    response = web.session().post(f"https://{HOST}:{port}/", data=b"body", timeout=PATIENCE)
    assert (response.status_code, response.text) == (200, ALICE)
    assert "Basic" not in response.headers["WWW-Authenticate"]
    assert web.seen.bodies == [b"body"]


class Asked:
    """What an ASGI application behind the login was asked, and what it has sent."""

    def __init__(self, web: Web, certificate: Path) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.middleware = asgi.NegotiateMiddleware(self._serve, web.server(), certificate)

    async def _serve(self, scope: Any, receive: asgi.Receive, send: asgi.Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})

    def ask(self, kind: str, *fields: tuple[bytes, bytes], **more: Any) -> list[dict[str, Any]]:
        """What is sent in answer to this."""

        async def receive() -> dict[str, Any]:
            return {"type": f"{kind}.connect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        self.sent.clear()
        asyncio.run(self.middleware({"type": kind, "headers": fields} | more, receive, send))
        return self.sent


@pytest.fixture
def asked(web: Web) -> tuple[Asked, bytes]:
    """The middleware, and the header field of a login to it."""
    certificate = web.certificate()
    token = web.client(HOST).initiate(channel_binding=bound_to(certificate)).step()
    return Asked(web, certificate), header.write(token or b"").encode()


class TestScopes:
    def test_the_applications_start_and_end(self, asked: tuple[Asked, bytes]) -> None:
        program, _ = asked
        assert program.ask("lifespan") == []
        assert [scope["type"] for scope in program.scopes] == ["lifespan"]

    def test_a_web_socket_of_somebody(self, asked: tuple[Asked, bytes]) -> None:
        program, field = asked
        [accepted] = program.ask("websocket", (b"authorization", field))
        assert accepted["type"] == "websocket.accept"
        assert dict(accepted["headers"])[b"www-authenticate"].startswith(b"Negotiate ")
        assert program.scopes[0][asgi.CONTEXT].identity == ALICE

    def test_a_web_socket_of_nobody(self, asked: tuple[Asked, bytes]) -> None:
        program, _ = asked
        assert program.ask("websocket") == [{"type": "websocket.close"}]
        start, body = program.ask("websocket", extensions={"websocket.http.response": {}})
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
        assert body["type"] == "websocket.http.response.body"
        assert program.scopes == []

    def test_two_fields_are_nobodys(self, asked: tuple[Asked, bytes]) -> None:
        program, field = asked
        start, _ = program.ask("http", (b"authorization", field), (b"authorization", field))
        assert start["status"] == 401
        # The token is not used up.
        program.ask("http", (b"authorization", field), (b"cookie", b"a=1"), (b"cookie", b"b=2"))
        assert program.scopes[0][asgi.CONTEXT].identity == ALICE

    def test_who_was_in_the_scope_before_is_not_believed(self, asked: tuple[Asked, bytes]) -> None:
        program, _ = asked
        start, _ = program.ask("http", **{asgi.CONTEXT: "somebody"})
        assert start["status"] == 401
