"""The browser of these tests: what it believes, and what it does not pass over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Error

from tests.browser.conftest import OpenWindow
from tests.support.chromium import Window, accessibility_faults
from tests.support.household import Authority, Household


def test_it_believes_the_authority_of_the_tests_and_no_other(
    tmp_path: Path, window: Window, provider: Household
) -> None:
    answer = window.page.goto(f"{provider.url}/authentication")
    assert answer is not None
    assert answer.status == 200
    stranger = Household(tmp_path, Authority(tmp_path / "stranger"))
    stranger.start()
    try:
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            window.page.goto(f"{stranger.url}/authentication")
    finally:
        stranger.stop()


def test_it_knows_no_names_but_those_of_the_tests(window: Window) -> None:
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        window.page.goto("https://example.org/")


def test_scripts_that_a_policy_forbids_are_heard_of(open_window: OpenWindow) -> None:
    window = open_window()
    policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">"
    window.page.set_content(f"{policy}<script>document.title = 'ran'</script>")
    window.page.evaluate("null")
    [said] = window.complaints.take()
    assert "Content Security Policy" in said
    assert window.page.title() == ""


def test_errors_of_scripts_are_heard_of(window: Window) -> None:
    window.page.set_content("<script>nothing.there()</script>")
    [said] = window.complaints.take()
    assert "nothing is not defined" in said


def test_what_is_not_accessible_is_found(window: Window) -> None:
    window.page.set_content("<main><h1>A picture</h1><img src='data:,'></main>")
    assert any(fault.startswith("image-alt: ") for fault in accessibility_faults(window.page))
