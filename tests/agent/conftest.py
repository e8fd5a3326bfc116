"""A provider to sign in to, which no test here changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.provider import RunningProvider, running_provider


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("agent") / "provider") as provider:
        yield provider
