"""Every page: with axe, in both themes, on a small telephone, without scripts, and attacked."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response

from browserid_sasl.idp.web.assets import ASSETS
from tests.browser.conftest import OpenWindow
from tests.support.chromium import accessibility_faults
from tests.support.elsewhere import NEIGHBOUR, STRANGER, Form, forms_of, send
from tests.support.household import Household
from tests.support.tour import PREFIX, STOPS, Guest, Stop, session_of, stop_named

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def scrolls_sideways(page: Page) -> bool:
    wider: bool = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return wider


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_a_page(open_window: OpenWindow, provider: Household, stop: Stop) -> None:
    """All of it in one test: to come to a page takes longer than to look at it.

    Whoever comes there without scripts shows what it looks like to those who have them.
    """
    window = open_window(locale="de-DE", java_script_enabled=stop.needs_scripts)
    guest = Guest(window, provider)
    stop.visit(guest)
    assert guest.page.locator("html").get_attribute("lang") == "de"
    copy = open_window(locale="de-DE", bypass_csp=True).page
    show_copy(guest.page, copy)
    is_for_everybody(copy)
    is_not_sent_from_elsewhere(guest, open_window)


def show_copy(page: Page, copy: Page) -> None:
    """Show what a page shows in another one, whose scripts run."""
    html = page.content()
    copy.route(page.url, lambda route: route.fulfill(content_type="text/html", body=html))
    copy.goto(page.url)


def is_for_everybody(page: Page) -> None:
    """Contrast, labels, landmarks and whatever else axe knows; and 320 px are enough."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        assert accessibility_faults(page) == [], theme
    page.set_viewport_size({"width": 320, "height": 480})
    assert not scrolls_sideways(page)


def is_not_sent_from_elsewhere(guest: Guest, open_window: OpenWindow) -> None:
    """No form: with the page's own token from next door, or another browser's from our origin."""
    forms = [form for form in forms_of(guest.page) if is_first(form)]
    if not forms:
        return
    before, session = guest.provider.changes(), session_of(guest)
    theirs = token_of_another(guest, open_window)
    for form in forms:
        for origin in (STRANGER, NEIGHBOUR):
            answer = send(guest.page, origin, form)
            assert is_refused(answer), (origin, form)
        forged = Form(form.action, {**form.fields, "csrf": theirs})
        assert send(guest.page, guest.provider.url, forged).status == 403, form
    assert guest.provider.changes() == before
    assert session_of(guest) == session


def is_refused(answer: Response) -> bool:
    """Said to come from elsewhere, or taken for a visit if the browser brought no cookies along."""
    return answer.status == 403 or answer.request.method == "GET"


def token_of_another(guest: Guest, open_window: OpenWindow) -> str:
    attacker = Guest(open_window(), guest.provider, guest.email)
    attacker.open(f"{PREFIX}/sign-in")
    [token] = {form.fields["csrf"] for form in forms_of(attacker.page)}
    return token


_tried: set[tuple[str, frozenset[str]]] = set()


def is_first(form: Form) -> bool:
    """Whether a form of its kind, which many pages have, has not been tried yet."""
    kind = (urlsplit(form.action).path, frozenset(form.fields))
    first = kind not in _tried
    _tried.add(kind)
    return first


def test_all_that_a_page_fetches_is_small(open_window: OpenWindow, provider: Household) -> None:
    """All files of all pages together, and the largest page: under 60 KB, and all our own."""
    guest = Guest(open_window(), provider)
    fetched: list[str] = []
    guest.page.on("request", lambda request: fetched.append(request.url))
    stop_named("account-with-machine").visit(guest)
    assert all(url.startswith((provider.url, "http://127.0.0.1:")) for url in fetched)
    page = len(guest.page.content())
    assert sum(len(asset.content) for asset in ASSETS.values()) + page < 60_000
