"""Passkeys, with an authenticator in the browser: made, used, refused."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenWindow
from tests.support.chromium import Authenticator
from tests.support.household import Household
from tests.support.provider import DOMAIN
from tests.support.tour import PREFIX, Guest, make_passkey, session_of

MAKE = "form[data-passkey=create] button"
USE = "form[data-passkey=get] button"


def invited(open_window: OpenWindow, provider: Household, name: str) -> Guest:
    """Somebody without an account, who has just opened the administrator's link."""
    guest = Guest(open_window(), provider, f"{name}@{DOMAIN}")
    guest.open(guest.invitation())
    return guest


def sign_out(guest: Guest) -> None:
    guest.open(f"{PREFIX}/sign-out")
    with guest.page.expect_navigation():
        guest.page.locator("main form button").click()
    assert session_of(guest) == ""


def use_passkey(guest: Guest) -> None:
    guest.page.bring_to_front()
    with guest.page.expect_navigation():
        guest.page.click(USE)


def test_an_invitation_is_accepted_with_a_passkey_which_signs_in_from_then_on(
    open_window: OpenWindow, provider: Household
) -> None:
    guest = Guest(open_window(), provider, f"ines@{DOMAIN}")
    link = provider.command("invite", guest.email).strip()
    guest.open(link)
    authenticator = make_passkey(guest)
    assert guest.page.url == f"{provider.url}{PREFIX}/account"
    [passkey] = authenticator.credentials()
    assert passkey["isResidentCredential"]
    assert passkey["rpId"] == DOMAIN
    sign_out(guest)
    guest.open(f"{PREFIX}/sign-in?email={guest.email}")
    use_passkey(guest)
    assert guest.email in guest.page.inner_text("main")
    sign_out(guest)
    # The passkey knows whose it is.
    guest.open(f"{PREFIX}/sign-in")
    use_passkey(guest)
    assert guest.email in guest.page.inner_text("main")
    assert guest.open(link) == 410


def test_an_invitation_is_spent_by_success_and_not_by_a_look(
    open_window: OpenWindow, provider: Household
) -> None:
    guest = invited(open_window, provider, "ivan")
    link = guest.page.url
    weak = Authenticator(guest.page, isUserVerified=False)
    guest.page.bring_to_front()
    guest.page.click(MAKE)
    guest.page.wait_for_selector("[data-error]:not([hidden])")
    weak.remove()
    assert guest.open(link) == 200
    make_passkey(guest)
    assert guest.page.url == f"{provider.url}{PREFIX}/account"


def test_a_key_that_cannot_check_whose_it_is_is_refused_in_words(
    open_window: OpenWindow, provider: Household
) -> None:
    guest = invited(open_window, provider, "ilse")
    Authenticator(guest.page, hasUserVerification=False, transport="usb")
    guest.page.bring_to_front()
    guest.page.click(MAKE)
    said = guest.page.wait_for_selector(".error[data-error]:not([hidden])")
    assert said is not None
    assert "PIN" in said.inner_text()
    assert guest.page.is_enabled(MAKE)


def test_a_passkey_of_somebody_else_does_not_sign_in(
    open_window: OpenWindow, provider: Household
) -> None:
    mallory = invited(open_window, provider, "mallory")
    make_passkey(mallory)
    sign_out(mallory)
    alice = provider.add(f"alice-with-password@{DOMAIN}")
    mallory.open(f"{PREFIX}/sign-in?email={alice}")
    mallory.page.bring_to_front()
    mallory.page.click(USE)
    mallory.page.wait_for_selector("[role=alert] :not([hidden]), .alert")
    assert session_of(mallory) == ""


def test_a_cloned_passkey_is_noticed(open_window: OpenWindow, provider: Household) -> None:
    """Its counter goes backwards."""
    guest = invited(open_window, provider, "clara")
    authenticator = make_passkey(guest)
    [copy] = authenticator.credentials()
    sign_out(guest)
    guest.open(f"{PREFIX}/sign-in?email={guest.email}")
    use_passkey(guest)
    sign_out(guest)
    authenticator.remove()
    thief = Authenticator(guest.page)
    thief.put(copy | {"signCount": 0})
    guest.open(f"{PREFIX}/sign-in?email={guest.email}")
    use_passkey(guest)
    assert session_of(guest) == ""
    assert "copy" in guest.page.inner_text("main")


@pytest.mark.parametrize("name", ["stranger.test", "neighbour.example.test"])
def test_a_passkey_of_another_origin_does_not_sign_in(
    open_window: OpenWindow, provider: Household, name: str
) -> None:
    """The browser makes none for our name there, and what it makes for its own is not ours."""
    guest = Guest(open_window(), provider)
    guest.page.route(
        f"https://{name}/elsewhere",
        lambda route: route.fulfill(content_type="text/html", body="<!doctype html><title>x"),
    )
    guest.page.goto(f"https://{name}/elsewhere")
    Authenticator(guest.page)
    guest.page.bring_to_front()
    assert guest.page.evaluate(
        """async (rpId) => {
            const publicKey = {challenge: new Uint8Array(32), rpId, allowCredentials: []};
            try { await navigator.credentials.get({publicKey}); return 'signed'; }
            catch (error) { return error.name; }
        }""",
        DOMAIN,
    ) in ("SecurityError", "NotAllowedError")


def test_a_passkey_is_added_named_and_removed(open_window: OpenWindow, provider: Household) -> None:
    guest = Guest(open_window(), provider)
    guest.sign_in()
    guest.open(f"{PREFIX}/account/new-passkey")
    guest.page.fill("main [name=name]", "my <b>phone</b>")
    make_passkey(guest)
    assert "my <b>phone</b>" in guest.page.inner_text("main")
    guest.page.click("text=my <b>phone</b>")
    guest.press("Remove this passkey")
    assert "phone" not in guest.page.inner_text("main")
