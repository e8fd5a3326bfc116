"""Signing in with a passkey, and with a second step after the password."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from webauthn.helpers import base64url_to_bytes

from tests.support.authenticator import Authenticator
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, PASSWORD, RunningProvider

SIGN_IN = "/browserid/sign-in"
SECOND_STEP = "/browserid/second-step"
PASSKEY = "/browserid/passkey"
OPTIONS = "/browserid/passkey/options"
ACCOUNT = "/browserid/account"
SESSION = "__Host-browserid-session"
BOB = "bob@example.test"
HERE = "127.0.0.1"


@pytest.fixture
def key(running: RunningProvider) -> Authenticator:
    """Alice's passkey."""
    return registered(running, ALICE)


def registered(running: RunningProvider, email: str) -> Authenticator:
    passkeys, now = running.provider.passkeys, running.clock.now
    key = Authenticator()
    passkeys.register(email, key.create(passkeys.registration_options(email, now)), "", HERE, now)
    return key


def use(browser: Browser, key: Authenticator, page: Shown) -> Shown:
    """What the script does with the form."""
    fields = page.form(PASSKEY).fields
    options = browser.post(OPTIONS, fields, {"Accept": "application/json"})
    return browser.post(PASSKEY, fields | {"response": key.get(json.loads(options.html))})


class TestPasskeys:
    def test_one_signs_in_without_an_address(self, browser: Browser, key: Authenticator) -> None:
        page = use(browser, key, browser.open(f"{SIGN_IN}?next=/browserid/sign-out"))
        assert page.path == "/browserid/sign-out"
        assert ALICE in browser.open(ACCOUNT).text

    def test_one_signs_in_with_its_address(self, browser: Browser, key: Authenticator) -> None:
        assert use(browser, key, browser.open(f"{SIGN_IN}?email={ALICE}")).path == ACCOUNT

    def test_one_needs_no_second_step(
        self, browser: Browser, key: Authenticator, running: RunningProvider
    ) -> None:
        with_second_step(running)
        assert use(browser, key, browser.open(SIGN_IN)).path == ACCOUNT

    def test_anothers_is_refused(
        self, browser: Browser, key: Authenticator, running: RunningProvider
    ) -> None:
        running.provider.accounts.add(BOB, PASSWORD, running.clock.now)
        bobs = registered(running, BOB)
        page = use(browser, bobs, browser.open(f"{SIGN_IN}?email={ALICE}"))
        assert page.status == 403
        assert SESSION not in browser.cookies
        assert any(given.get("role") == "alert" and tag == "p" for tag, given in page.tags)

    def test_one_answer_is_good_once(self, browser: Browser, key: Authenticator) -> None:
        page = browser.open(SIGN_IN)
        fields = page.form(PASSKEY).fields
        options = json.loads(browser.post(OPTIONS, fields).html)
        answer = fields | {"response": key.get(options)}
        assert browser.post(PASSKEY, answer).path == ACCOUNT
        browser.submit(browser.open(ACCOUNT), "/browserid/sign-out")
        again = answer | {"csrf": browser.open(SIGN_IN).csrf()}
        assert browser.post(PASSKEY, again).status == 400
        assert SESSION not in browser.cookies

    @pytest.mark.parametrize("response", ["", "{}", "[", '{"id": 1}', "x" * 12_000])
    def test_nonsense_is_refused_on_a_page(self, browser: Browser, response: str) -> None:
        page = browser.open(SIGN_IN)
        page = browser.post(PASSKEY, page.form(PASSKEY).fields | {"response": response})
        assert page.status == 400
        assert page.form(SIGN_IN)

    def test_options_do_not_tell_who_has_an_account(
        self, browser: Browser, key: Authenticator
    ) -> None:
        page = browser.open(SIGN_IN)
        answers = []
        for email in (ALICE, "nobody@example.test"):
            shown = browser.post(OPTIONS, page.form(PASSKEY).fields | {"email": email})
            options = json.loads(shown.html)
            assert len(base64url_to_bytes(options.pop("challenge"))) > 30
            answers.append((shown.status, options))
        assert answers[0] == answers[1]


def with_second_step(running: RunningProvider) -> TOTP:
    """Have Alice's account ask for codes; what makes them."""
    provider, now = running.provider, running.clock.now
    secret = provider.second_factors.begin(ALICE, now)
    totp = totp_of(secret)
    code = totp.generate(now // 1000).decode()
    assert provider.second_factors.confirm(ALICE, code, HERE, now)
    running.clock.now += 30_000
    return totp


def totp_of(secret: str) -> TOTP:
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return TOTP(key, 6, SHA1(), 30)


@pytest.fixture
def totp(running: RunningProvider) -> Iterator[TOTP]:
    yield with_second_step(running)


class TestTheSecondStep:
    def test_comes_after_the_password(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        page = browser.sign_in(goal="/browserid/account?x=1")
        assert page.path == SECOND_STEP
        assert browser.open(ACCOUNT).path == SIGN_IN
        code = totp.generate(running.clock.now // 1000).decode()
        page = browser.submit(page, SECOND_STEP, code=code)
        assert (page.path, page.query) == (ACCOUNT, "x=1")

    def test_another_language_in_between_loses_nothing(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        page = browser.sign_in(goal="/browserid/account?x=1")
        page = browser.submit(page, SECOND_STEP, code="000000")
        page = browser.submit(page, "/browserid/language", language="de")
        assert page.path == SECOND_STEP
        code = totp.generate(running.clock.now // 1000).decode()
        page = browser.submit(page, SECOND_STEP, code=code)
        assert (page.path, page.query) == (ACCOUNT, "x=1")

    def test_its_cookie_is_not_that_of_the_session(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        page = browser.sign_in()
        half_way = browser.cookies[SESSION]
        browser.submit(page, SECOND_STEP, code=totp.generate(running.clock.now // 1000).decode())
        assert browser.cookies[SESSION] != half_way
        browser.put_cookie(SESSION, half_way)
        assert browser.open(ACCOUNT).path == SIGN_IN

    def test_a_code_is_good_once(
        self, browser: Browser, other_browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        code = totp.generate(running.clock.now // 1000).decode()
        browser.submit(browser.sign_in(), SECOND_STEP, code=code)
        page = other_browser.submit(other_browser.sign_in(), SECOND_STEP, code=code)
        assert (page.status, page.path) == (401, SECOND_STEP)
        assert next(given for _, given in page.tags if given.get("id") == "code")["aria-invalid"]

    def test_a_recovery_code_will_do(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        codes = running.provider.recovery_codes.renew(ALICE, HERE, running.clock.now)
        assert browser.submit(browser.sign_in(), SECOND_STEP, code=codes[0]).path == ACCOUNT
        assert running.provider.recovery_codes.left(ALICE) == len(codes) - 1

    def test_guessing_codes_is_limited_whatever_the_password_does(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        statuses = []
        for _ in range(8):
            page = browser.sign_in()
            if page.path != SECOND_STEP:
                statuses.append(page.status)
                break
            statuses.append(browser.submit(page, SECOND_STEP, code="000000").status)
        assert statuses[-1] == 429

    def test_without_the_password_there_is_none(self, browser: Browser, totp: TOTP) -> None:
        assert browser.open(SECOND_STEP).path == SIGN_IN
        fields = {"csrf": browser.open(SIGN_IN).csrf(), "code": "000000"}
        assert browser.post(SECOND_STEP, fields).path == SIGN_IN

    def test_it_waits_ten_minutes(
        self, browser: Browser, running: RunningProvider, totp: TOTP
    ) -> None:
        page = browser.sign_in()
        running.clock.now += 600_001
        fields = page.form(SECOND_STEP).fields | {
            "code": totp.generate(running.clock.now // 1000).decode()
        }
        assert browser.post(SECOND_STEP, fields).status == 403
        assert SESSION in browser.cookies
        assert browser.open(ACCOUNT).path == SIGN_IN
