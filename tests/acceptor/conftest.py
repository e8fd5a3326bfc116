"""A domain, and the folders and daemons of a host that accepts its people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support.acceptor import Daemon, Host, running
from tests.support.services import Syslog, folder_for_all

Start = Callable[..., Daemon]


@pytest.fixture(scope="session")
def provider_key() -> PrivateKey:
    """The identity provider's key."""
    return PrivateKey.generate("ES256")


@pytest.fixture(scope="session")
def syslog(machine_log: Syslog) -> Syslog:
    """What is sent to /dev/log."""
    return machine_log


@pytest.fixture
def host(provider_key: PrivateKey) -> Iterator[Host]:
    """A host in a folder that everybody can read."""
    with folder_for_all() as folder:
        yield Host(folder, provider_key)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts acceptors, which end with the test."""
    with ExitStack() as stack:
        yield lambda host, **options: stack.enter_context(
            running(host.config_file, host.output, **options)
        )


@pytest.fixture
def daemon(host: Host, start: Start) -> Daemon:
    """The host's acceptor."""
    return start(host)
