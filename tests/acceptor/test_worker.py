"""A worker in this process: whose documents wait for whose, and its end."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from browserid_sasl.acceptor.balance import Balance, Board
from browserid_sasl.acceptor.log import Log, to_stderr
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.acceptor.worker import Worker
from browserid_sasl.config import load
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.arrivals import DocumentName
from browserid_sasl.identity.authority import FetchedDocument
from tests.support.patience import PATIENCE

CONFIGURATION = """
[acceptor]
lookups = 2
[listeners."/run/own"]
allow = ["known.test"]
[listeners."/run/everybody"]
allow = ["*"]
"""


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    file = tmp_path / "browserid.toml"
    file.write_text(CONFIGURATION)
    return Servers(load(file), "mail.test")


def make_worker(servers: Servers, control: socket.socket, log: Log = to_stderr) -> Worker:
    balance = Balance(Board(1), 0)
    return Worker([], control, lambda: servers.config, servers, "mail.test", log, balance)


@pytest.mark.option("acceptor.lookups", "listeners.allow")
def test_strangers_providers_do_not_keep_those_waiting_whom_the_configuration_names(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def fetch(_: HttpsFetcher, domain: str, principal_domain: str) -> FetchedDocument:
        if principal_domain != "known.test":
            released.wait(10)
        return FetchedDocument(domain.encode(), 0)

    monkeypatch.setattr(HttpsFetcher, "fetch", fetch)
    parent, control = socket.socketpair()
    worker = make_worker(servers, control)
    strangers = [DocumentName(f"stranger{n}.test", f"stranger{n}.test") for n in range(10)]
    strangers += [DocumentName("known.test", f"delegates{n}.test") for n in range(10)]
    for name in strangers:
        assert worker.wait_for(servers, name, lambda: None)
    arrived = threading.Semaphore(0)
    for domain in ("known.test", "provider.test"):
        assert worker.wait_for(servers, DocumentName(domain, "known.test"), arrived.release)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert arrived.acquire(timeout=PATIENCE)
        assert arrived.acquire(timeout=PATIENCE)
    finally:
        released.set()
        parent.close()
        thread.join()


@pytest.mark.parametrize("read", [True, False])
def test_it_ends_when_its_parent_is_gone_whatever_that_had_not_read(
    servers: Servers, *, read: bool
) -> None:
    log: list[str] = []
    parent, control = socket.socketpair()
    worker = make_worker(servers, control, lambda _, text: log.append(text))
    control.send(b"alive")
    if read:
        parent.recv(100)
    parent.close()
    worker.run()
    assert log == ["the parent process is gone"]
