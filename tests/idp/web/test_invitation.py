"""Setting up an account with an administrator's link."""

from __future__ import annotations

import json

import pytest

from browserid_sasl.idp.invitations import LIFE_MS
from tests.support.authenticator import PRESENT, Authenticator
from tests.support.browser import Browser, Shown
from tests.support.provider import ALICE, RunningProvider

INVITATION = "/browserid/invitation"
ACCOUNT = "/browserid/account"
BOB = "bob@example.test"
NEW = "another password"


@pytest.fixture
def link(running: RunningProvider) -> str:
    """Bob's, who is new."""
    running.provider.accounts.add_without_password(BOB, running.clock.now)
    return link_for(running, BOB)


def link_for(running: RunningProvider, email: str) -> str:
    token = running.provider.invitations.make(email, "uid 0", running.clock.now)
    return f"{INVITATION}?token={token}"


def use(browser: Browser, page: Shown, device: Authenticator) -> Shown:
    """What the script does with the form."""
    form = page.form(INVITATION)
    assert "response" in form.fields
    options = browser.post(f"{INVITATION}/options", form.fields, {"Accept": "application/json"})
    answer = device.create(json.loads(options.html))
    return browser.post(form.action, form.fields | {"response": answer})


def choose(browser: Browser, page: Shown, password: str = NEW, again: str | None = None) -> Shown:
    form = next(form for form in page.forms if "password" in form.fields)
    return browser.post(
        form.action, form.fields | {"password": password, "again": again or password}
    )


def test_a_first_passkey(browser: Browser, link: str, running: RunningProvider) -> None:
    page = browser.open(link)
    assert BOB in page.text
    assert "takes the place" not in page.text
    page = use(browser, page, Authenticator())
    assert page.path == ACCOUNT
    assert BOB in page.text
    assert running.provider.passkeys.usable(BOB) == 1


def test_a_password_without_a_script(browser: Browser, link: str, running: RunningProvider) -> None:
    page = choose(browser, browser.open(link))
    assert page.path == ACCOUNT
    assert running.provider.accounts.verify(BOB, NEW, running.clock.now)


def test_looks_spend_nothing(browser: Browser, other_browser: Browser, link: str) -> None:
    for _ in range(3):
        assert other_browser.open(link).status == 200
    assert choose(browser, browser.open(link)).path == ACCOUNT


def test_what_fails_spends_nothing(browser: Browser, link: str) -> None:
    page = use(browser, browser.open(link), Authenticator(flags=PRESENT))
    assert (page.status, "Give it a PIN" in page.text) == (400, True)
    page = choose(browser, page, "short")
    assert (page.status, "too short" in page.text) == (422, True)
    page = choose(browser, page, NEW, NEW + "x")
    assert (page.status, "not the same" in page.text) == (422, True)
    assert use(browser, page, Authenticator()).path == ACCOUNT


def test_the_language_can_be_changed_after_a_mistake(browser: Browser, link: str) -> None:
    page = choose(browser, browser.open(link), "short")
    fields = page.form("/browserid/language").fields | {"language": "de"}
    page = browser.post("/browserid/language", fields)
    assert (page.path, page.status, BOB in page.text) == (INVITATION, 200, True)
    assert "Konto einrichten" in page.text


def test_it_is_good_once(browser: Browser, other_browser: Browser, link: str) -> None:
    thief = other_browser.open(link)
    choose(browser, browser.open(link))
    for page in (choose(other_browser, thief, "of the thief's"), other_browser.open(link)):
        assert page.status == 410
        assert "Ask your administrator for another one." in page.text
    assert other_browser.open(ACCOUNT).path != ACCOUNT


def test_it_ends(browser: Browser, link: str, running: RunningProvider) -> None:
    page = browser.open(link)
    running.clock.now += LIFE_MS
    assert browser.open(link).status == 410
    assert choose(browser, page).status == 410


def test_it_resets_an_account(
    browser: Browser, other_browser: Browser, running: RunningProvider
) -> None:
    other_browser.sign_in()
    page = browser.open(link_for(running, ALICE))
    assert "takes the place of all" in page.text
    assert use(browser, page, Authenticator()).path == ACCOUNT
    assert not running.provider.accounts.has_password(ALICE)
    assert other_browser.open(ACCOUNT).path != ACCOUNT


@pytest.mark.parametrize("query", ["", "?token=", "?token=x", "?token=%00", "?token=" + "A" * 4000])
def test_other_links_are_no_good(browser: Browser, query: str) -> None:
    page = browser.open(INVITATION + query)
    assert page.status == 410
    assert "This link is no longer good" in page.text


def test_nobody_is_told_whom_a_guess_is_not_for(browser: Browser, link: str) -> None:
    fields = browser.open(link).form(INVITATION).fields | {"token": "x"}
    answer = browser.post(f"{INVITATION}/options", fields, {"Accept": "application/json"})
    assert (answer.status, json.loads(answer.html)["error"]) == (410, "invitation-spent")


def test_another_site_sends_no_form(browser: Browser, link: str) -> None:
    form = next(form for form in browser.open(link).forms if "password" in form.fields)
    given = form.fields | {"password": NEW, "again": NEW}
    assert browser.post(form.action, given, {"Origin": "https://evil.test"}).status == 403
    assert browser.post(form.action, given | {"csrf": "x"}).status == 403
    assert choose(browser, browser.open(link)).path == ACCOUNT
