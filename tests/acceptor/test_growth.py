"""What a worker keeps of logins that are over: nothing. `make soak` counts a hundred thousand."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.api import Client
from tests.acceptor.test_conversation import FakeHost, begin, converse
from tests.support.sample_programs import Person
from tests.support.services import AES128
from tests.support.site import DOMAIN, Site
from tests.support.world import key

WARM_UP = 600
"""Logins after which what is remembered of the last ones is nearly full."""
LOGINS = 200
"""Each that left one object behind would be noticed."""


def log_in(host: FakeHost, message: bytes) -> None:
    """One login on a connection of its own, of which the host forgets what it noted."""
    conversation = converse(host)
    conversation.receive(begin(1, message, "bid"))
    assert host.sent[-1].startswith("OK\t"), host.sent
    conversation.close()
    host.sent.clear()
    host.log.clear()


def grown(host: FakeHost, make: Callable[[], bytes]) -> int:
    """How many more pieces of memory Python's objects take after some logins."""
    messages = [make() for _ in range(WARM_UP + LOGINS)]
    for message in messages[:WARM_UP]:
        log_in(host, message)
    before = pieces()
    for message in messages[WARM_UP:]:
        log_in(host, message)
    return pieces() - before


def pieces() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def test_logins_by_ticket(tmp_path: Path) -> None:
    host = FakeHost(Servers(Site(tmp_path).config, "localhost"))
    person = Person(f"alice@{DOMAIN}", key("idp"), DOMAIN)
    client = Client(host.servers.config, "imap", "localhost", credentials=person)
    first = client.start_with(AES128)
    conversation = converse(host)
    conversation.receive(begin(1, first.step(None), "bid"))
    conversation.close()
    assert host.sent[-1].startswith("OK\t")
    assert grown(host, lambda: client.start_with(AES128).step(None)) < LOGINS
