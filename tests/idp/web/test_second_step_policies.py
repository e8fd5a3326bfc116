"""What `second_step` asks for after a password: the provider's own here, a backend's as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from browserid_sasl.idp.second_steps import SecondStep
from tests.idp.web.test_device import DEVICE, Machine, decide, type_in
from tests.idp.web.test_second_steps import (
    ACCOUNT,
    SECOND_STEP,
    SIGN_IN,
    registered,
    use,
    with_second_step,
)
from tests.support.authenticator import Authenticator
from tests.support.browser import Browser
from tests.support.grants import Program
from tests.support.provider import ALICE, PASSWORD, RunningProvider, running_provider

NEW_PASSKEY = "/browserid/account/new-passkey"


@pytest.fixture
def policy() -> SecondStep:
    return "passkey"


@pytest.fixture
def running(tmp_path: Path, policy: SecondStep) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider", second_step=policy) as running:
        yield running


def certify(running: RunningProvider) -> tuple[int, str]:
    """What a program gets that has a code."""
    program, now = Program(), running.clock.now
    code = program.code(running.provider.codes, now, email=ALICE)
    grant = {"code": code, "code_verifier": program.verifier}
    answer = running.post("/certify", json=grant)
    return answer.status_code, answer.json().get("error", "")


def by_password(running: RunningProvider) -> str:
    key = Program().key.public_key.to_json()
    asked = {"email": ALICE, "password": PASSWORD, "public-key": key}
    return str(running.post("/certify", json=asked).json().get("error", ""))


@pytest.mark.parametrize("policy", ["required"])
def test_a_machine_waits_until_its_person_has_added_one(
    browser: Browser, running: RunningProvider
) -> None:
    """Or it would be told what only its person can mend."""
    machine = Machine(running)
    browser.sign_in()
    csrf = browser.open(NEW_PASSKEY).csrf()
    asked = {"csrf": csrf, "user_code": machine.code}
    for page in (
        browser.open(f"{DEVICE}?user_code={machine.code}"),
        browser.post(DEVICE, asked),
        browser.post(DEVICE, asked | {"decision": "allow"}),
    ):
        assert page.path == NEW_PASSKEY
        assert f"next={quote(DEVICE, safe='')}%3Fuser_code%3D{machine.code}" in page.query
    assert machine.poll()["error"] == "authorization_pending"
    registered(running, ALICE)
    decide(browser, type_in(browser, machine.code), "allow")
    assert "certificate" in machine.poll()


class TestAPasskeyOfWhoHasOne:
    def test_it_is_asked_for_after_the_password(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        key = registered(running, ALICE)
        page = browser.sign_in()
        assert page.path == SECOND_STEP
        assert browser.open(ACCOUNT).path == SIGN_IN
        page = use(browser, key, browser.open(SECOND_STEP))
        assert page.path == ACCOUNT
        assert by_password(running) == "second-factor-needed"

    def test_somebody_elses_does_not_do(self, browser: Browser, running: RunningProvider) -> None:
        registered(running, ALICE)
        running.provider.accounts.add("bob@example.test", PASSWORD, running.clock.now)
        other = registered(running, "bob@example.test")
        page = use(browser, other, browser.sign_in())
        assert page.status == 403
        assert browser.open(ACCOUNT).path == SIGN_IN

    def test_a_code_does_as_well(self, browser: Browser, running: RunningProvider) -> None:
        registered(running, ALICE)
        app = with_second_step(running)
        code = app.generate(running.clock.now // 1000).decode()
        assert browser.submit(browser.sign_in(), SECOND_STEP, code=code).path == ACCOUNT

    def test_who_has_none_is_not_asked(self, browser: Browser, running: RunningProvider) -> None:
        assert browser.sign_in().path == ACCOUNT
        assert certify(running) == (200, "")
        assert by_password(running) == ""


@pytest.mark.parametrize("policy", ["required"])
class TestOneOfEverybody:
    def test_nothing_is_certified_without(self, running: RunningProvider) -> None:
        assert certify(running) == (403, "second-step-missing")
        assert by_password(running) == "second-step-missing"

    def test_it_is_added_at_the_first_sign_in(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        page = browser.sign_in(goal=f"{ACCOUNT}?x=1")
        assert page.path == NEW_PASSKEY
        key, fields = Authenticator(), page.form(NEW_PASSKEY).fields
        options = browser.post(f"{NEW_PASSKEY}/options", fields, {"Accept": "application/json"})
        made = key.create(json.loads(options.html))
        page = browser.post(NEW_PASSKEY, fields | {"response": made})
        assert page.answer.url.endswith(f"{ACCOUNT}?x=1")
        assert certify(running) == (200, "")
        assert Browser.at(running).sign_in().path == SECOND_STEP

    def test_an_app_for_codes_does(self, running: RunningProvider) -> None:
        with_second_step(running)
        assert certify(running) == (200, "")
        assert by_password(running) == "second-factor-needed"


@pytest.mark.parametrize("policy", ["code"])
def test_usually_a_password_is_enough(browser: Browser, running: RunningProvider) -> None:
    registered(running, ALICE)
    assert browser.sign_in().path == ACCOUNT
