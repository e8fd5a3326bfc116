"""The page for programs on other machines, and the list of where certificates went."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from browserid_sasl.idp.web import paths
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, PASSWORD, RunningProvider

BOB = "bob@example.test"
DEVICE = paths.DEVICE


class Machine:
    """A machine without a browser, with a program that waits."""

    def __init__(self, running: RunningProvider, email: str = ALICE, name: str = "server") -> None:
        self.running = running
        self.key = PrivateKey.generate("ES256").public_key
        request = {"email": email, "public-key": self.key.to_json(), "machine": name}
        self.codes: dict[str, Any] = running.post("/device-authorization", json=request).json()
        self.code: str = self.codes["user_code"]

    def poll(self) -> dict[str, Any]:
        self.running.clock.now += 5_000
        request = {"device_code": self.codes["device_code"]}
        answer: dict[str, Any] = self.running.post("/certify", json=request).json()
        return answer


@pytest.fixture
def machine(running: RunningProvider) -> Machine:
    return Machine(running)


def type_in(browser: Browser, code: str) -> Shown:
    return browser.submit(browser.open(DEVICE), DEVICE, user_code=code)


def decide(browser: Browser, page: Shown, decision: str, **fields: str) -> Shown:
    return browser.submit(page, DEVICE, decision=decision, **fields)


class TestADevice:
    def test_is_signed_in_by_its_code(self, browser: Browser, machine: Machine) -> None:
        assert machine.poll()["error"] == "authorization_pending"
        browser.sign_in()
        page = type_in(browser, machine.code)
        for part in (ALICE, "server", b64.encode(machine.key.thumbprint), "127.0.0.1", "UTC"):
            assert part in page.text
        assert machine.poll()["error"] == "authorization_pending"
        page = decide(browser, page, "allow")
        assert (page.status, page.path) == (200, DEVICE)
        assert set(machine.poll()) == {"certificate"}

    def test_is_kept_signed_in_if_that_is_ticked(self, browser: Browser, machine: Machine) -> None:
        browser.sign_in()
        page = type_in(browser, machine.code)
        box = next(given for _, given in page.tags if given.get("name") == "renewal")
        assert "checked" not in box
        decide(browser, page, "allow", renewal="yes")
        assert "renewal" in machine.poll()

    def test_is_denied(self, browser: Browser, machine: Machine) -> None:
        browser.sign_in()
        page = decide(browser, type_in(browser, machine.code), "deny")
        assert (page.status, page.path) == (200, DEVICE)
        assert machine.poll()["error"] == "access_denied"

    def test_has_a_link_that_fills_the_code_in_and_does_no_more(
        self, browser: Browser, machine: Machine
    ) -> None:
        parts = urlsplit(machine.codes["verification_uri_complete"])
        assert parts.path == DEVICE
        page = browser.sign_in(goal=f"{parts.path}?{parts.query}")
        assert page.form(DEVICE).fields["user_code"] == machine.code
        assert machine.poll()["error"] == "authorization_pending"

    @pytest.mark.parametrize("spell", [str.lower, lambda code: code.replace("-", " . ")])
    def test_takes_the_code_however_it_is_written(
        self, browser: Browser, machine: Machine, spell: Any
    ) -> None:
        browser.sign_in()
        assert "server" in type_in(browser, spell(machine.code)).text

    def test_is_somebody_elses(
        self, browser: Browser, running: RunningProvider, machine: Machine
    ) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        browser.sign_in(BOB)
        page = type_in(browser, machine.code)
        assert page.status == 422
        assert "server" not in page.text
        page = browser.post(
            DEVICE, {"csrf": page.csrf(), "user_code": machine.code, "decision": "allow"}
        )
        assert page.status == 422
        assert machine.poll()["error"] == "authorization_pending"

    def test_a_wrong_code_is_said_at_its_field(self, browser: Browser) -> None:
        browser.sign_in()
        page = type_in(browser, "BBBB-BBBB")
        assert page.status == 422
        field = next(given for _, given in page.tags if given.get("id") == "user_code")
        assert field["aria-invalid"] == "true"
        assert "user_code-error" in field["aria-describedby"]

    def test_codes_cannot_be_guessed(self, browser: Browser) -> None:
        browser.sign_in()
        statuses = [type_in(browser, f"BBBB-BBB{letter}").status for letter in "BCDFGHJKLMN"]
        assert statuses[-1] == 429

    def test_an_expired_code_is_called_that(
        self, browser: Browser, running: RunningProvider, machine: Machine
    ) -> None:
        browser.sign_in()
        running.clock.now += 601_000
        page = type_in(browser, machine.code)
        assert page.status == 400
        assert "expired" in page.text

    def test_a_code_is_good_once(self, browser: Browser, machine: Machine) -> None:
        browser.sign_in()
        decide(browser, type_in(browser, machine.code), "deny")
        assert type_in(browser, machine.code).status == 400

    def test_its_name_is_shown_as_it_is(self, browser: Browser, running: RunningProvider) -> None:
        name = "<script>alert(1)</script>\"'<img src=x>"
        machine = Machine(running, name=name)
        browser.sign_in()
        page = type_in(browser, machine.code)
        assert name in page.text
        assert "<script" not in page.html
        assert "<img" not in page.html


class TestTheListOfMachines:
    def test_has_each_and_revokes_one(self, browser: Browser, running: RunningProvider) -> None:
        browser.sign_in()
        machines = [Machine(running, name=name) for name in ("attic", "cellar")]
        for machine in machines:
            decide(browser, type_in(browser, machine.code), "allow", renewal="yes")
            machine.poll()
        page = browser.open(paths.ACCOUNT)
        assert "attic" in page.text
        assert "cellar" in page.text
        attic = next(
            each
            for each in running.provider.renewals.all(ALICE, running.clock.now)
            if each.machine == "attic"
        )
        page = browser.post(paths.REVOKE_MACHINE, {"csrf": page.csrf(), "id": str(attic.id)})
        assert page.path == paths.ACCOUNT
        assert "attic" not in page.text
        assert "cellar" in page.text
        assert "revoked" in running.audit_log()

    def test_another_persons_is_not_revoked(
        self, browser: Browser, running: RunningProvider, machine: Machine
    ) -> None:
        browser.sign_in()
        decide(browser, type_in(browser, machine.code), "allow")
        machine.poll()
        mine = running.provider.renewals.all(ALICE, running.clock.now)[0]
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        other = Browser.at(running)
        page = other.sign_in(BOB)
        for number in (str(mine.id), "", "-1", "x", "9" * 30, "\u0661"):
            answer = other.post(paths.REVOKE_MACHINE, {"csrf": page.csrf(), "id": number})
            assert answer.status == 404
        assert running.provider.renewals.all(ALICE, running.clock.now)

    def test_signing_out_everywhere_ends_all_but_this_session(
        self, browser: Browser, other_browser: Browser, running: RunningProvider, machine: Machine
    ) -> None:
        browser.sign_in()
        other_browser.sign_in()
        decide(browser, type_in(browser, machine.code), "allow", renewal="yes")
        machine.poll()
        page = browser.submit(browser.open(paths.ACCOUNT), paths.SIGN_OUT_EVERYWHERE)
        assert page.path == paths.ACCOUNT
        assert running.provider.renewals.all(ALICE, running.clock.now) == []
        assert other_browser.open(paths.ACCOUNT).path == paths.SIGN_IN
