"""A PostgreSQL server, an empty database on it for each test, and hosts that share one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from browserid_sasl.idp.database import Database
from browserid_sasl.idp.schema import bring_up_to_date
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.provider_hosts import Hosts
from tests.support.sealing import write_keys

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def name() -> str:
    """Of a database."""
    return f"provider_{next(_NUMBERS)}"


@pytest.fixture
def uri(server: PostgresqlServer, name: str) -> str:
    """Of an empty database."""
    return server.make_database(name)


@pytest.fixture
def database(uri: str) -> Iterator[Database]:
    """A provider's, with nothing in it."""
    with closing(Database(uri)) as database:
        bring_up_to_date(database)
        yield database


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """What secrets are encrypted with."""
    return write_keys(tmp_path / "key-encryption", secrets.token_bytes(32))


@pytest.fixture
def hosts(tmp_path: Path, uri: str, key_file: Path) -> Hosts:
    return Hosts(tmp_path, uri, key_file)
