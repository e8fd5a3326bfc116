"""The pictures in the documentation show the pages as they are: `make screenshots` makes them."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.household import Authority, Household
from tools.pictures import text_of
from tools.screenshots import DOCUMENTATION, DOCUMENTED, take_documentation


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, browser: Browser, authority: Authority) -> Path:
    """The pictures, made anew."""
    folder = tmp_path_factory.mktemp("pictures")
    household = Household(folder, authority)
    household.start()
    try:
        take_documentation(browser, household, folder / "made")
    finally:
        household.stop()
    return folder / "made"


def words(picture: Path) -> list[str]:
    """Without keys and times, which are others each time."""
    return re.findall(r"[a-z]{2,}", re.sub(r"\S{20,}|[0-9]\S*", "", text_of(picture.read_bytes())))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_picture_shows_the_page_as_it_is(fresh: Path, name: str) -> None:
    """A word more or less is no reason to take all pictures again."""
    then, now = words(DOCUMENTATION / f"{name}.png"), words(fresh / f"{name}.png")
    assert SequenceMatcher(None, then, now).ratio() > 0.8, "run `make screenshots`"
