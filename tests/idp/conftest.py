"""A provider that runs, and requests to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.idp.database import Database
from browserid_sasl.idp.schema import bring_up_to_date
from browserid_sasl.jose.keys import PrivateKey
from tests.support.provider import RunningProvider, running_provider


@pytest.fixture(scope="session")
def user_key() -> PrivateKey:
    return PrivateKey.generate("ES256")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A provider's, with nothing in it."""
    database = Database(tmp_path / "provider.sqlite")
    bring_up_to_date(database)
    return database


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider") as provider:
        yield provider
