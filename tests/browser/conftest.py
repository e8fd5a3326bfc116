"""One browser for all of these tests, and a provider that it reaches as people do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import Complaints, Window, chromium
from tests.support.household import Authority, Household
from tests.support.services import folder_for_all

HERE = Path(__file__).parent
_networks = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for a browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the provider's web server."""
    return Authority(tmp_path_factory.mktemp("authority"))


# No longer than the package: Playwright leaves an event loop in the thread, which other tests need.
@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with chromium(tmp_path_factory.mktemp("home"), authority.file) as browser:
        yield browser


@pytest.fixture(scope="package")
def provider(authority: Authority) -> Iterator[Household]:
    """A provider for tests that leave it as it is, with people of their own."""
    with folder_for_all() as folder:
        household = Household(folder, authority)
        household.start()
        yield household
        household.stop()


OpenWindow = Callable[..., Window]


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Opens windows, each in a network of its own, which close with the test.

    A test fails for everything that the browser had to say against a page.
    """
    complaints = Complaints()
    with ExitStack() as stack:

        def open_one(**options: object) -> Window:
            number = next(_networks)
            network = {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"}
            context = browser.new_context(**{"extra_http_headers": network} | options)  # type: ignore[arg-type]
            stack.callback(context.close)
            return Window(context, complaints)

        yield open_one
    assert complaints.texts == []


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    """A window as most people have it."""
    return open_window()
