"""The plugin, built and installed once as an administrator does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support import dovecot, pages
from tests.support.gss import GssSite, build_gss_driver, gss_site
from tests.support.sample_programs import ROOT
from tests.support.services import (
    Installation,
    Site,
    Syslog,
    build_driver,
    folder_for_all,
    run,
)

HERE = Path(__file__).parent
# What Dovecot 2.3, which Debian 12 has, cannot do.
collect_ignore = [] if dovecot.is_2_4() else ["test_dovecot_2_4.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them waits for the installation."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session", autouse=True)
def only_where_they_are(real_programs: None) -> None:
    """All of these need them."""


@pytest.fixture(scope="session")
def provider_key() -> PrivateKey:
    """The identity provider's key, made once since that takes a while."""
    return PrivateKey.generate("RS256")


@pytest.fixture
def new_site(
    installation: Installation, provider_key: PrivateKey
) -> Iterator[Callable[[str], Site]]:
    """Makes sites whose service runs as a given account."""
    with folder_for_all() as folder, ExitStack() as stack:

        def make(user: str = "root") -> Site:
            own = folder / f"{user}-{len(list(folder.iterdir()))}"
            own.mkdir()
            return stack.enter_context(Site(installation, own, user, provider_key).accepting())

        yield make


@pytest.fixture
def site(new_site: Callable[[str], Site]) -> Site:
    """A site whose service runs as root, with one person signed in."""
    site = new_site("root")
    site.realm.sign_in()
    return site


@pytest.fixture(scope="session")
def syslog(real_programs: None, machine_log: Syslog) -> Syslog:
    """What the services log."""
    return machine_log


@pytest.fixture(scope="session")
def python_with_sasl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has python-sasl, built as the plugin's README says."""
    folder = tmp_path_factory.mktemp("python-sasl")
    [commands] = pages.blocks((ROOT / "plugin" / "README.md").read_text(), "sh")
    for command in (("/usr/bin/python3", "-m", "venv", ".venv"), ("sh", "-ec", commands)):
        done = run(command, cwd=folder, timeout=200)
        assert done.returncode == 0, done.stdout
    return folder / ".venv" / "bin" / "python"


@pytest.fixture(scope="module")
def gss(installation: Installation, provider_key: PrivateKey) -> Iterator[GssSite]:
    """A site whose service has a certificate, where root's programs may accept contexts."""
    with folder_for_all() as folder, gss_site(installation, folder, provider_key) as site:
        site.realm.sign_in(role="author")
        yield site


@pytest.fixture(scope="session")
def gss_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides of contexts in one process: gss_driver.c says how it is used."""
    return build_gss_driver(tmp_path_factory.mktemp("gss"))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides of libsasl2 in one process: driver.c says how it is used."""
    return build_driver(tmp_path_factory.mktemp("driver"))
