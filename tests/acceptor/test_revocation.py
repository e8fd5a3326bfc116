"""A key is revoked at a real provider, and `browserid-acceptor` refuses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from browserid_sasl.api import Client
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.sasl.client import ClientMechanism
from tests.acceptor.conftest import Start
from tests.support.acceptor import Host, Program, running
from tests.support.patience import wait_until
from tests.support.provider import RunningProvider, running_provider
from tests.support.sample_programs import Person
from tests.support.services import AES128

DOMAIN = "far.test"
ALICE = f"alice@{DOMAIN}"
SECOND = (
    sys.executable,
    "-c",
    "import browserid_sasl.identity.revocation_lists as lists, sys; lists.INTERVAL_MS = 1000;"
    "from browserid_sasl.acceptor.cli import main; sys.exit(main())",
)
"""The acceptor, which looks every second and not every minute."""


@pytest.fixture
def idp(tmp_path: Path) -> Iterator[RunningProvider]:
    with running_provider(tmp_path / "provider", domain=DOMAIN) as provider:
        yield provider


def configure(host: Host, idp: RunningProvider, revocations: str) -> None:
    host.configure(
        f"""
        [authorities."{DOMAIN}"]
        url = "{idp.url}"
        ca_file = "{idp.ca_file}"

        [server]
        revocations = "{revocations}"
        """,
        allow=(DOMAIN,),
        workers=2,
    )


def certified(idp: RunningProvider) -> Person:
    """Alice on a machine whose key the provider has certified."""
    now = idp.clock.now
    person = Person(ALICE, idp.provider.keys.active(now).private_key, DOMAIN)
    wish = Wish(ALICE, person.key.public_key, "laptop", "192.0.2.7")
    idp.provider.renewals.issue(Granted(wish, True), person.expires, now, lambda: None)
    return person


def log_in(host: Host, mechanism: ClientMechanism) -> str:
    """What the acceptor says of a login."""
    with Program(host.socket) as program:
        reply = program.log_in(mechanism, bid="1")
        return reply.parameters.get("reason", reply.verb)


def is_refused(host: Host, make: Callable[[], ClientMechanism]) -> bool:
    return log_in(host, make()) != "OK"


@pytest.mark.option("server.revocations")
def test_what_is_revoked_is_refused_by_certificate_and_by_ticket(
    host: Host, idp: RunningProvider, start: Start
) -> None:
    configure(host, idp, "required")
    daemon = start(host, command=SECOND)
    person, other = certified(idp), certified(idp)
    client: Client = host.client(person=person)
    for _ in range(2):
        assert log_in(host, client.start_with(AES128)) == "OK"
    assert idp.provider.renewals.revoke_all(ALICE, idp.clock.now) == 2
    fresh = certified(idp)
    for revoked in (lambda: client.start_with(AES128), lambda: host.mechanism(person=other)):
        wait_until(partial(is_refused, host, revoked), "it is refused")
    assert "revoked" in daemon.log
    assert log_in(host, host.mechanism(person=fresh)) == "OK"


def test_without_the_list_the_administrator_has_said_what_happens(
    host: Host, idp: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(now: int) -> object:
        raise OSError

    monkeypatch.setattr(idp.provider.revocations, "published", broken)
    person = certified(idp)
    outcomes, warned = {}, {}
    for choice in ("ignore", "when-available", "required"):
        configure(host, idp, choice)
        with running(host.config_file, host.output) as daemon:
            outcomes[choice] = log_in(host, host.mechanism(person=person))
            # It was written before the answer.
            warned[choice] = f"go on without the list of revoked keys of {DOMAIN}" in daemon.log
    assert warned == {"ignore": False, "when-available": True, "required": False}
    assert (outcomes["ignore"], outcomes["when-available"]) == ("OK", "OK")
    assert outcomes["required"] != "OK"
