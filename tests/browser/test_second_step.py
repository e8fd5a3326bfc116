"""Password and a code, from an app or from paper."""

from __future__ import annotations

import time

from tests.browser.conftest import OpenWindow
from tests.support.household import Household
from tests.support.tour import PREFIX, Guest, confirm_second_factor, session_of


def half_way(guest: Guest) -> None:
    """Sign in by password in a browser that nobody is signed in in."""
    guest.window.context.clear_cookies()
    guest.open(f"{PREFIX}/sign-in")
    guest.sign_in()
    assert guest.page.url.startswith(f"{guest.provider.url}{PREFIX}/second-step")


def give_code(guest: Guest, code: str) -> None:
    guest.page.fill("main [name=code]", code)
    guest.submit("code")


def is_signed_in(guest: Guest) -> bool:
    guest.open(f"{PREFIX}/account")
    return guest.page.url == f"{guest.provider.url}{PREFIX}/account"


def test_a_password_is_not_enough_where_there_is_a_second_factor(
    open_window: OpenWindow, provider: Household
) -> None:
    guest = Guest(open_window(), provider)
    guest.sign_in()
    app = confirm_second_factor(guest)
    assert guest.page.locator("main li code").count() == 10
    half_way(guest)
    assert not is_signed_in(guest)
    guest.open(f"{PREFIX}/second-step")
    # The step that switched it on is used up; the next one is accepted ahead of its time.
    code = app.generate(int(time.time()) + 30).decode()
    give_code(guest, code)
    assert is_signed_in(guest)
    half_way(guest)
    give_code(guest, code)
    assert not is_signed_in(guest)


def test_a_recovery_code_is_good_once(open_window: OpenWindow, provider: Household) -> None:
    guest = Guest(open_window(), provider)
    _, [code, *_] = guest.set_up_second_factor()
    half_way(guest)
    half = session_of(guest)
    give_code(guest, code)
    assert is_signed_in(guest)
    assert session_of(guest) != half
    half_way(guest)
    give_code(guest, code)
    assert not is_signed_in(guest)
