"""A domain of people who log in with the sample programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support.ports import free_port
from tests.support.sample_programs import Realm, RunningServer


@pytest.fixture(scope="session")
def provider_key() -> PrivateKey:
    return PrivateKey.generate("RS256")


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, provider_key: PrivateKey) -> Realm:
    """A realm where alice has signed in."""
    realm = Realm(tmp_path_factory.mktemp("realm"), provider_key)
    realm.sign_in()
    return realm


@pytest.fixture
def fresh_realm(tmp_path: Path, provider_key: PrivateKey) -> Realm:
    """A realm of the test's own, where nobody has signed in."""
    return Realm(tmp_path, provider_key)


@pytest.fixture(scope="module")
def server(realm: Realm) -> Iterator[RunningServer]:
    """A server without flags, shared by the tests of a module."""
    with realm.server() as server:
        yield server


@pytest.fixture
def unused_port() -> int:
    return free_port()
