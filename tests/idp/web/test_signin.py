"""Signing in on the pages by address and password, and out."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from argon2 import PasswordHasher

from tests.support.browser import Browser
from tests.support.provider import ALICE, PASSWORD, RunningProvider

SIGN_IN = "/browserid/sign-in"
ACCOUNT = "/browserid/account"
SESSION = "__Host-browserid-session"
KNOWN = "__Host-browserid-known"
NOBODY = "nobody@example.test"


class TestTheWayIn:
    def test_first_the_address_then_the_password(self, browser: Browser) -> None:
        page = browser.submit(browser.open(SIGN_IN), SIGN_IN, email=ALICE)
        assert ALICE in page.text
        page = browser.submit(page, SIGN_IN, password=PASSWORD)
        assert (page.status, page.path) == (200, ACCOUNT)
        assert ALICE in page.text

    def test_the_address_is_taken_in_any_case(self, browser: Browser) -> None:
        assert browser.sign_in("Alice@Example.TEST").path == ACCOUNT

    def test_a_page_for_people_who_are_signed_in_is_gone_to_after_it(
        self, browser: Browser
    ) -> None:
        page = browser.open(f"{ACCOUNT}?x=1")
        assert page.path == SIGN_IN
        assert browser.sign_in(goal=f"{ACCOUNT}?x=1").answer.url.endswith(f"{ACCOUNT}?x=1")

    def test_who_is_signed_in_is_not_asked_again(self, browser: Browser) -> None:
        browser.sign_in()
        assert browser.open(SIGN_IN).path == ACCOUNT

    def test_an_address_of_another_domain_is_named_at_its_field(self, browser: Browser) -> None:
        page = browser.submit(browser.open(SIGN_IN), SIGN_IN, email="alice@elsewhere.test")
        assert page.status == 422
        field = next(given for tag, given in page.tags if given.get("id") == "email")
        assert field["aria-invalid"] == "true"
        error = next(given for tag, given in page.tags if given.get("id") == "email-error")
        assert error["id"] in field["aria-describedby"]
        assert field["value"] == "alice@elsewhere.test"

    def test_a_wrong_password_is_said_at_its_field_and_can_be_mended(
        self, browser: Browser
    ) -> None:
        page = browser.sign_in(password="wrong")
        assert page.status == 401
        assert SESSION not in browser.cookies
        field = next(given for tag, given in page.tags if given.get("id") == "password")
        assert field["aria-describedby"] == "password-error"
        assert "value" not in field
        assert browser.submit(page, SIGN_IN, password=PASSWORD).path == ACCOUNT

    def test_another_language_in_between_loses_nothing(self, browser: Browser) -> None:
        page = browser.sign_in(password="wrong", goal=f"{ACCOUNT}?x=1")
        page = browser.submit(page, "/browserid/language", language="de")
        assert page.path == SIGN_IN
        page = browser.submit(page, SIGN_IN, password=PASSWORD)
        assert (page.path, page.query) == (ACCOUNT, "x=1")

    def test_a_form_that_has_expired_leads_to_where_it_was(self, browser: Browser) -> None:
        page = browser.sign_in(password="wrong", goal=f"{ACCOUNT}?x=1")
        browser.session.cookies.clear()
        page = browser.submit(page, SIGN_IN, password=PASSWORD)
        assert page.status == 403
        link = next(
            given["href"] for _, given in page.tags if given.get("href", "").startswith(SIGN_IN)
        )
        page = browser.submit(browser.open(link), SIGN_IN, password=PASSWORD)
        assert (page.path, page.query) == (ACCOUNT, "x=1")

    def test_it_is_recorded(self, browser: Browser, running: RunningProvider) -> None:
        browser.sign_in(password="wrong")
        browser.sign_in()
        assert running.audit_log().count('"sign-in-failed"') == 1
        assert running.audit_log().count('"signed-in"') == 1
        assert PASSWORD not in running.audit_log()


class TestTheSession:
    def test_its_cookie_is_for_this_host_tls_and_the_server_alone(self, browser: Browser) -> None:
        browser.sign_in()
        cookie = next(each for each in browser.session.cookies if each.name == SESSION)
        assert (cookie.secure, cookie.path, cookie.domain_specified) == (True, "/", False)
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "lax"

    def test_a_token_that_somebody_foisted_is_not_used(
        self, browser: Browser, other_browser: Browser
    ) -> None:
        browser.sign_in()
        theirs = browser.cookies[SESSION]
        other_browser.put_cookie(SESSION, theirs)
        page = other_browser.open(f"{SIGN_IN}?email={ALICE}&next=/browserid/account")
        assert page.path == ACCOUNT
        other_browser.put_cookie(SESSION, "made-up")
        other_browser.sign_in()
        assert other_browser.cookies[SESSION] not in (theirs, "made-up")

    def test_signing_in_again_ends_the_one_before(self, browser: Browser) -> None:
        browser.sign_in()
        before = browser.cookies[SESSION]
        browser.session.cookies.clear()
        page = browser.open(f"{SIGN_IN}?email={ALICE}")
        browser.put_cookie(SESSION, before)
        signed_in = browser.open(ACCOUNT)
        fields = {"email": ALICE, "password": PASSWORD, "csrf": signed_in.csrf()}
        assert browser.post(page.form(SIGN_IN).action, fields).path == ACCOUNT
        assert browser.cookies[SESSION] != before
        browser.put_cookie(SESSION, before)
        assert browser.open(ACCOUNT).path == SIGN_IN

    def test_signing_out_ends_it_on_the_server(self, browser: Browser) -> None:
        page = browser.sign_in()
        token = browser.cookies[SESSION]
        page = browser.submit(page, "/browserid/sign-out")
        assert page.path == "/browserid/sign-out"
        assert SESSION not in browser.cookies
        browser.put_cookie(SESSION, token)
        assert browser.open(ACCOUNT).path == SIGN_IN

    def test_it_ends_with_the_account(self, browser: Browser, running: RunningProvider) -> None:
        browser.sign_in()
        running.provider.accounts.remove(ALICE)
        assert browser.open(ACCOUNT).path == SIGN_IN
        running.clock.now += 1
        running.provider.accounts.add(ALICE, PASSWORD, running.clock.now)
        assert browser.open(ACCOUNT).path == SIGN_IN


class TestGuessing:
    def test_who_has_an_account_and_who_has_none_are_answered_alike(
        self, running: RunningProvider
    ) -> None:
        answers = []
        for email in (ALICE, NOBODY):
            page = Browser.at(running).sign_in(email, "wrong")
            html = page.html.replace(page.csrf(), "-")
            for spelled in (email, quote(email)):
                html = html.replace(spelled, "-")
            lines = [line for line in html.splitlines() if "nonce=" not in line]
            answers.append((page.status, "\n".join(lines), sorted(page.headers)))
        assert answers[0] == answers[1]

    def test_for_who_has_none_a_password_is_compared_as_often(
        self, running: RunningProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared: list[str] = []
        verify = PasswordHasher.verify

        def count(hasher: PasswordHasher, hashed: str, password: bytes) -> bool:
            compared.append(hashed.rpartition("$")[0].rpartition("$")[0])
            return verify(hasher, hashed, password)

        monkeypatch.setattr(PasswordHasher, "verify", count)
        running.provider.accounts.add_without_password("passkeys@example.test", running.clock.now)
        counts = []
        for email in (ALICE, NOBODY, "passkeys@example.test"):
            compared.clear()
            Browser.at(running).sign_in(email, "wrong")
            counts.append(tuple(compared))
        # With the same costs, too.
        assert len(set(counts)) == 1
        assert len(counts[0]) == 1

    def test_the_guesser_has_to_wait_and_the_person_has_not(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        browser.sign_in()
        browser.submit(browser.open(ACCOUNT), "/browserid/sign-out")
        guesser = Browser.at(running)
        statuses = [guesser.sign_in(password=f"guess {n}").status for n in range(7)]
        assert statuses[-1] == 429
        assert Browser.at(running).sign_in().status == 429
        assert browser.sign_in().path == ACCOUNT

    def test_a_known_browser_may_not_guess_either(self, browser: Browser) -> None:
        browser.sign_in()
        browser.submit(browser.open(ACCOUNT), "/browserid/sign-out")
        statuses = [browser.sign_in(password=f"guess {n}").status for n in range(7)]
        assert statuses[-1] == 429

    @pytest.mark.parametrize("cookie", ["", "x", "A" * 22 + "." + "A" * 22])
    def test_a_cookie_that_was_made_up_is_no_known_browser(
        self, browser: Browser, running: RunningProvider, cookie: str
    ) -> None:
        guesser = Browser.at(running)
        for n in range(6):
            guesser.sign_in(password=f"guess {n}")
        browser.put_cookie(KNOWN, cookie)
        assert browser.sign_in().status == 429

    def test_a_browser_is_known_for_the_addresses_it_was_used_for(
        self, browser: Browser, running: RunningProvider
    ) -> None:
        running.provider.accounts.add("bob@example.test", PASSWORD, running.clock.now)
        browser.sign_in("bob@example.test")
        browser.submit(browser.open(ACCOUNT), "/browserid/sign-out")
        guesser = Browser.at(running)
        for n in range(6):
            guesser.sign_in(password=f"guess {n}")
        assert browser.sign_in(ALICE).status == 429
