"""Settings for every test."""

from __future__ import annotations

import configparser
import fcntl
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

from tests.support.services import Installation, Syslog, folder_for_all

# The same examples every time, and no complaints about a busy machine. To look for new ones:
# pytest --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

TOGETHER: Final = {
    # They measure times, and start daemons by the dozen.
    "tests/acceptor/": "acceptor",
    # A browser takes a while to start,
    "tests/browser/": "browser",
    # and so does a machine,
    "tests/guides/": "guides",
    # and so do three mail servers,
    "tests/mail/": "mail",
    # and so does a database server,
    "tests/idp/postgresql/": "postgresql",
    # and so does a domain controller,
    "tests/idp/backends/test_active_directory.py": "active directory",
    # and so does a package that is built,
    "tests/packages/test_sources.py": "sources",
    # and so do these services, in two halves.
    "tests/plugin/test_adapters.py": "services",
    "tests/plugin/test_dovecot.py": "services",
    "tests/plugin/test_faults.py": "services",
    "tests/plugin/test_imapd.py": "services",
    "tests/plugin/test_key_types.py": "services",
    "tests/plugin/test_mail.py": "services",
    "tests/plugin/test_replication.py": "services",
    "tests/plugin/": "plugin",
    # One after the other: while one has port 5556 the other takes another, and says so.
    "tests/test_demo.py": "demo",
}
"""Tests that one process runs: the beginnings of their names, the first that fits counts.

pytest-xdist's own way, by a mark, has no effect with recent releases of pytest.
"""


SHARED: Final = pytest.StashKey[Path]()
"""A folder that the processes of a run share, and that everybody can read."""


def pytest_configure(config: pytest.Config) -> None:
    """Give a run its folder, and back what may be missing where it is started in the background."""
    # A shell has what it runs there ignore Ctrl+C, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    given = getattr(config, "workerinput", {}).get("shared")
    if given is None:
        stack = ExitStack()
        given = stack.enter_context(folder_for_all())
        config.add_cleanup(stack.close)
    config.stash[SHARED] = Path(given)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell another process of the run which folder they share."""
    node.workerinput["shared"] = str(node.config.stash[SHARED])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected here stays: whoever looks for garbage may pass it by."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def counted() -> tuple[str, ...]:
    """The folders of the tests of what has its coverage counted: setup.cfg names the packages."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
    packages = settings["coverage:report"]["include"].split()
    return tuple(each.replace("browserid_sasl", "tests").removesuffix("*") for each in packages)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count lines in the tests of those packages only: it makes a test take three times as long."""
    those = counted()
    for item in items:
        if not item.nodeid.startswith(those):
            item.add_marker("no_cover")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process tests one by one, but for those that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((TOGETHER[each] for each in TOGETHER if nodeid.startswith(each)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """What decides which process runs which tests."""
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def machine_log() -> Iterator[Syslog]:
    """What is sent to /dev/log. There is one for all: a second one could not cover the first."""
    syslog = Syslog()
    yield syslog
    syslog.close()


PROGRAMS: Final = (
    "/usr/lib/cyrus/bin/imapd",
    "/usr/sbin/slapd",
    "/usr/sbin/postfix",
    "/usr/bin/valgrind",
)


@pytest.fixture(scope="session")
def real_programs() -> None:
    """Where these programs cannot be started the tests are skipped, but never by a CI."""
    if os.environ.get("CI") == "true":
        return
    if os.geteuid() != 0:
        pytest.skip("starting the services needs root")
    missing = [name for name in PROGRAMS if not Path(name).exists()]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (see plugin/debian-packages.txt)")


@pytest.fixture(scope="session")
def installation(real_programs: None, pytestconfig: pytest.Config) -> Installation:
    """The result of `make install`: the plugin, built and installed as an administrator does it.

    It takes a while: the first who needs it makes it, and all processes of a run have the same.
    """
    folder = pytestconfig.stash[SHARED]
    made = folder / "made"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installation = Installation(folder)
        if not made.exists():
            installation.make("install")
            made.touch()
    return installation
