"""The page that a program opens in a person's browser: consent, and what comes back of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.web import paths
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, PASSWORD, RunningProvider, running_provider

BOB = "bob@example.test"
KEY = PrivateKey.generate("ES256").public_key
VERIFIER = "v" * 43
STATE = "a state & more"
BACK = "http://127.0.0.1:4711/back"
AUTHENTICATION = paths.AUTHENTICATION


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("asked") / "provider") as provider:
        yield provider


def challenge_of(verifier: str) -> str:
    return b64.encode(hashlib.sha256(verifier.encode()).digest())


def asked(**changes: str) -> str:
    """The address that a program opens. A parameter that is empty is left out."""
    parameters = {
        "email": ALICE,
        "public-key": b64.encode(json.dumps(KEY.to_json()).encode()),
        "state": STATE,
        "redirect_uri": BACK,
        "code_challenge": challenge_of(VERIFIER),
        "machine": "laptop",
    } | {name.replace("public_key", "public-key"): value for name, value in changes.items()}
    return f"{AUTHENTICATION}?{urlencode({k: v for k, v in parameters.items() if v})}"


def came_back(page: Shown) -> dict[str, str]:
    """What a program hears that listens."""
    assert page.status == 303
    parts = urlsplit(page.location)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == BACK
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def redeem(running: RunningProvider, code: str, verifier: str = VERIFIER) -> Any:
    answer = running.post("/certify", json={"code": code, "code_verifier": verifier})
    return answer.json()


def allow(browser: Browser, page: Shown, **fields: str) -> Shown:
    return browser.submit(page, AUTHENTICATION, **fields)


class TestConsent:
    def test_a_stranger_signs_in_first_and_comes_back_to_the_question(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        page = browser.open(asked())
        assert page.path == paths.SIGN_IN
        assert page.form(paths.SIGN_IN).fields["email"] == ALICE
        page = browser.submit(page, paths.SIGN_IN, password=PASSWORD)
        assert page.path == AUTHENTICATION
        back = came_back(allow(browser, page))
        assert back["state"] == STATE
        certificate = Certificate.parse(redeem(running, back["code"])["certificate"])
        assert certificate.email == ALICE
        assert certificate.public_key == KEY

    def test_it_says_what_is_asked_for(self, browser: Browser) -> None:
        text = browser.sign_in(goal=asked()).text
        for part in (ALICE, "laptop", b64.encode(KEY.thumbprint), "UTC"):
            assert part in text

    def test_nothing_is_ticked_and_nothing_happens_by_itself(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        before = running.audit_log()
        page = browser.sign_in(goal=asked())
        box = next(given for tag, given in page.tags if given.get("name") == "renewal")
        assert box["type"] == "checkbox"
        assert "checked" not in box
        assert not [tag for tag, given in page.tags if tag == "script" or "autofocus" in given]
        assert "consented" not in running.audit_log()[len(before) :]

    @pytest.mark.parametrize("ticked", [False, True])
    def test_renewals_are_allowed_by_ticking(
        self, browser: Browser, running: RunningProvider, ticked: bool
    ) -> None:
        page = browser.sign_in(goal=asked())
        fields = {"renewal": "yes"} if ticked else {}
        code = came_back(allow(browser, page, **fields))["code"]
        assert ("renewal" in redeem(running, code)) is ticked

    def test_a_code_is_worth_nothing_to_another_program(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        code = came_back(allow(browser, browser.sign_in(goal=asked())))["code"]
        assert redeem(running, code, "w" * 43)["error"] == "invalid-code"

    def test_who_is_signed_in_is_asked_at_once(self, browser: Browser) -> None:
        browser.sign_in()
        assert browser.open(asked()).path == AUTHENTICATION

    def test_a_session_that_ends_in_the_middle_costs_a_sign_in(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        page = browser.sign_in(goal=asked())
        running.provider.sessions.end_all(ALICE)
        page = allow(browser, page)
        assert page.path == paths.SIGN_IN
        page = browser.submit(page, paths.SIGN_IN, password=PASSWORD)
        assert page.path == AUTHENTICATION
        assert "code" in came_back(allow(browser, page))

    @pytest.mark.parametrize(
        ("uri", "target"),
        [
            ("http://127.0.0.1:4711/back", "http://127.0.0.1:4711"),
            ("http://localhost/x", "http://localhost"),
            ("http://[::1]:4711/back", "http:"),
        ],
    )
    def test_its_form_may_lead_to_the_program_and_no_further(
        self, browser: Browser, uri: str, target: str
    ) -> None:
        page = browser.sign_in(goal=asked(redirect_uri=uri))
        assert f"form-action 'self' {target};" in page.headers["Content-Security-Policy"]


class TestCancelling:
    def test_before_the_sign_in(self, browser: Browser) -> None:
        self._cancelled(browser, browser.open(asked()))

    def test_before_the_password(self, browser: Browser) -> None:
        self._cancelled(browser, browser.open(f"{paths.SIGN_IN}?{urlencode({'next': asked()})}"))

    def test_after_a_wrong_password(self, browser: Browser) -> None:
        self._cancelled(browser, browser.sign_in(goal=asked(), password="wrong"))

    def test_at_the_question(self, browser: Browser) -> None:
        self._cancelled(browser, browser.sign_in(goal=asked()))

    def test_when_another_is_signed_in(self, browser: Browser, running: RunningProvider) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        browser.sign_in(BOB)
        self._cancelled(browser, browser.open(asked()))

    def _cancelled(self, browser: Browser, page: Shown) -> None:
        link = next(
            given["href"]
            for tag, given in page.tags
            if tag == "a" and given.get("href", "").startswith(paths.CANCEL)
        )
        assert came_back(browser.open(link)) == {"error": "access_denied", "state": STATE}


class TestAnotherIdentity:
    def test_both_are_named_and_nothing_is_given(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        browser.sign_in(BOB)
        page = browser.open(asked())
        assert page.status == 409
        assert ALICE in page.text
        assert BOB in page.text
        page = browser.post(paths.SIGN_OUT, other_form(page))
        assert page.form(paths.SIGN_IN).fields["email"] == ALICE
        page = browser.submit(page, paths.SIGN_IN, password=PASSWORD)
        assert "code" in came_back(allow(browser, page))

    def test_who_changes_in_the_middle_gives_nothing(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        page = browser.sign_in(goal=asked())
        browser.submit(page, paths.SIGN_OUT)
        csrf = browser.sign_in(BOB).csrf()
        page = browser.post(page.form(AUTHENTICATION).action, {"csrf": csrf})
        assert page.status == 409


def other_form(page: Shown) -> dict[str, str]:
    """The form that signs the other one out."""
    forms = [form for form in page.forms if form.action == paths.SIGN_OUT]
    return next(form.fields for form in forms if "next" in form.fields)


BAD = {
    "another host": {"redirect_uri": "http://evil.test/"},
    "a host that looks like it": {"redirect_uri": "http://127.0.0.1.evil.test/"},
    "user information": {"redirect_uri": "http://127.0.0.1@evil.test/"},
    "a fragment": {"redirect_uri": "http://127.0.0.1:1/#x"},
    "a query": {"redirect_uri": "http://127.0.0.1:1/?x"},
    "https": {"redirect_uri": "https://127.0.0.1:1/"},
    "a script": {"redirect_uri": "javascript:alert(1)"},
    "a line break": {"redirect_uri": "http://127.0.0.1:1/\r\nX: y"},
    "no redirect_uri": {"redirect_uri": ""},
    "no state": {"state": ""},
    "no challenge": {"code_challenge": ""},
    "a bad challenge": {"code_challenge": "x"},
    "a plain challenge": {"code_challenge_method": "plain"},
    "no key": {"public_key": ""},
    "a bad key": {"public_key": "e30"},
    "another domain": {"email": "alice@elsewhere.test"},
    "a machine's name with a line break": {"machine": "x\ny"},
    "a machine's name that turns the text around": {"machine": "x\u202ey"},
    "a long name": {"machine": "x" * 65},
}


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_bad_request_ends_on_a_page_and_never_in_a_redirect(
    browser: Browser, signed_in: bool
) -> None:
    if signed_in:
        browser.sign_in()
    for what, changes in BAD.items():
        for path in (AUTHENTICATION, paths.CANCEL):
            page = browser.open(asked(**changes).replace(AUTHENTICATION, path, 1))
            assert (page.status, page.location) == (400, ""), what
            assert "<h1>" in page.html


@pytest.mark.parametrize(
    "machine", ["<script>alert(1)</script>", "\"'><img src=x>", "{{7*7}}%(x)s%s"]
)
def test_a_machines_name_is_shown_as_it_is(
    browser: Browser, running: RunningProvider, machine: str
) -> None:
    page = browser.sign_in(goal=asked(machine=machine))
    assert machine in page.text
    assert "<img" not in page.html
    assert "<script" not in page.html
    redeem(running, came_back(allow(browser, page))["code"])
    page = browser.open(paths.ACCOUNT)
    assert machine in page.text
    assert "<img" not in page.html
    assert "<script>alert" not in page.html
