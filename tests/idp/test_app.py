"""The provider's web application, asked over TLS as clients ask it."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.support import SupportDocument, parse_support_document
from browserid_sasl.idp.app import AppSettings
from browserid_sasl.idp.signing_keys import Algorithm
from browserid_sasl.jose.keys import PrivateKey, public_key_from
from tests.support.provider import (
    ALICE,
    DOMAIN,
    PASSWORD,
    RunningProvider,
    running_provider,
)

HOUR_MS = 3_600_000
KEY = PrivateKey.generate("ES256").public_key.to_json()
GOOD: dict[str, Any] = {"email": ALICE, "password": PASSWORD, "public-key": KEY}


def another_key() -> dict[str, str]:
    """A key is one account's."""
    return PrivateKey.generate("ES256").public_key.to_json()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """One provider for tests that leave it as it was."""
    with running_provider(tmp_path_factory.mktemp("idp") / "provider") as provider:
        yield provider


def certify(running: RunningProvider, **changes: Any) -> requests.Response:
    return running.post("/certify", json=GOOD | changes)


def certificate(response: requests.Response) -> Certificate:
    assert response.status_code == 200, response.text
    return Certificate.parse(response.json()["certificate"])


def assert_refused(response: requests.Response, status: int, word: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.json()) == {"error", "message"}
    assert response.json()["error"] == word
    return str(response.json()["message"])


class TestSupportDocument:
    def test_it_is_one(self, running: RunningProvider) -> None:
        response = running.get(f"/.well-known/browserid?domain={DOMAIN}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        document = parse_support_document(response.content)
        assert document == SupportDocument(
            keys=running.provider.keys.published(running.clock.now),
            authentication="/authentication",
            provisioning="/provisioning",
            certify="/certify",
            device_authorization="/device-authorization",
            revocations="/revocations",
            grant_types=("password", "code", "device", "renewal"),
        )

    def test_it_may_be_kept_for_an_hour(self, running: RunningProvider) -> None:
        response = running.get("/.well-known/browserid")
        assert response.headers["Cache-Control"] == "max-age=3600"

    def test_the_operator_decides_for_how_long(self, tmp_path: Path) -> None:
        settings = AppSettings(document_life=60_000)
        with running_provider(tmp_path / "provider", settings=settings) as running:
            response = running.get("/.well-known/browserid")
        assert response.headers["Cache-Control"] == "max-age=60"

    def test_our_own_fetcher_takes_it(self, running: RunningProvider) -> None:
        fetched = running.fetcher().fetch(DOMAIN, DOMAIN)
        assert fetched.lifetime == HOUR_MS
        assert isinstance(parse_support_document(fetched.body), SupportDocument)

    @pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
    def test_it_has_no_list_of_keys_as_long_as_there_is_one(
        self, tmp_path: Path, algorithm: Algorithm
    ) -> None:
        with running_provider(tmp_path / "provider", algorithm=algorithm) as running:
            document = running.get("/.well-known/browserid").json()
            key = running.provider.keys.active(running.clock.now).private_key.public_key
            assert document["public-key"] == key.to_json()
            assert "keys" not in document
            issued = certificate(certify(running))
            issued.jwt.verify(key)

    def test_the_key_that_signs_is_the_first_of_the_list_too(self, tmp_path: Path) -> None:
        with running_provider(tmp_path / "provider") as running:
            keys = running.provider.keys
            before = keys.active(running.clock.now)
            announced = keys.rotate(None, running.clock.now, lead=HOUR_MS)
            document = running.get("/.well-known/browserid").json()
            assert document["public-key"] == before.private_key.public_key.to_json()
            assert document["keys"] == [
                key.private_key.public_key.to_json() for key in (before, announced)
            ]
            running.clock.now += HOUR_MS
            document = running.get("/.well-known/browserid").json()
            assert document["public-key"] == document["keys"][0]
            assert document["keys"][0] == announced.private_key.public_key.to_json()
            parsed = parse_support_document(json.dumps(document).encode())
            assert isinstance(parsed, SupportDocument)
            assert len(parsed.keys) == 2

    def test_old_libraries_read_the_classic_spelling(self, tmp_path: Path) -> None:
        settings = AppSettings(key_spelling="classic")
        person = PrivateKey.generate("RS256").public_key
        with running_provider(
            tmp_path / "provider", algorithm="RS256", settings=settings
        ) as running:
            key = running.get("/.well-known/browserid").json()["public-key"]
            assert set(key) == {"algorithm", "n", "e"}
            assert (key["algorithm"], key["e"]) == ("RS", "65537")
            assert int(key["n"]).bit_length() == 2048
            answer = certify(running, **{"public-key": person.to_json()})
            assert certificate(answer).jwt.claims["public-key"] == person.to_json("classic")


class TestCertificate:
    def test_is_for_the_key_and_the_address_and_signed_by_the_domain(
        self, running: RunningProvider, user_key: PrivateKey
    ) -> None:
        issued = certificate(certify(running, **{"public-key": user_key.public_key.to_json()}))
        assert issued.issuer == DOMAIN
        assert issued.email == ALICE
        assert issued.public_key == user_key.public_key
        issued.jwt.verify(running.provider.keys.published(running.clock.now)[0])

    def test_lives_an_hour_from_now(self, running: RunningProvider) -> None:
        issued = certificate(certify(running))
        assert issued.issued_at == running.clock.now
        assert issued.expires == running.clock.now + HOUR_MS

    def test_lives_shorter_on_demand(self, running: RunningProvider) -> None:
        assert certificate(certify(running, duration=90)).expires == running.clock.now + 90_000

    def test_lives_no_longer_than_the_operator_permits(self, running: RunningProvider) -> None:
        issued = certificate(certify(running, duration=7200))
        assert issued.expires == running.clock.now + HOUR_MS

    def test_lives_no_longer_than_a_day_whatever_the_operator_says(self, tmp_path: Path) -> None:
        settings = AppSettings(certificate_life=48 * HOUR_MS)
        with running_provider(tmp_path / "provider", settings=settings) as running:
            issued = certificate(certify(running))
            assert issued.expires == running.clock.now + 24 * HOUR_MS

    def test_is_never_stored_by_anybody(self, running: RunningProvider) -> None:
        assert certify(running).headers["Cache-Control"] == "no-store"

    def test_case_does_not_matter_in_an_address(self, running: RunningProvider) -> None:
        assert certificate(certify(running, email="Alice@Example.TEST")).email == ALICE

    def test_a_composed_password_is_the_decomposed_one(self, running: RunningProvider) -> None:
        running.provider.accounts.add(f"zoe@{DOMAIN}", "Zo\u00eb's password", 0)
        changes = {"email": f"zoe@{DOMAIN}", "password": "Zoe\u0308's password"}
        certificate(certify(running, **changes, **{"public-key": another_key()}))

    @pytest.mark.parametrize("spelling", ["classic", "2012.08.15", "jwk"])
    def test_a_key_comes_in_any_spelling(self, running: RunningProvider, spelling: Any) -> None:
        key = PrivateKey.generate("RS256").public_key
        issued = certificate(certify(running, **{"public-key": key.to_json(spelling)}))
        assert issued.public_key == key

    def test_a_key_one_bit_short_is_certified_as_what_it_was_meant_to_be(
        self, running: RunningProvider
    ) -> None:
        key = public_key_from(rsa.generate_private_key(65537, 2047).public_key())
        issued = certificate(certify(running, **{"public-key": key.to_json()}))
        assert issued.public_key == key
        assert key.algorithm.name == "RS256"


class TestRefusal:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"email": "alice@other.test"}, "invalid-address"),
            ({"email": "alice"}, "invalid-address"),
            ({"email": f"al ice@{DOMAIN}"}, "invalid-address"),
            ({"email": f"al\u00efce@{DOMAIN}"}, "invalid-address"),
            ({"email": f"a@b@{DOMAIN}"}, "invalid-address"),
            ({"email": f"@{DOMAIN}"}, "invalid-address"),
            ({"email": "a" * 65 + f"@{DOMAIN}"}, "invalid-address"),
            ({"email": "a" * 255}, "invalid-json"),
            ({"email": 5}, "invalid-json"),
            ({"password": None}, "invalid-json"),
            ({"password": "x" * 1025}, "invalid-json"),
            ({"password": ""}, "invalid-parameter"),
            ({"password": "\ud800"}, "invalid-json"),
            ({"public-key": "key"}, "invalid-key"),
            ({"public-key": {}}, "invalid-key"),
            ({"public-key": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, "invalid-key"),
            ({"public-key": {"kty": "EC", "crv": "P-521", "x": "", "y": ""}}, "unknown-ec-curve"),
            ({"public-key": GOOD["public-key"] | {"use": "enc"}}, "invalid-key"),
            ({"public-key": GOOD["public-key"] | {"key_ops": ["sign"]}}, "invalid-key"),
            ({"duration": 0}, "invalid-duration"),
            ({"duration": -1}, "invalid-duration"),
            ({"duration": 86_401}, "invalid-duration"),
            ({"duration": 1.5}, "invalid-duration"),
            ({"duration": True}, "invalid-duration"),
            ({"duration": "60"}, "invalid-duration"),
            ({"duration": None}, "invalid-duration"),
        ],
    )
    def test_of_a_member_that_is_wrong(
        self, running: RunningProvider, changes: dict[str, Any], word: str
    ) -> None:
        assert_refused(certify(running, **changes), 400, word)

    @pytest.mark.parametrize(
        ("member", "word"),
        [("email", "unknown-json-key"), ("password", "unknown-json-key"), ("public-key", "no-key")],
    )
    def test_of_a_member_that_is_missing(
        self, running: RunningProvider, member: str, word: str
    ) -> None:
        request = {name: value for name, value in GOOD.items() if name != member}
        assert_refused(running.post("/certify", json=request), 400, word)

    def test_of_a_short_key(self, running: RunningProvider) -> None:
        short = {"kty": "RSA", "n": "w" + "A" * 169 + "Q", "e": "AQAB"}
        assert_refused(certify(running, **{"public-key": short}), 400, "key-too-short")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            b"\xff",
            b'{"email":"a","email":"b"}',
            b'{"a":NaN}',
            b"[" * 10_000,
            b'{"a":' * 20 + b"1" + b"}" * 20,
        ],
    )
    def test_of_what_is_not_a_json_object(self, running: RunningProvider, body: bytes) -> None:
        response = running.post("/certify", data=body, headers={"Content-Type": "application/json"})
        assert_refused(response, 400, "invalid-json")

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/x-www-form-urlencoded"]
    )
    def test_of_another_content_type(self, running: RunningProvider, content_type: str) -> None:
        response = running.post(
            "/certify", data=json.dumps(GOOD), headers={"Content-Type": content_type}
        )
        assert_refused(response, 415, "unsupported-media-type")

    def test_of_more_than_16_kib(self, running: RunningProvider) -> None:
        assert_refused(certify(running, padding="x" * 16_384), 413, "too-large")

    def test_of_more_than_16_kib_in_pieces(self, running: RunningProvider) -> None:
        response = running.post(
            "/certify",
            data=iter([b" " * 4096] * 5),
            headers={"Content-Type": "application/json"},
        )
        assert_refused(response, 413, "too-large")

    @pytest.mark.parametrize(
        ("method", "path", "status", "word"),
        [
            ("GET", "/", 404, "not-found"),
            ("GET", "/.well-known/browserid/", 404, "not-found"),
            ("GET", "/certify", 405, "method-not-allowed"),
            ("POST", "/.well-known/browserid", 405, "method-not-allowed"),
            ("DELETE", "/authentication", 405, "method-not-allowed"),
        ],
    )
    def test_of_other_paths_and_methods(
        self, running: RunningProvider, method: str, path: str, status: int, word: str
    ) -> None:
        response = requests.request(
            method,
            running.url + path,
            verify=str(running.ca_file),
            timeout=60,
            allow_redirects=False,
        )
        assert_refused(response, status, word)

    def test_of_an_address_and_password_says_nothing_about_which_is_wrong(
        self, tmp_path: Path
    ) -> None:
        with running_provider(tmp_path / "provider") as running:
            wrong = certify(running, password="wrong")
            unknown = certify(running, email=f"nobody@{DOMAIN}")
        message = assert_refused(wrong, 401, "wrong-credentials")
        assert assert_refused(unknown, 401, "wrong-credentials") == message
        assert wrong.headers["WWW-Authenticate"] == "BrowserID-Password"
        assert wrong.headers.keys() == unknown.headers.keys()

    def test_when_something_is_broken_tells_nothing_about_it(self, tmp_path: Path) -> None:
        with running_provider(tmp_path / "provider") as running:
            (running.folder.path / "keys" / "keys.json").unlink()
            message = assert_refused(running.get("/.well-known/browserid"), 500, "internal")
            assert str(running.folder.path) not in message
            assert_refused(certify(running), 500, "internal")


class TestHeaders:
    PATHS = ("/.well-known/browserid", "/authentication", "/provisioning", "/certify", "/none")

    @pytest.mark.parametrize("path", PATHS)
    def test_every_answer_has_what_protects_browsers(
        self, running: RunningProvider, path: str
    ) -> None:
        headers = running.get(path).headers
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]

    @pytest.mark.parametrize("path", PATHS)
    def test_none_tells_the_software(self, running: RunningProvider, path: str) -> None:
        assert "Server" not in running.get(path).headers

    @pytest.mark.parametrize("path", ["/.well-known/browserid", "/certify", "/none"])
    def test_what_is_for_programs_sets_no_cookie(self, running: RunningProvider, path: str) -> None:
        assert "Set-Cookie" not in running.get(path).headers


class TestPages:
    @pytest.mark.parametrize("path", ["/authentication", "/provisioning"])
    def test_are_where_the_support_document_says(self, running: RunningProvider, path: str) -> None:
        response = running.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"

    def test_say_how_to_sign_in_from_a_shell(self, running: RunningProvider) -> None:
        assert f"browserid login you@{DOMAIN}" in running.get("/provisioning").text


class TestLoad:
    def test_many_may_sign_in_at_once(self, running: RunningProvider) -> None:
        people = [f"person{number}@{DOMAIN}" for number in range(4)]
        for email in people:
            running.provider.accounts.add(email, PASSWORD, 0)

        def ask(email: str) -> requests.Response:
            return certify(running, email=email, **{"public-key": another_key()})

        with ThreadPoolExecutor(8) as pool:
            issued = list(pool.map(ask, people * 3))
        assert [certificate(response).email for response in issued] == people * 3

    def test_a_request_that_does_not_arrive_holds_nobody_up(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("browserid_sasl.web.bodies._BODY_TIME_S", 0.5)
        with connected(running) as half:
            half.sendall(
                b"POST /certify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 10\r\n\r\n{"
            )
            certificate(certify(running))
            assert half.recv(100).startswith(b"HTTP/1.1 408 ")

    def test_a_request_that_breaks_off_is_no_problem(self, running: RunningProvider) -> None:
        with connected(running) as half:
            half.sendall(
                b"POST /certify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 10\r\n\r\n{"
            )
        certificate(certify(running))

    @pytest.mark.parametrize("octets", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-"])
    def test_a_connection_does_not_last_for_ever(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch, octets: bytes
    ) -> None:
        monkeypatch.setattr("browserid_sasl.web.connection._REQUEST_S", 0.3)
        with connected(running) as idle:
            idle.sendall(octets)
            with pytest.raises((ConnectionError, ssl.SSLEOFError)):
                raise ConnectionError if idle.recv(100) == b"" else AssertionError

    def test_whoever_would_have_to_wait_too_long_is_asked_to_come_back(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("browserid_sasl.idp.app._MAX_WAITING", 0)
        response = certify(running)
        assert_refused(response, 503, "busy")
        assert response.headers["Retry-After"] == "1"

    def test_garbage_is_refused(self, running: RunningProvider) -> None:
        with connected(running) as client:
            client.sendall(b"\x00\x01\x02\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        with connected(running) as client:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        certificate(certify(running))


@contextmanager
def connected(running: RunningProvider) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=running.ca_file)
    port = int(running.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as client,
    ):
        yield client


def test_restarting_changes_nothing(tmp_path: Path) -> None:
    with running_provider(tmp_path / "provider") as running:
        before = running.get("/.well-known/browserid").json()
        issued = certificate(certify(running))
    with running_provider(tmp_path / "provider") as running:
        assert running.get("/.well-known/browserid").json() == before
        issued.jwt.verify(running.provider.keys.published(running.clock.now)[0])
        certificate(certify(running))
