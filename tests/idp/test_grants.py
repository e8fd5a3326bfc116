"""The JSON endpoints, asked over TLS as programs ask them: every way to a certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.revocations import parse_revocation_list
from browserid_sasl.idp.codes import CODE_LIFE_MS
from browserid_sasl.idp.devices import INTERVAL_S, LIFE_MS, MOST_OF_NETWORK, DeviceCode
from browserid_sasl.idp.renewals import RENEWAL_LIFE_MS
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.web import bodies
from tests.support.grants import CLIENT, Program, events, put_on_list, wish_of
from tests.support.provider import ALICE, DOMAIN, PASSWORD, RunningProvider, running_provider

LOOPBACK = "127.0.0.1"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider") as provider:
        yield provider


def certify(running: RunningProvider, **members: Any) -> requests.Response:
    return running.post("/certify", json=members)


def given(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    members = response.json()
    assert isinstance(members, dict)
    return members


def refused(response: requests.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.json()) == {"error", "message"}
    return str(response.json()["error"])


def by_code(running: RunningProvider, program: Program, **options: Any) -> dict[str, Any]:
    code = program.code(running.provider.codes, running.clock.now, **options)
    return given(certify(running, code=code, code_verifier=program.verifier))


def assert_certified(running: RunningProvider, members: dict[str, Any], program: Program) -> None:
    certificate = Certificate.parse(members["certificate"])
    certificate.jwt.verify(running.provider.keys.active(running.clock.now).private_key.public_key)
    assert (certificate.issuer, certificate.email) == (DOMAIN, ALICE)
    assert certificate.public_key == program.key.public_key
    assert certificate.expires == running.clock.now + 3_600_000


class TestByCode:
    def test_gives_a_certificate_and_a_renewal(self, running: RunningProvider) -> None:
        program = Program()
        members = by_code(running, program)
        assert set(members) == {"certificate", "renewal", "renewal_expires_in"}
        assert members["renewal_expires_in"] == RENEWAL_LIFE_MS // 1000
        assert_certified(running, members, program)

    def test_gives_no_renewal_where_the_person_did_not_allow_it(
        self, running: RunningProvider
    ) -> None:
        assert set(by_code(running, Program(), renewal=False)) == {"certificate"}

    def test_is_written_down(self, running: RunningProvider) -> None:
        program = Program()
        by_code(running, program)
        line = events(running.folder.path)[-1]
        assert (line["event"], line["grant"], line["email"]) == ("certified", "code", ALICE)
        assert line["key"] == wish_of(program.key).fingerprint
        assert line["machine"] == "laptop"

    def test_a_thief_of_the_code_gets_nothing(self, running: RunningProvider) -> None:
        program, thief = Program(), Program()
        code = program.code(running.provider.codes, running.clock.now)
        answer = certify(running, code=code, code_verifier=thief.verifier)
        assert refused(answer) == "invalid-code"

    def test_a_replay_revokes_what_the_code_gave(self, running: RunningProvider) -> None:
        program = Program()
        code = program.code(running.provider.codes, running.clock.now)
        members = given(certify(running, code=code, code_verifier=program.verifier))
        assert refused(certify(running, code=code, code_verifier="x" * 43)) == "invalid-code"
        assert refused(renew(running, program, members["renewal"]), 401) == "renewal-revoked"
        assert revoked(running) == {wish_of(program.key).fingerprint}

    def test_comes_within_a_minute(self, running: RunningProvider) -> None:
        program = Program()
        code = program.code(running.provider.codes, running.clock.now)
        running.clock.now += CODE_LIFE_MS
        answer = certify(running, code=code, code_verifier=program.verifier)
        assert refused(answer) == "invalid-code"

    @pytest.mark.parametrize(
        "members",
        [
            {"code": "x"},
            {"code": 5, "code_verifier": "x"},
            {"code": "x" * 129, "code_verifier": "x"},
            {"code": "x", "code_verifier": "x" * 129},
            {"code": None, "code_verifier": None},
        ],
    )
    def test_takes_texts_of_a_sane_length(
        self, running: RunningProvider, members: dict[str, Any]
    ) -> None:
        assert refused(certify(running, **members)) in ("unknown-json-key", "invalid-json")

    def test_a_weak_key_is_not_certified_here_either(self, running: RunningProvider) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        from browserid_sasl.jose.keys import public_key_from

        class WeakProgram(Program):
            def code(self, *_: Any, **__: Any) -> str:
                weak = public_key_from(rsa.generate_private_key(3, 2048).public_key())
                wish = type(wish_of(self.key))(ALICE, weak, "", CLIENT)
                codes = running.provider.codes
                return codes.grant(wish, self.challenge, True, running.clock.now)

        program = WeakProgram()
        answer = certify(running, code=program.code(), code_verifier=program.verifier)
        assert refused(answer) == "invalid-key"


def begin(running: RunningProvider, program: Program, **changes: Any) -> requests.Response:
    members = {"email": ALICE, "public-key": program.key.public_key.to_json(), "machine": "box"}
    return running.post("/device-authorization", json=members | changes)


class TestByDevice:
    def test_begins_with_two_codes(self, running: RunningProvider) -> None:
        members = given(begin(running, Program()))
        page = f"https://{DOMAIN}/browserid/device"
        assert members["verification_uri"] == page
        assert members["verification_uri_complete"] == f"{page}?user_code={members['user_code']}"
        assert (members["interval"], members["expires_in"]) == (INTERVAL_S, LIFE_MS // 1000)
        assert set(members) == {
            "device_code",
            "user_code",
            "verification_uri",
            "verification_uri_complete",
            "interval",
            "expires_in",
        }

    def test_ends_with_a_certificate_for_who_approved(self, running: RunningProvider) -> None:
        program = Program()
        members = given(begin(running, program))
        running.clock.now += INTERVAL_S * 1000
        poll = {"device_code": members["device_code"]}
        assert refused(certify(running, **poll)) == "authorization_pending"
        assert refused(certify(running, **poll)) == "slow_down"
        pending = running.provider.devices.find(
            members["user_code"], ALICE, CLIENT, running.clock.now
        )
        assert pending is not None
        assert (pending.wish.machine, pending.wish.client) == ("box", LOOPBACK)
        running.provider.devices.approve(pending, True, running.clock.now)
        running.clock.now += 2 * INTERVAL_S * 1000
        certified = given(certify(running, **poll))
        assert_certified(running, certified, program)
        assert certified["renewal_expires_in"] == RENEWAL_LIFE_MS // 1000
        assert refused(certify(running, **poll)) == "expired_token"

    def test_tells_a_program_that_its_person_refused(self, running: RunningProvider) -> None:
        members = given(begin(running, Program()))
        devices, now = running.provider.devices, running.clock.now
        pending = devices.find(members["user_code"], ALICE, CLIENT, now)
        assert pending is not None
        devices.deny(pending, now)
        running.clock.now += INTERVAL_S * 1000
        poll = certify(running, device_code=members["device_code"])
        assert refused(poll) == "access_denied"

    @pytest.mark.parametrize("code", ["BCDF-GHJK", "x" * 43])
    def test_a_guessed_device_code_is_worth_nothing(
        self, running: RunningProvider, code: str
    ) -> None:
        given(begin(running, Program()))
        assert refused(certify(running, device_code=code)) == "expired_token"

    def test_says_nothing_about_whether_there_is_an_account(self, running: RunningProvider) -> None:
        mine = given(begin(running, Program()))
        nobodys = given(begin(running, Program(), email=f"nobody@{DOMAIN}"))
        assert mine.keys() == nobodys.keys()

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"email": "alice@elsewhere.test"}, "invalid-address"),
            ({"email": 5}, "invalid-json"),
            ({"public-key": {}}, "invalid-key"),
            ({"machine": "a\nb"}, "invalid-machine"),
            ({"machine": "x" * 65}, "invalid-machine"),
            ({"machine": 5}, "invalid-json"),
        ],
    )
    def test_takes_an_address_a_key_and_a_name(
        self, running: RunningProvider, changes: dict[str, Any], word: str
    ) -> None:
        assert refused(begin(running, Program(), **changes)) == word

    def test_of_one_place_are_not_all_there_are(self, running: RunningProvider) -> None:
        program = Program()
        wish = wish_of(program.key, client=LOOPBACK)
        begun = [
            running.provider.devices.begin(wish, running.clock.now) for _ in range(MOST_OF_NETWORK)
        ]
        assert all(isinstance(each, DeviceCode) for each in begun)
        answer = begin(running, program)
        assert refused(answer, 429) == "too-many-devices"
        assert answer.headers["Retry-After"] == "60"


def renew(
    running: RunningProvider, program: Program, token: str, **members: Any
) -> requests.Response:
    statement = program.renewal(token, running.clock.now)
    return certify(running, renewal=statement, **members)


def revoked(running: RunningProvider) -> frozenset[str]:
    response = running.get("/revocations")
    assert response.headers["Content-Type"].startswith("application/jwt")
    keys = [running.provider.keys.active(running.clock.now).private_key.public_key]
    found = parse_revocation_list(response.content, DOMAIN, keys, running.clock.now, 0)
    return found.thumbprints


class TestByRenewal:
    def test_gives_another_certificate(self, running: RunningProvider) -> None:
        program = Program()
        token = by_code(running, program)["renewal"]
        running.clock.now += 24 * 3_600_000
        members = given(renew(running, program, token))
        assert set(members) == {"certificate", "renewal_expires_in"}
        assert_certified(running, members, program)
        line = events(running.folder.path)[-1]
        assert (line["event"], line["grant"], line["client"]) == ("certified", "renewal", LOOPBACK)
        assert line["machine"] == "laptop"

    def test_takes_the_key_that_was_certified(self, running: RunningProvider) -> None:
        token = by_code(running, Program())["renewal"]
        assert refused(renew(running, Program(), token), 401) == "renewal-unknown"

    def test_ends_when_its_machine_says_so(self, running: RunningProvider) -> None:
        program = Program()
        token = by_code(running, program)["renewal"]
        assert given(renew(running, program, token, revoke=True)) == {}
        assert refused(renew(running, program, token), 401) == "renewal-revoked"
        assert refused(renew(running, program, token, revoke=True), 401) == "renewal-revoked"

    def test_a_replay_after_the_revocation_gives_nothing(self, running: RunningProvider) -> None:
        program = Program()
        statement = program.renewal(by_code(running, program)["renewal"], running.clock.now)
        given(certify(running, renewal=statement))
        running.provider.renewals.revoke_all(ALICE, running.clock.now)
        assert refused(certify(running, renewal=statement), 401) == "renewal-revoked"

    def test_ends_when_it_is_not_used(self, running: RunningProvider) -> None:
        program = Program()
        token = by_code(running, program)["renewal"]
        running.clock.now += RENEWAL_LIFE_MS
        assert refused(renew(running, program, token), 401) == "renewal-expired"

    def test_revokes_by_true_only(self, running: RunningProvider) -> None:
        program = Program()
        token = by_code(running, program)["renewal"]
        assert refused(renew(running, program, token, revoke="yes")) == "invalid-json"
        given(renew(running, program, token, revoke=False))


class TestWhateverIsShown:
    def test_is_one_thing(self, running: RunningProvider) -> None:
        answer = certify(running, code="x", code_verifier="x", device_code="x")
        assert refused(answer) == "several-grants"
        answer = certify(running, email=ALICE, password=PASSWORD, renewal="x")
        assert refused(answer) == "several-grants"

    @pytest.mark.parametrize("path", ["/certify", "/device-authorization"])
    def test_is_not_too_large(self, running: RunningProvider, path: str) -> None:
        answer = running.post(path, json={"device_code": "x" * 20_000})
        assert refused(answer, 413) == "too-large"

    @pytest.mark.parametrize("path", ["/certify", "/device-authorization"])
    def test_is_json(self, running: RunningProvider, path: str) -> None:
        assert refused(running.post(path, data={"a": "b"}), 415) == "unsupported-media-type"

    def test_does_not_arrive_for_ever(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "_BODY_TIME_S", 0.3)
        context = ssl.create_default_context(cafile=str(running.ca_file))
        port = int(running.url.rpartition(":")[2])
        with socket.create_connection((LOOPBACK, port), 10) as bare:
            with context.wrap_socket(bare, server_hostname="localhost") as half:
                half.sendall(
                    b"POST /device-authorization HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
                )
                assert half.recv(100).startswith(b"HTTP/1.1 408 ")

    def test_survives_a_new_signing_key(self, running: RunningProvider) -> None:
        program = Program()
        begun = given(begin(running, program))
        code = program.code(running.provider.codes, running.clock.now)
        running.provider.keys.rotate(None, running.clock.now)
        members = given(certify(running, code=code, code_verifier=program.verifier))
        assert_certified(running, members, program)
        running.provider.keys.rotate(None, running.clock.now, withdraw=True)
        assert_certified(running, given(renew(running, program, members["renewal"])), program)
        running.clock.now += INTERVAL_S * 1000
        poll = certify(running, device_code=begun["device_code"])
        assert refused(poll) == "authorization_pending"

    def test_survives_a_restart(self, tmp_path: Path) -> None:
        program, other = Program(), Program()
        with running_provider(tmp_path / "provider") as before:
            clock = before.clock
            code = program.code(before.provider.codes, clock.now)
            begun = given(begin(before, other))
            pending = before.provider.devices.find(begun["user_code"], ALICE, CLIENT, clock.now)
            assert pending is not None
        with running_provider(tmp_path / "provider", clock=clock) as after:
            members = given(certify(after, code=code, code_verifier=program.verifier))
            after.provider.devices.approve(pending, True, clock.now)
            clock.now += INTERVAL_S * 1000
            given(certify(after, device_code=begun["device_code"]))
            token = members["renewal"]
        with running_provider(tmp_path / "provider", clock=clock) as again:
            assert_certified(again, given(renew(again, program, token)), program)


class TestTheRevocationList:
    def test_is_asked_for_each_time_and_sent_when_it_changed(
        self, running: RunningProvider
    ) -> None:
        running.clock.now -= running.clock.now % 60_000
        first = running.get("/revocations")
        assert first.headers["Cache-Control"] == "no-cache"
        again = requests.get(
            running.url + "/revocations",
            headers={"If-None-Match": first.headers["ETag"]},
            verify=str(running.ca_file),
            timeout=10,
        )
        assert (again.status_code, again.content) == (304, b"")
        put_on_list(running.folder.path, "A" * 43, running.clock.now + 1)
        assert running.get("/revocations").headers["ETag"] != first.headers["ETag"]
        assert revoked(running) == {"A" * 43}

    def test_has_the_key_of_a_password_too(self, running: RunningProvider) -> None:
        key = PrivateKey.generate("ES256").public_key
        answer = certify(running, email=ALICE, password=PASSWORD, **{"public-key": key.to_json()})
        assert set(given(answer)) == {"certificate"}
        assert running.provider.renewals.revoke_all(ALICE, running.clock.now) == 1
        assert len(revoked(running)) == 1
        answer = certify(running, email=ALICE, password=PASSWORD, **{"public-key": key.to_json()})
        assert refused(answer) == "revoked-key"
