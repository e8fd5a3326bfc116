"""What other websites try on people who are signed in, or about to be."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.browser.conftest import OpenWindow
from tests.support.elsewhere import NEIGHBOUR, STRANGER, show
from tests.support.household import Household
from tests.support.tour import PREFIX, SESSION, Guest, session_of, stop_named


def is_signed_in(guest: Guest) -> bool:
    guest.open(f"{PREFIX}/account")
    return guest.page.url == f"{guest.provider.url}{PREFIX}/account"


@pytest.mark.parametrize("name", ["sign-in", "account"])
def test_a_page_in_a_frame_is_not_shown(
    open_window: OpenWindow, provider: Household, name: str
) -> None:
    guest = Guest(open_window(), provider)
    stop_named(name).visit(guest)
    address = guest.page.url
    # Or Chromium would protect what is on loopback on its own.
    guest.window.context.grant_permissions(["local-network-access"], origin=NEIGHBOUR)
    with guest.page.expect_console_message(lambda message: "Framing" in message.text) as heard:
        show(guest.page, NEIGHBOUR, f'<iframe src="{address}"></iframe>')
    assert "frame-ancestors 'none'" in heard.value.text
    [frame] = guest.page.frames[1:]
    frame.wait_for_url("chrome-error://**")
    guest.window.complaints.take()


def test_a_session_that_somebody_else_has_put_there_is_not_taken_over(
    open_window: OpenWindow, provider: Household
) -> None:
    """Session fixation: before the sign-in, after it, and after it as somebody else."""
    attacker = Guest(open_window(), provider)
    attacker.sign_in()
    planted = session_of(attacker)
    victim = Guest(open_window(), provider)
    cookie = {"name": SESSION, "value": planted, "url": provider.url, "secure": True}
    victim.window.context.add_cookies([cookie])  # type: ignore[list-item]
    victim.open(f"{PREFIX}/sign-in?email={victim.email}")
    victim.give_password()
    assert session_of(victim) not in ("", planted)
    assert is_signed_in(victim)
    assert victim.email in victim.page.inner_text("header")
    attacker.open(f"{PREFIX}/account")
    assert victim.email not in attacker.page.content()


ELSEWHERE = [
    STRANGER,
    "//stranger.test/",
    r"/\stranger.test/",
    r"\\stranger.test",
    "/%09/stranger.test",
    "\t//stranger.test",
    "https:stranger.test",
    "/browserid/account@stranger.test",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "/browserid/account/../../..//stranger.test",
]


def test_nobody_is_led_elsewhere(open_window: OpenWindow, provider: Household) -> None:
    guest = Guest(open_window(), provider)
    for target in ELSEWHERE:
        guest.window.context.clear_cookies()
        guest.open(f"{PREFIX}/sign-in?{urlencode({'email': guest.email, 'next': target})}")
        guest.give_password()
        assert guest.page.url == f"{provider.url}{PREFIX}/account", target


SCRIPTS = [
    "<script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title = \'taken\'">',
    "'><svg onload=document.title='taken'>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='taken'",
]


def test_what_is_typed_is_text(open_window: OpenWindow, provider: Household) -> None:
    """In every field that people fill in before they are known."""
    guest = Guest(open_window(), provider)
    for script in SCRIPTS:
        for name in ("email", "next"):
            guest.open(f"{PREFIX}/sign-in?{urlencode({name: script})}")
            assert no_script_ran(guest)
        guest.page.locator("main form").first.evaluate("form => { form.noValidate = true }")
        guest.page.fill("main [name=email]", script)
        guest.submit("email")
        assert no_script_ran(guest)
    guest.open(f"{PREFIX}/sign-in?email={guest.email}")
    guest.give_password(SCRIPTS[0])
    assert no_script_ran(guest)


def no_script_ran(guest: Guest) -> bool:
    page = guest.page
    return (
        "taken" not in page.title() and page.locator("main script, main img, main svg").count() == 0
    )
