"""The verifier's interface, over HTTPS."""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import trustme

from browserid_sasl import BrowserIDError, RemoteVerifier, get_assertion
from browserid_sasl.config import AuthorityOverride, Config, DiscoveryConfig, VerifierConfig
from browserid_sasl.errors import Code, DiscoveryError, RemoteProtocolError, StoreError
from browserid_sasl.identity import certificate
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose import jwt
from browserid_sasl.store.base import AcceptorStores, system_clock
from browserid_sasl.store.memory import memory_acceptor
from tests.support.https import answer, scripted_server, write_ca
from tests.support.patience import wait_until
from tests.support.site import Site
from tests.support.verifier import RunningVerifier, running_verifier
from tests.support.world import ALICE, HOUR, key, support_document

ORIGIN = "https://site.test"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.sign_in()
    return site


@pytest.fixture
def assertion(site: Site) -> str:
    return get_assertion(ORIGIN, site.config)


@pytest.fixture
def verifier(tmp_path: Path, site: Site) -> Iterator[RunningVerifier]:
    with running_verifier(tmp_path, site.config) as verifier:
        yield verifier


def assertion_of(domain: str, audience: str = ORIGIN) -> str:
    """An assertion of somebody at a domain whose provider signs as this file's does."""
    now = system_clock()
    issued = certificate.issue(
        domain,
        f"somebody@{domain}",
        key("alice").public_key,
        issued_at=now,
        expires=now + HOUR,
        signing_key=key("idp"),
    )
    claims = strict_json.dumps({"exp": now + 60_000, "aud": audience})
    return f"{issued}~{jwt.sign(claims, key('alice'))}"


class TestAnswers:
    @pytest.mark.parametrize("path", ["/", "/verify"])
    @pytest.mark.parametrize("kind", ["data", "json"])
    def test_a_good_assertion(
        self, verifier: RunningVerifier, assertion: str, path: str, kind: str
    ) -> None:
        reply = verifier.post(path, **{kind: {"assertion": assertion, "audience": f"{ORIGIN}:443"}})
        content = reply.json()
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["Cache-Control"] == "no-store"
        assert 0 < content.pop("expires") - system_clock() <= 300_000
        assert content == {
            "status": "okay",
            "email": ALICE,
            "audience": f"{ORIGIN}:443",
            "issuer": "idp.test",
        }

    @pytest.mark.parametrize("audience", ["http://site.test", "https://site.test:8443"])
    def test_one_for_somebody_else(
        self, verifier: RunningVerifier, assertion: str, audience: str
    ) -> None:
        reply = verifier.post(data={"assertion": assertion, "audience": audience})
        assert reply.status_code == 200
        assert set(reply.json()) == {"status", "reason"}
        assert reply.json()["status"] == "failure"
        assert "is for 'https://site.test', and not for" in reply.json()["reason"]

    def test_a_service_is_an_audience_too(self, verifier: RunningVerifier, site: Site) -> None:
        assertion = get_assertion("imap/mail.site.test", site.config)
        assert verifier.judge(assertion, "imap/mail.site.test")["status"] == "okay"

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            ({"data": "", "headers": {"Content-Type": FORM}}, 400),
            ({"data": {"assertion": "x"}}, 400),
            ({"data": {"audience": ORIGIN}}, 400),
            ({"data": {"assertion": "x", "audience": ORIGIN}}, 200),
            ({"data": {"assertion": "x", "audience": "site.test"}}, 200),
            ({"data": {"assertion": "x", "audience": "site.test::80"}}, 400),
            ({"data": {"assertion": "x", "audience": "alice@site.test"}}, 400),
            ({"data": {"assertion": "x", "audience": "site.test?"}}, 400),
            ({"data": {"assertion": "x", "audience": ""}}, 400),
            ({"data": {"assertion": "", "audience": ORIGIN}}, 200),
            ({"data": {"assertion": "x" * 65_536, "audience": ORIGIN}}, 200),
            ({"data": {"assertion": "x" * 65_537, "audience": ORIGIN}}, 400),
            ({"data": {"assertion": "x" * 100_000, "audience": ORIGIN}}, 413),
            ({"data": {"assertion": "x", "audience": "https://" + "a" * 2000}}, 400),
            ({"json": {"assertion": 1, "audience": ORIGIN}}, 400),
            ({"json": ["assertion", "audience"]}, 400),
            ({"json": {"assertion": "x", "audience": [ORIGIN]}}, 400),
            ({"data": "[" * 10_000, "headers": {"Content-Type": "application/json"}}, 400),
            ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
            ({"data": b"\xff", "headers": {"Content-Type": FORM}}, 400),
            ({"data": "assertion=%FF&audience=x", "headers": {"Content-Type": FORM}}, 400),
            (
                {"data": "assertion=x&assertion=y&audience=z", "headers": {"Content-Type": FORM}},
                400,
            ),
            ({"data": "a=1&" * 50 + "b=2", "headers": {"Content-Type": FORM}}, 400),
            ({"data": "x", "headers": {"Content-Type": "text/plain"}}, 415),
            ({"data": "x"}, 415),
            ({"json": {}, "headers": {"Content-Encoding": "gzip"}}, 415),
        ],
    )
    def test_what_is_no_request(
        self, verifier: RunningVerifier, content: dict[str, Any], status: int
    ) -> None:
        reply = verifier.post(**content)
        assert reply.status_code == status
        assert reply.json()["status"] == "failure"
        assert reply.json()["reason"]

    def test_other_paths_and_methods(self, verifier: RunningVerifier) -> None:
        gone = verifier.post("/nothing")
        got = requests.get(verifier.url + "/verify", verify=str(verifier.ca_file), timeout=60)
        assert (gone.status_code, got.status_code) == (404, 405)
        assert got.headers["Allow"] == "POST"
        assert {gone.json()["status"], got.json()["status"]} == {"failure"}

    def test_whatever_comes_the_next_is_answered(
        self, verifier: RunningVerifier, assertion: str
    ) -> None:
        for text in ("~", "a~b~c", assertion[:-2], assertion + "~", "\u2028", "a.b.c~d.e.f"):
            assert verifier.judge(text, ORIGIN)["status"] == "failure"
        assert verifier.judge(assertion, ORIGIN)["status"] == "okay"


class TestSitesWithoutAScheme:
    """As Persona's verifier took them: for those of http."""

    @pytest.mark.parametrize(
        ("made_for", "asked_for", "said"),
        [
            ("http://site.test", "site.test", "http://site.test"),
            ("http://site.test:80", "SITE.test:80", "http://site.test"),
            ("http://site.test:8080", "site.test:8080", "http://site.test:8080"),
            ("http://site.test:443", "site.test:443", "http://site.test:443"),
        ],
    )
    def test_are_those_of_http(
        self, verifier: RunningVerifier, site: Site, made_for: str, asked_for: str, said: str
    ) -> None:
        judged = verifier.judge(get_assertion(made_for, site.config), asked_for)
        assert (judged["status"], judged["audience"]) == ("okay", said)

    @pytest.mark.parametrize("asked_for", ["site.test", "site.test:443", "site.test:80"])
    def test_are_none_with_tls(
        self, verifier: RunningVerifier, assertion: str, asked_for: str
    ) -> None:
        judged = verifier.judge(assertion, asked_for)
        assert "is for 'https://site.test', and not for 'http://site.test" in judged["reason"]


class Stream(io.BufferedReader):
    """What comes on a connection, for one answer after the other to be read from."""

    def makefile(self, *_: object) -> Stream:
        return self

    def close(self) -> None:
        """The next one goes on."""


class TestWire:
    """What clients of the last decades send, octet by octet."""

    @pytest.fixture
    def talk(self, verifier: RunningVerifier) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context(cafile=str(verifier.ca_file))
        port = int(verifier.url.rpartition(":")[2])
        plain = socket.create_connection(("127.0.0.1", port), 60)
        with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as talk:
            yield talk

    def request(self, body: str, version: str = "1.1", kind: str = FORM) -> bytes:
        head = f"POST /verify HTTP/{version}\r\nHost: x\r\nContent-Type: {kind}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def answers(self, talk: ssl.SSLSocket, number: int) -> list[http.client.HTTPResponse]:
        found, stream = [], Stream(socket.SocketIO(talk, "r"))
        for _ in range(number):
            answer = http.client.HTTPResponse(stream)  # type: ignore[arg-type]
            answer.begin()
            answer.headers["X-Body"] = answer.read().decode()
            found.append(answer)
        return found

    def test_http_1_0_is_answered_and_closed(self, talk: ssl.SSLSocket, assertion: str) -> None:
        talk.sendall(self.request(urlencode({"assertion": assertion, "audience": ORIGIN}), "1.0"))
        [answer] = self.answers(talk, 1)
        assert json.loads(answer.headers["X-Body"])["status"] == "okay"
        assert talk.recv(1) == b""

    def test_several_at_once_are_answered_in_their_order(
        self, talk: ssl.SSLSocket, assertion: str
    ) -> None:
        good = urlencode({"assertion": assertion, "audience": ORIGIN})
        bodies = [good, "assertion=x", good, urlencode({"assertion": "x", "audience": ORIGIN})]
        talk.sendall(b"".join(self.request(body) for body in bodies))
        answers = self.answers(talk, 4)
        assert [each.status for each in answers] == [200, 400, 200, 200]
        said = [json.loads(each.headers["X-Body"])["status"] for each in answers]
        assert said == ["okay", "failure", "okay", "failure"]

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "verify"])
    def test_other_methods(self, verifier: RunningVerifier, method: str) -> None:
        reply = requests.request(
            method, verifier.url + "/verify", verify=str(verifier.ca_file), timeout=60
        )
        assert reply.status_code == 405
        assert reply.headers["Allow"] == "POST"
        # No other site's page gets to read an answer.
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            ("assertion[]=x&audience[]=y", FORM, 400),
            ("assertion=x&audience=https%3A%2F%2Fsite.test", f"{FORM}; charset=utf-16", 200),
            ("assertion=x&audience=https%3A%2F%2Fsite.test", FORM.upper(), 200),
            ('{"assertion": ["x"], "audience": "https://site.test"}', "application/json", 400),
            ('{"assertion": null, "audience": "https://site.test"}', "application/json", 400),
            ('{"assertion": "x", "assertion": "y", "audience": "z"}', "application/json", 400),
            ('{"assertion": "x", "audience": "https://site.test", "a": 1e999}', FORM, 400),
            ('{"assertion": "x", "audience": "https://site.test"}', "application/jsonp", 415),
            ('{"assertion": "\\ud800", "audience": "https://site.test"}', "application/json", 400),
        ],
    )
    def test_odd_bodies(self, talk: ssl.SSLSocket, body: str, kind: str, status: int) -> None:
        talk.sendall(self.request(body, kind=kind))
        [answer] = self.answers(talk, 1)
        assert answer.status == status
        assert json.loads(answer.headers["X-Body"])["status"] == "failure"

    def test_json_in_another_encoding(self, verifier: RunningVerifier) -> None:
        body = json.dumps({"assertion": "x", "audience": ORIGIN}).encode("utf-16")
        headers = {"Content-Type": "application/json; charset=utf-16"}
        assert verifier.post(data=body, headers=headers).status_code == 400


class TestRemembering:
    def test_nothing_unless_it_is_said(self, verifier: RunningVerifier, assertion: str) -> None:
        said = [verifier.judge(assertion, ORIGIN)["status"] for _ in range(2)]
        assert said == ["okay", "okay"]

    def test_of_many_at_once_one_is_good(self, tmp_path: Path, site: Site, assertion: str) -> None:
        config = replace(site.config, verifier=VerifierConfig(remember=True))
        with running_verifier(tmp_path, config) as verifier, ThreadPoolExecutor(8) as threads:
            said = [
                each["status"]
                for each in threads.map(lambda _: verifier.judge(assertion, ORIGIN), range(8))
            ]
        assert said.count("okay") == 1

    def test_a_store_that_is_out_of_order_says_nothing_of_assertions(
        self, tmp_path: Path, site: Site, assertion: str
    ) -> None:
        config = replace(site.config, verifier=VerifierConfig(remember=True))
        with running_verifier(tmp_path, config, _broken()) as verifier:
            reply = verifier.post(data={"assertion": assertion, "audience": ORIGIN})
        assert reply.status_code == 503
        assert "/secret/path" not in reply.text


def _broken() -> AcceptorStores:
    class Broken:
        def insert(self, digest: bytes, not_after: int) -> bool:
            raise StoreError(Code.CACHE_ERROR, "/secret/path is full")

        def purge(self, now: int) -> int:
            return 0

    return replace(memory_acceptor(), replay=Broken())


@pytest.fixture
def providers(tmp_path: Path) -> Iterator[tuple[Config, list[bytes], threading.Event]]:
    """A configuration with two providers that are asked: one silent until it is told, one not."""
    authority = trustme.CA()
    ca_file = write_ca(authority, tmp_path)
    released = threading.Event()
    document = answer(json.dumps(support_document(key("idp"))).encode())

    def late(connection: Any) -> None:
        released.wait(60)
        document(connection)

    leaf = authority.issue_cert("127.0.0.1")
    with scripted_server(leaf, late) as silent, scripted_server(leaf, document) as quick:
        overrides = {
            domain: AuthorityOverride(url=f"https://127.0.0.1:{server.port}", ca_file=ca_file)
            for domain, server in (("silent.test", silent), ("quick.test", quick))
        }
        config = Config(authorities=overrides, discovery=DiscoveryConfig(timeout_ms=30_000))
        try:
            yield config, silent.requests, released
        finally:
            released.set()


class TestDocuments:
    def test_a_silent_provider_keeps_nobody_else_waiting(
        self, tmp_path: Path, providers: tuple[Config, list[bytes], threading.Event]
    ) -> None:
        config, asked, released = providers
        with running_verifier(tmp_path, config) as verifier, ThreadPoolExecutor(4) as threads:
            waiting = [
                threads.submit(verifier.judge, assertion_of("silent.test"), ORIGIN)
                for _ in range(4)
            ]
            assert verifier.judge(assertion_of("quick.test"), ORIGIN)["status"] == "okay"
            assert not any(each.done() for each in waiting)
            released.set()
            assert [each.result()["status"] for each in waiting] == ["okay"] * 4
        assert len(asked) == 1

    def test_a_client_that_goes_away_takes_no_document_from_others(
        self, tmp_path: Path, providers: tuple[Config, list[bytes], threading.Event]
    ) -> None:
        config, asked, released = providers
        with running_verifier(tmp_path, config) as verifier, ThreadPoolExecutor(1) as threads:
            body = urlencode({"assertion": assertion_of("silent.test"), "audience": ORIGIN})
            hang_up_after(verifier, body)
            wait_until(lambda: asked, "the provider's being asked")
            other = threads.submit(verifier.judge, assertion_of("silent.test"), ORIGIN)
            released.set()
            assert other.result()["status"] == "okay"
        assert len(asked) == 1

    def test_a_domain_without_a_provider(self, tmp_path: Path) -> None:
        config = Config(
            authorities={"gone.test": AuthorityOverride(url="https://127.0.0.1:9", ca_file=None)}
        )
        with running_verifier(tmp_path, config) as verifier:
            reply = verifier.post(data={"assertion": assertion_of("gone.test"), "audience": ORIGIN})
        assert (reply.status_code, reply.json()["status"]) == (200, "failure")

    def test_nobody_is_asked_about_what_is_for_somebody_else(
        self, tmp_path: Path, providers: tuple[Config, list[bytes], threading.Event]
    ) -> None:
        config, asked, _ = providers
        with running_verifier(tmp_path, config) as verifier:
            said = verifier.judge(assertion_of("silent.test", "https://other.test"), ORIGIN)
        assert said["status"] == "failure"
        assert not asked


def hang_up_after(verifier: RunningVerifier, body: str) -> None:
    context = ssl.create_default_context(cafile=str(verifier.ca_file))
    port = int(verifier.url.rpartition(":")[2])
    request = (
        f"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(request.encode())


class TestRemoteVerifier:
    def remote(self, verifier: RunningVerifier) -> RemoteVerifier:
        return RemoteVerifier(f"{verifier.url}/verify", ca_file=verifier.ca_file)

    def test_a_good_assertion(self, verifier: RunningVerifier, assertion: str) -> None:
        verified = self.remote(verifier).verify(assertion, ORIGIN)
        assert (verified.email, verified.audience, verified.issuer) == (ALICE, ORIGIN, "idp.test")
        assert verified.expires > time.time() * 1000

    @pytest.mark.parametrize("audience", ["https://other.test", "site.test"])
    def test_one_that_is_not(
        self, verifier: RunningVerifier, assertion: str, audience: str
    ) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            self.remote(verifier).verify(assertion, audience)
        assert caught.value.code is Code.REMOTE_VERIFY_FAILURE

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1/", "https://", "ftp://x/", "https://x/?a=b", ""]
    )
    def test_a_url_without_tls_is_none(self, url: str) -> None:
        with pytest.raises(ValueError, match="is not the URL"):
            RemoteVerifier(url)

    def test_a_service_that_cannot_prove_itself(self, verifier: RunningVerifier) -> None:
        with pytest.raises(DiscoveryError) as caught:
            RemoteVerifier(f"{verifier.url}/verify").verify("x", ORIGIN)
        assert caught.value.code is Code.HTTP_ERROR

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"<html>", DiscoveryError),
            (b"[]", DiscoveryError),
            (b"{}", RemoteProtocolError),
            (b'{"status": "okay"}', RemoteProtocolError),
            (b'{"status": "failure", "reason": {"no": "text"}}', RemoteProtocolError),
            (b'{"status": "okay", "email": 1, "audience": "@", "expires": 9}', RemoteProtocolError),
            (b"okay for another", RemoteProtocolError),
            (b"okay in the past", RemoteProtocolError),
            (b"x" * 70_000, DiscoveryError),
        ],
    )
    def test_answers_that_are_none(
        self, tmp_path: Path, body: bytes, kind: type[BrowserIDError]
    ) -> None:
        said = {"status": "okay", "email": ALICE, "issuer": "idp.test", "audience": ORIGIN}
        if body == b"okay for another":
            body = json.dumps({**said, "audience": "https://a.test", "expires": 2**50}).encode()
        if body == b"okay in the past":
            body = json.dumps({**said, "expires": 1_000}).encode()
        authority = trustme.CA()
        with scripted_server(authority.issue_cert("127.0.0.1"), answer(body)) as server:
            remote = RemoteVerifier(
                f"https://127.0.0.1:{server.port}/", ca_file=write_ca(authority, tmp_path)
            )
            with pytest.raises(kind):
                remote.verify("x", ORIGIN)


def test_silent_connections_are_let_go_for_others(tmp_path: Path, site: Site) -> None:
    """The limits of the door are the provider's; `tests/idp/test_door.py` has all of them."""
    with running_verifier(tmp_path, site.config) as verifier, ExitStack() as open_ones:
        port = int(verifier.url.rpartition(":")[2])
        for number in range(40):
            open_ones.enter_context(
                socket.create_connection(
                    ("127.0.0.1", port), source_address=(f"127.0.0.{2 + number // 30}", 0)
                )
            )
        assert verifier.judge(get_assertion(ORIGIN, site.config), ORIGIN)["status"] == "okay"
