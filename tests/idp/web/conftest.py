"""Browsers at a provider that runs."""

from __future__ import annotations

import pytest

from tests.support.browser import Browser
from tests.support.provider import RunningProvider


@pytest.fixture
def browser(running: RunningProvider) -> Browser:
    return Browser.at(running)


@pytest.fixture
def other_browser(running: RunningProvider) -> Browser:
    return Browser.at(running)
