"""A browser without a window, where the machine has one that can be told what to do."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

_NEEDED = ("chromium", "certutil")


def is_here() -> bool:
    """Whether Chromium is installed, and with it what the tests need to tell it what to do."""
    return find_spec("playwright") is not None and all(map(shutil.which, _NEEDED))


def allow(link: str, password: str, home: Path, authority: Path) -> str:
    """Sign somebody in at a page that a program has shown, and allow what it asks for.

    :param link: the page.
    :param password: of the person, secret.
    :param home: an empty folder for the browser.
    :param authority: whose certificates it is to believe.
    :returns: the question that was answered.
    """
    # Where the tests' environment is not, neither is this.
    from tests.support.chromium import chromium  # noqa: PLC0415

    with chromium(home, authority) as browser:
        page = browser.new_page(locale="en")
        page.goto(link)
        page.fill("main [name=password]", password)
        page.get_by_role("button", name="Sign in with the password").click()
        allow = page.get_by_role("button", name="Allow")
        allow.wait_for()
        question = page.locator("h1").inner_text()
        with page.expect_navigation():
            allow.click()
    return question
