"""The account page: what it shows, and how what people sign in with is changed."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from browserid_sasl.idp.passkeys import MOST_PASSKEYS
from browserid_sasl.idp.web.visit import FRESH_MS
from browserid_sasl.jose.keys import PrivateKey
from tests.support.authenticator import PRESENT, Authenticator
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, PASSWORD, RunningProvider

ACCOUNT = "/browserid/account"
NEW_PASSKEY = f"{ACCOUNT}/new-passkey"
PASSKEY = f"{ACCOUNT}/passkey"
PASSWORD_PAGE = f"{ACCOUNT}/password"
SECOND_FACTOR = f"{ACCOUNT}/second-factor"
RECOVERY_CODES = f"{ACCOUNT}/recovery-codes"
OTHER_BROWSERS = f"{ACCOUNT}/other-browsers"
SIGN_IN = "/browserid/sign-in"
FRESH_PAGES = (NEW_PASSKEY, PASSWORD_PAGE, SECOND_FACTOR, RECOVERY_CODES)
NEW = "another password"


def code(secret: str, now: int) -> str:
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(now // 1000).decode()


def add_passkey(browser: Browser, device: Authenticator, name: str = "") -> Shown:
    """What the script does with the form."""
    fields = browser.open(NEW_PASSKEY).form(NEW_PASSKEY).fields | {"name": name}
    options = browser.post(f"{NEW_PASSKEY}/options", fields, {"Accept": "application/json"})
    return browser.post(NEW_PASSKEY, fields | {"response": device.create(json.loads(options.html))})


def form_with(page: Shown, action: str, button: str) -> dict[str, str]:
    """The fields of the form with a button, which is pressed."""
    for form in page.forms:
        if urlsplit(form.action).path == action and ("do", button) in form.buttons:
            return form.fields | {"do": button}
    raise AssertionError((action, button))


@pytest.fixture
def signed_in(browser: Browser) -> Browser:
    assert browser.sign_in().path == ACCOUNT
    return browser


class TestReauthentication:
    @pytest.mark.parametrize("path", FRESH_PAGES)
    def test_a_sign_in_of_some_minutes_ago_is_not_enough(
        self, signed_in: Browser, running: RunningProvider, path: str
    ) -> None:
        assert signed_in.open(path).path == path
        running.clock.now += FRESH_MS
        page = signed_in.open(path)
        assert page.path == SIGN_IN
        assert ALICE in page.text
        assert signed_in.submit(page, SIGN_IN, password=PASSWORD).path == path

    def test_nor_for_a_form_that_was_left_open(
        self, signed_in: Browser, running: RunningProvider
    ) -> None:
        page = signed_in.open(PASSWORD_PAGE)
        running.clock.now += FRESH_MS
        fields = form_with(page, PASSWORD_PAGE, "set") | {"password": NEW, "again": NEW}
        assert signed_in.post(PASSWORD_PAGE, fields).path == SIGN_IN
        assert running.provider.accounts.verify(ALICE, PASSWORD, running.clock.now)

    def test_the_account_itself_can_be_looked_at(
        self, signed_in: Browser, running: RunningProvider
    ) -> None:
        running.clock.now += FRESH_MS
        assert signed_in.open(ACCOUNT).path == ACCOUNT

    @pytest.mark.parametrize("path", FRESH_PAGES)
    def test_strangers_sign_in_first(self, browser: Browser, path: str) -> None:
        assert browser.open(path).path == SIGN_IN


class TestPasskeys:
    def test_one_is_added(self, signed_in: Browser, running: RunningProvider) -> None:
        device = Authenticator()
        page = add_passkey(signed_in, device, "<b>My & phone")
        assert page.path == ACCOUNT
        assert "The passkey was added." in page.text
        assert "<b>My & phone" in page.text
        now = running.clock.now
        options = running.provider.passkeys.authentication_options(ALICE, now)
        answer = device.get(options)
        assert running.provider.passkeys.authenticate(answer, "::1", now, email=ALICE) == ALICE

    def test_one_without_a_pin_gets_words(self, signed_in: Browser) -> None:
        page = add_passkey(signed_in, Authenticator(flags=PRESENT), "my key")
        assert page.status == 400
        assert "Give it a PIN" in page.text
        assert page.form(NEW_PASSKEY).fields["name"] == "my key"

    def test_there_is_a_limit(self, signed_in: Browser, running: RunningProvider) -> None:
        passkeys, now = running.provider.passkeys, running.clock.now
        for _ in range(MOST_PASSKEYS):
            answer = Authenticator().create(passkeys.registration_options(ALICE, now))
            passkeys.register(ALICE, answer, "", "::1", now)
        page = signed_in.open(NEW_PASSKEY)
        assert page.status == 409
        assert "Remove one that you do not use." in page.text

    def test_one_is_renamed_and_removed(self, signed_in: Browser, running: RunningProvider) -> None:
        add_passkey(signed_in, Authenticator())
        (passkey,) = running.provider.passkeys.all(ALICE)
        path = f"{PASSKEY}?id={passkey.id}"
        fields = form_with(signed_in.open(path), PASSKEY, "rename") | {"name": "Phone"}
        assert "Phone" in signed_in.post(path, fields).text
        fields = form_with(signed_in.open(path), PASSKEY, "remove")
        page = signed_in.post(path, fields)
        assert page.path == ACCOUNT
        assert running.provider.passkeys.all(ALICE) == []
        assert signed_in.open(path).status == 404

    def test_one_is_gone_on_with_after_another_sign_in(
        self, signed_in: Browser, running: RunningProvider
    ) -> None:
        add_passkey(signed_in, Authenticator())
        (passkey,) = running.provider.passkeys.all(ALICE)
        path = f"{PASSKEY}?id={passkey.id}"
        fields = form_with(signed_in.open(path), PASSKEY, "remove")
        running.clock.now += FRESH_MS
        page = signed_in.post(path, fields)
        assert page.path == SIGN_IN
        page = signed_in.submit(page, SIGN_IN, password=PASSWORD)
        assert (page.path, page.query, page.status) == (PASSKEY, f"id={passkey.id}", 200)

    def test_the_last_means_stays(self, signed_in: Browser, running: RunningProvider) -> None:
        add_passkey(signed_in, Authenticator())
        fields = form_with(signed_in.open(PASSWORD_PAGE), PASSWORD_PAGE, "remove")
        assert "The password was removed." in signed_in.post(PASSWORD_PAGE, fields).text
        (passkey,) = running.provider.passkeys.all(ALICE)
        path = f"{PASSKEY}?id={passkey.id}"
        fields = form_with(signed_in.open(path), PASSKEY, "remove")
        page = signed_in.post(path, fields)
        assert page.status == 409
        assert "Nothing would be left to sign in with" in page.text
        assert len(running.provider.passkeys.all(ALICE)) == 1

    def test_another_s_is_not_there(self, signed_in: Browser, running: RunningProvider) -> None:
        provider, now = running.provider, running.clock.now
        provider.accounts.add_without_password("bob@example.test", now)
        options = provider.passkeys.registration_options("bob@example.test", now)
        answer = Authenticator().create(options)
        bobs = provider.passkeys.register("bob@example.test", answer, "", "::1", now)
        csrf = signed_in.open(ACCOUNT).csrf()
        for what in ("rename", "remove"):
            fields = {"csrf": csrf, "do": what, "name": "x"}
            assert signed_in.post(f"{PASSKEY}?id={bobs.id}", fields).status == 404
        assert provider.passkeys.all("bob@example.test") == [bobs]


class TestPassword:
    def test_it_is_changed(
        self, signed_in: Browser, other_browser: Browser, running: RunningProvider
    ) -> None:
        other_browser.sign_in()
        fields = form_with(signed_in.open(PASSWORD_PAGE), PASSWORD_PAGE, "set")
        page = signed_in.post(PASSWORD_PAGE, fields | {"password": NEW, "again": NEW})
        assert "The password was saved." in page.text
        assert running.provider.accounts.verify(ALICE, NEW, running.clock.now)
        assert other_browser.open(ACCOUNT).path == SIGN_IN
        assert signed_in.open(ACCOUNT).path == ACCOUNT

    @pytest.mark.parametrize(
        ("password", "again", "words"),
        [
            ("short", "short", "too short"),
            ("x" * 1025, "x" * 1025, "too long"),
            (NEW, NEW + "x", "not the same"),
            (NEW, "", "not the same"),
        ],
    )
    def test_what_cannot_be_one(
        self,
        signed_in: Browser,
        running: RunningProvider,
        password: str,
        again: str,
        words: str,
    ) -> None:
        fields = form_with(signed_in.open(PASSWORD_PAGE), PASSWORD_PAGE, "set")
        page = signed_in.post(PASSWORD_PAGE, fields | {"password": password, "again": again})
        assert page.status == 422
        assert words in page.text
        assert running.provider.accounts.verify(ALICE, PASSWORD, running.clock.now)


class TestSecondFactor:
    def set_up(self, browser: Browser, running: RunningProvider) -> Shown:
        page = browser.open(SECOND_FACTOR)
        secret = running.provider.second_factors.pending(ALICE, running.clock.now)
        assert secret
        assert secret in page.text
        fields = form_with(page, SECOND_FACTOR, "confirm")
        return browser.post(SECOND_FACTOR, fields | {"code": code(secret, running.clock.now)})

    def test_it_is_set_up_and_removed(self, signed_in: Browser, running: RunningProvider) -> None:
        page = self.set_up(signed_in, running)
        codes = re.findall(r"\b(?:[0-9a-z]{4}-){3}[0-9a-z]{4}\b", page.text)
        assert len(codes) == 10
        assert running.provider.second_factors.has(ALICE)
        page = signed_in.open(ACCOUNT)
        assert "10 recovery codes left" in page.text
        assert not [each for each in codes if each in page.html]
        fields = form_with(signed_in.open(SECOND_FACTOR), SECOND_FACTOR, "remove")
        assert "The second factor was removed." in signed_in.post(SECOND_FACTOR, fields).text
        assert not running.provider.second_factors.has(ALICE)

    def test_a_wrong_code_keeps_the_picture(
        self, signed_in: Browser, running: RunningProvider
    ) -> None:
        page = signed_in.open(SECOND_FACTOR)
        secret = running.provider.second_factors.pending(ALICE, running.clock.now)
        fields = form_with(page, SECOND_FACTOR, "confirm") | {"code": "x"}
        page = signed_in.post(SECOND_FACTOR, fields)
        assert page.status == 422
        assert secret and secret in page.text

    def test_the_picture_has_no_script_and_no_style(self, signed_in: Browser) -> None:
        page = signed_in.open(SECOND_FACTOR)
        assert [tag for tag, _ in page.tags].count("svg") == 1
        assert not [name for _, given in page.tags for name in given if name.startswith("on")]
        assert not [given for _, given in page.tags if "style" in given]

    def test_recovery_codes_are_renewed(self, signed_in: Browser, running: RunningProvider) -> None:
        self.set_up(signed_in, running)
        old = running.provider.recovery_codes.renew(ALICE, "::1", running.clock.now)
        page = signed_in.submit(signed_in.open(RECOVERY_CODES), RECOVERY_CODES)
        assert "They are shown this once." in page.text
        use = running.provider.recovery_codes.use
        assert not use(ALICE, old[0], "::1", running.clock.now)

    def test_a_password_alone_gets_no_certificate_then(
        self, signed_in: Browser, running: RunningProvider, user_key: PrivateKey
    ) -> None:
        key = user_key.public_key.to_json()
        request = {"email": ALICE, "password": PASSWORD, "public-key": key}
        assert running.post("/certify", json=request).status_code == 200
        self.set_up(signed_in, running)
        answers = [running.post("/certify", json=request) for _ in range(6)]
        assert answers[0].status_code == 403
        assert answers[0].json()["error"] == "second-factor-needed"
        # A right password forgets no failure, or codes could be guessed between two of them.
        assert answers[5].status_code == 429


class TestOtherBrowsers:
    def test_they_are_signed_out(self, signed_in: Browser, other_browser: Browser) -> None:
        other_browser.sign_in()
        page = signed_in.submit(signed_in.open(ACCOUNT), OTHER_BROWSERS)
        assert page.path == ACCOUNT
        assert other_browser.open(ACCOUNT).path == SIGN_IN


LONG = "x" * 64 + "@example.test"


@pytest.fixture(params=[LONG, "o'neil+x&y@example.test"])
def unusual(request: pytest.FixtureRequest, running: RunningProvider) -> str:
    email: str = request.param
    running.provider.accounts.add(email, PASSWORD, running.clock.now)
    return email


def test_unusual_addresses_break_no_page(browser: Browser, unusual: str) -> None:
    browser.sign_in(unusual)
    for path in (ACCOUNT, *FRESH_PAGES):
        page = browser.open(path)
        assert (page.status, page.path) == (200, path)
    assert unusual in browser.open(ACCOUNT).text
