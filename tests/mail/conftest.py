"""Mail servers, and somebody with mail programs; started once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.granting import GrantingProvider, granting_provider
from tests.support.mail import Correspondent, MailServers
from tests.support.mail_programs import Home, Loopback
from tests.support.services import Installation, Syslog, folder_for_all

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for the installation."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrantingProvider]:
    """The identity provider of the domain."""
    with granting_provider(tmp_path_factory.mktemp("mail") / "provider") as provider:
        yield provider


@pytest.fixture(autouse=True)
def usual_provider(provider: GrantingProvider) -> Iterator[None]:
    """Whatever a test makes of the provider, it is as usual afterwards."""
    yield
    usual = GrantingProvider(provider.ca_file, key=provider.key)
    for name in ("consent", "life", "down", "delay", "refusal", "identity", "ways"):
        setattr(provider, name, getattr(usual, name))


@pytest.fixture(scope="session")
def servers(
    installation: Installation, provider: GrantingProvider, machine_log: Syslog
) -> Iterator[MailServers]:
    """Cyrus imapd, Dovecot and Postfix, with one message for Alice at each of the first two."""
    with folder_for_all() as folder:
        with MailServers(installation, folder, provider.key).running() as servers:
            servers.deliver("hello", "the body of hello")
            yield servers


@contextmanager
def correspondent(provider: GrantingProvider, servers: MailServers) -> Iterator[Correspondent]:
    """Somebody with a machine of her own."""
    with folder_for_all() as folder:
        yield Correspondent(folder, provider, servers.authority)


class Desk(NamedTuple):
    """Alice, her agent's process, and what her mail programs are told of either server."""

    alice: Correspondent
    agent: int
    cyrus: Loopback
    dovecot: Loopback


@pytest.fixture(scope="session")
def desk(provider: GrantingProvider, servers: MailServers) -> Iterator[Desk]:
    """One that all tests share which do no harm."""
    with correspondent(provider, servers) as alice:
        cyrus = alice.add("alice@example.test", servers.of_cyrus)
        dovecot = alice.add("dovecot", servers.of_dovecot)
        with alice.logged_in() as process:
            yield Desk(alice, process.pid, cyrus, dovecot)


@pytest.fixture(params=["cyrus", "dovecot"])
def told(desk: Desk, request: pytest.FixtureRequest) -> Loopback:
    """What a program is told of each server in turn."""
    given: Loopback = getattr(desk, request.param)
    return given


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")
