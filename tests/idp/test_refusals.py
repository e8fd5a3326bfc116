"""What is refused is in the audit log, and nobody can fill the disk with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.idp.database import Database
from browserid_sasl.idp.refusals import MOST, MOST_OF_NETWORK, Refusals
from browserid_sasl.idp.web import paths
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.web.refusal import RefusedError
from tests.idp.web.test_second_steps import registered, use, with_second_step
from tests.support.auditing import audit_log
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser
from tests.support.provider import ALICE, PASSWORD, RunningProvider

BOB = "bob@example.test"
HERE = "127.0.0.1"
MINUTE_MS = 60_000


def refusals(running: RunningProvider) -> list[dict[str, Any]]:
    """Lines about them, without what is the same in all."""
    lines = map(json.loads, running.audit_log().splitlines())
    told = ("email", "client", "reason", "left_out")
    return [{name: line[name] for name in told} for line in lines if line["event"] == "refused"]


def told(reason: str, email: str = "") -> dict[str, Any]:
    return {"email": email, "client": HERE, "reason": reason, "left_out": 0}


class TestAPasskey:
    @pytest.fixture
    def browser(self, running: RunningProvider) -> Browser:
        return Browser.at(running)

    def test_that_nobody_has(self, browser: Browser, running: RunningProvider) -> None:
        page = use(browser, Authenticator(), browser.open(f"{paths.SIGN_IN}?email={ALICE}"))
        assert page.status == 401
        assert refusals(running) == [told("unknown-passkey", ALICE)]

    def test_of_somebody_else(self, browser: Browser, running: RunningProvider) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        use(browser, registered(running, BOB), browser.open(f"{paths.SIGN_IN}?email={ALICE}"))
        assert refusals(running) == [told("other-account", ALICE)]

    def test_that_came_too_late(self, browser: Browser, running: RunningProvider) -> None:
        key = registered(running, ALICE)
        fields = browser.open(paths.SIGN_IN).form(paths.PASSKEY).fields
        options = json.loads(browser.post(paths.PASSKEY_OPTIONS, fields).html)
        running.clock.now += 10 * MINUTE_MS
        page = browser.post(paths.PASSKEY, fields | {"response": key.get(options)})
        assert page.status == 400
        assert refusals(running) == [told("stale-challenge")]

    def test_of_another_site(self, browser: Browser, running: RunningProvider) -> None:
        device = Authenticator(origin="https://evil.test")
        use(browser, device, browser.open(f"{paths.SIGN_IN}?email={ALICE}"))
        assert [each["reason"] for each in refusals(running)] == ["unknown-passkey"]

    def test_that_makes_no_sense(self, browser: Browser, running: RunningProvider) -> None:
        fields = browser.open(paths.SIGN_IN).form(paths.PASSKEY).fields
        browser.post(paths.PASSKEY, fields | {"response": "{}"})
        assert refusals(running) == [told("invalid-passkey")]


class TestAProgram:
    KEY = PrivateKey.generate("ES256").public_key.to_json()

    def test_that_knows_the_password_only(self, running: RunningProvider) -> None:
        with_second_step(running)
        request = {"email": ALICE, "password": PASSWORD, "public-key": self.KEY}
        assert running.post("/certify", json=request).status_code == 403
        assert refusals(running) == [told("second-factor-needed", ALICE)]

    def test_with_a_code_that_is_none(self, running: RunningProvider) -> None:
        request = {"code": "x" * 43, "code_verifier": "y" * 43}
        assert running.post("/certify", json=request).status_code == 400
        assert refusals(running) == [told("invalid-code")]

    def test_that_guesses_for_too_long(self, running: RunningProvider) -> None:
        request = {"email": ALICE, "password": "wrong", "public-key": self.KEY}
        while running.post("/certify", json=request).status_code == 401:
            assert refusals(running) == []
        assert refusals(running) == [told("too-many-attempts", ALICE)]


def test_a_form_of_another_site_and_a_link_that_was_used(running: RunningProvider) -> None:
    browser = Browser.at(running)
    csrf = browser.open(paths.SIGN_IN).csrf()
    browser.post(paths.SIGN_IN, {"csrf": csrf}, {"Origin": "https://evil.test"})
    browser.open(f"{paths.INVITATION}?token={'x' * 43}")
    assert refusals(running) == [told("cross-site"), told("invitation-spent")]


def test_what_makes_no_sense_is_not_written_down(running: RunningProvider) -> None:
    running.post("/certify", json={"code": 1})
    Browser.at(running).open(f"{paths.AUTHENTICATION}?state=x")
    Browser.at(running).open("/browserid/none")
    assert refusals(running) == []


class TestAMinute:
    ERROR = RefusedError(401, "unknown-passkey", "")

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        return tmp_path / "audit.log"

    @pytest.fixture
    def written(self, log: Path, database: Database) -> Refusals:
        return Refusals(audit_log(database, log.parent))

    def lines(self, log: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    def test_has_so_many_of_a_network_and_says_how_many_more_there_were(
        self, written: Refusals, log: Path
    ) -> None:
        for last in range(MOST_OF_NETWORK + 7):
            written.record(self.ERROR, f"2001:db8::{last:x}", 0)
        assert len(self.lines(log)) == MOST_OF_NETWORK
        written.record(self.ERROR, "192.0.2.1", 0)
        written.record(self.ERROR, "2001:db8::1", MINUTE_MS)
        assert [line["left_out"] for line in self.lines(log)[-2:]] == [7, 0]

    def test_has_so_many_in_all(self, written: Refusals, log: Path) -> None:
        for number in range(2 * MOST):
            written.record(self.ERROR, f"10.0.{number}.1", 0)
        assert len(self.lines(log)) == MOST

    def test_can_come_before_the_last_one(self, written: Refusals, log: Path) -> None:
        written.record(self.ERROR, HERE, 10 * MINUTE_MS)
        written.record(self.ERROR, HERE, 0)
        assert len(self.lines(log)) == 2
