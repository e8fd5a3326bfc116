"""Cyrus's own replication: sync_client brings a mailbox to a replica (docs/cyrus-imapd.md)."""

from __future__ import annotations

import imaplib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import wait_until
from tests.support.sample_programs import ALICE
from tests.support.services import ADMIN, AES128, HOST, Imapd, Site, Syslog


@contextmanager
def opened(imapd: Imapd, name: str) -> Iterator[imaplib.IMAP4]:
    """A connection of somebody."""
    mechanism = imapd.site.mechanism("imap", person=imapd.site.realm.person(name))
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        connection.authenticate(AES128, mechanism.step)
        yield connection


@pytest.fixture
def replica(new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[Imapd]:
    with Imapd(new_site("cyrus")).running() as imapd:
        yield imapd


@pytest.fixture
def origin(new_site: Callable[[str], Site], replica: Imapd) -> Iterator[Imapd]:
    """Has a message for alice, and an administrator of the replica signed in as its account."""
    site = new_site("cyrus")
    site.realm.sign_in(ADMIN)
    for path in (site.folder / "client", site.folder / ".local"):
        for each in (path, *path.rglob("*")):
            shutil.chown(each, "cyrus", "mail")
    options = {
        "sync_host": HOST,
        "sync_authname": ADMIN,
        "sync_password": "none",
    }
    with Imapd(site, options=options).running() as imapd:
        with opened(imapd, ADMIN) as admin:
            assert admin.create("user/alice")[0] == "OK"
        with opened(imapd, ALICE) as alice:
            assert alice.append("INBOX", "", "", b"Subject: hello\r\n\r\nworld\r\n")[0] == "OK"
        yield imapd


def replication(
    origin: Imapd, settings: dict[str, str], *, extra_round_trip: bool
) -> tuple[str | Path, ...]:
    """The command that brings alice's mailbox to the replica."""
    with origin.config.open("a") as config:
        config.writelines(f"{name}: {value}\n" for name, value in settings.items())
    with origin.site.config_file.open("a") as config:
        config.write(f"[client]\nextra_round_trip = {str(extra_round_trip).lower()}\n")
    program = Imapd.PROGRAMS / "sync_client"
    return program, "-C", origin.config, "-S", HOST, "-v", "-u", "alice"


def replicate(origin: Imapd, settings: dict[str, str], *, extra_round_trip: bool) -> None:
    """Bring it there."""
    command = replication(origin, settings, extra_round_trip=extra_round_trip)
    done = origin.site.run(*command)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("extra_round_trip", [True, False])
def test_to_sync_server(
    origin: Imapd, replica: Imapd, syslog: Syslog, extra_round_trip: bool
) -> None:
    mark = syslog.mark()
    port = {"sync_port": str(replica.sync_port), "sync_try_imap": "no"}
    replicate(origin, port, extra_round_trip=extra_round_trip)
    assert messages(replica) == b"1"
    syslog.wait_for(rf"sync\[.*login: .* admin {AES128} User logged in", mark)


def test_to_imapd_with_the_extra_round_trip(origin: Imapd, replica: Imapd) -> None:
    replicate(origin, {"sync_port": str(replica.port)}, extra_round_trip=True)
    assert messages(replica) == b"1"


def test_to_imapd_it_does_not_end_on_a_message_of_the_server(origin: Imapd, replica: Imapd) -> None:
    command = replication(origin, {"sync_port": str(replica.port)}, extra_round_trip=False)

    def admitted() -> int:
        return replica.site.output.read_text().count("login succeeded")

    before = admitted()
    with subprocess.Popen(command, env=origin.site.variables) as process:
        try:
            wait_until(lambda: admitted() > before, "the acceptor's word")
            # Where it knows what to do with that message, it is done in a tenth of a second.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(6)
        finally:
            process.kill()


def messages(imapd: Imapd) -> bytes | None:
    """How many alice has."""
    with opened(imapd, ALICE) as alice:
        [count] = alice.select("INBOX")[1]
        return count
