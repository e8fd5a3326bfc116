"""A directory that runs, and a provider that asks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browserid_sasl.idp.backends import OWN_ACCOUNTS, Backend
from browserid_sasl.idp.backends.ldap import Directory as Place
from browserid_sasl.idp.backends.ldap import LdapBackend
from browserid_sasl.idp.backends.ldap_servers import Access
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.second_steps import SecondStep
from tests.support import directory as support
from tests.support.directory import Directory, Person
from tests.support.pam import Accounts
from tests.support.provider import DOMAIN, RunningProvider, running_provider

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="package")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """OpenLDAP, with nobody in it yet."""
    with support.directory(tmp_path_factory.mktemp("ldap") / "d") as made, made.running():
        yield made


@pytest.fixture
def person() -> Person:
    """Somebody who is in no directory yet, and was in none before."""
    name = f"person{next(_NUMBERS)}"
    return Person(name, f"{name}@{DOMAIN}")


def access(directory: Directory, **changed: object) -> Access:
    given: dict[str, object] = {
        "servers": (directory.ldaps,),
        "ca_file": directory.ca_file,
        "plaintext": False,
        "bind_dn": support.SERVICE,
        "bind_password": support.SERVICE_PASSWORD,
        "timeout": 20_000,
    }
    return Access(**(given | changed))  # type: ignore[arg-type]


def place(**changed: object) -> Place:
    given: dict[str, object] = {
        "base": support.PEOPLE,
        "filter": "(mail={address})",
        "dn_template": "",
        "address_attribute": "mail",
        "groups": (support.STAFF,),
        "claims": {"name": "displayName", "units": "ou"},
    }
    return Place(**(given | changed))  # type: ignore[arg-type]


@pytest.fixture
def backend(directory: Directory) -> LdapBackend:
    return LdapBackend("staff", access(directory), place())


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """A system with nobody on it yet."""
    return Accounts(tmp_path / "etc")


Serve = Callable[..., RunningProvider]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Runs a provider with backends, before its own accounts, until the test ends."""
    running = []

    def start(*backends: Backend, second_step: SecondStep = "code") -> RunningProvider:
        order = (*(each.name for each in backends), OWN_ACCOUNTS)
        context = running_provider(
            tmp_path / "provider", backends=Backends(order, backends), second_step=second_step
        )
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def served(serve: Serve, backend: LdapBackend) -> RunningProvider:
    return serve(backend)
