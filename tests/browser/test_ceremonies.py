"""Ceremonies with a passkey that come to nothing: each ends in words, and can be begun again."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenWindow
from tests.support.chromium import Authenticator
from tests.support.household import Household
from tests.support.tour import PREFIX, Guest

NEW_PASSKEY = f"{PREFIX}/account/new-passkey"
OPTIONS = f"**{NEW_PASSKEY}/options"


@pytest.fixture
def guest(open_window: OpenWindow, provider: Household) -> Guest:
    """Somebody who is about to add a passkey."""
    guest = Guest(open_window(), provider)
    guest.sign_in()
    guest.open(NEW_PASSKEY)
    return guest


def add(page: Page) -> None:
    page.bring_to_front()
    page.get_by_role("button", name="Add a passkey").click()


def said(page: Page) -> str:
    """What an ended ceremony says. It can be begun again by then."""
    words = page.locator("[role=alert] :not([hidden])").first
    words.wait_for()
    assert page.get_by_role("button", name="Add a passkey").is_enabled()
    return words.inner_text()


def test_a_device_that_has_one_already(guest: Guest) -> None:
    Authenticator(guest.page)
    with guest.page.expect_navigation():
        add(guest.page)
    guest.open(NEW_PASSKEY)
    add(guest.page)
    assert "on that device already" in said(guest.page)


def test_nobody_who_touches_a_key_within_a_minute(guest: Guest) -> None:
    Authenticator(guest.page, automaticPresenceSimulation=False)
    guest.page.clock.install()
    add(guest.page)
    guest.page.get_by_text("Touch your key").wait_for()
    guest.page.clock.run_for(59_000)
    assert guest.page.get_by_text("Touch your key").is_visible()
    guest.page.clock.run_for(2_000)
    assert "took longer than a minute" in said(guest.page)


def test_a_key_without_a_pin(guest: Guest) -> None:
    Authenticator(guest.page, transport="usb", hasUserVerification=False, isUserVerified=False)
    add(guest.page)
    assert said(guest.page)


def test_a_key_that_keeps_no_passkeys(guest: Guest) -> None:
    Authenticator(guest.page, transport="usb", hasResidentKey=False)
    add(guest.page)
    assert said(guest.page)


def test_an_address_that_passkeys_are_not_for(guest: Guest) -> None:
    Authenticator(guest.page)
    guest.page.evaluate(
        """() => {
            const asked = navigator.credentials.create.bind(navigator.credentials);
            navigator.credentials.create = (options) => {
                options.publicKey.rp.id = "other.test";
                return asked(options);
            };
        }"""
    )
    add(guest.page)
    assert "no passkeys at this address" in said(guest.page)


def test_somebody_who_is_signed_out_by_now(guest: Guest) -> None:
    Authenticator(guest.page)
    guest.window.context.clear_cookies()
    add(guest.page)
    assert "Open the page again" in said(guest.page)


def test_a_server_that_cannot_be_reached(guest: Guest) -> None:
    Authenticator(guest.page)
    guest.page.route(OPTIONS, lambda route: route.abort())
    add(guest.page)
    assert "Open the page again" in said(guest.page)
    # The browser complains about the connection, which is what is wrong here.
    assert "ERR_FAILED" in json.dumps(guest.window.complaints.take())


def test_a_server_that_does_not_answer(guest: Guest) -> None:
    Authenticator(guest.page)
    guest.page.route(OPTIONS, lambda route: None)
    guest.page.clock.install()
    add(guest.page)
    guest.page.get_by_text("Touch your key").wait_for()
    guest.page.clock.run_for(61_000)
    assert "took longer than a minute" in said(guest.page)
    guest.page.unroute_all(behavior="ignoreErrors")


def test_a_browser_without_passkeys(open_window: OpenWindow, provider: Household) -> None:
    guest = Guest(open_window(), provider)
    guest.sign_in()
    guest.page.add_init_script("delete window.PublicKeyCredential")
    guest.open(NEW_PASSKEY)
    assert guest.page.get_by_text("This browser cannot use passkeys").is_visible()
    assert not guest.page.get_by_role("button", name="Add a passkey").is_visible()
