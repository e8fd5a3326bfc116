"""Postfix as Debian has it, smtpd in its chroot, without any plugin."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator

import pytest

from tests.support.acceptor import Daemon, Host
from tests.support.sample_programs import ALICE
from tests.support.submission import Postfix, log_in, relays

ACCOUNT = "nobody"

MAIN = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/browserid
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""


@pytest.fixture
def postfix(host: Host) -> Iterator[Postfix]:
    """Postfix, and the acceptor's configuration for it. The acceptor is not running yet."""
    server = Postfix(host.folder)
    server.configure(MAIN)
    host.configure(
        f"""
        [listeners."{server.socket}"]
        group = "postfix"
        services = ["smtp"]
        """,
        user=ACCOUNT,
    )
    account = pwd.getpwnam(ACCOUNT)
    (host.folder / "server").mkdir(mode=0o700)
    os.chown(host.folder / "server", account.pw_uid, account.pw_gid)
    with server.running():
        yield server


@pytest.fixture
def ready(host: Host, postfix: Postfix, start: Callable[[Host], Daemon]) -> Daemon:
    """The acceptor that Postfix asks."""
    return start(host)


def test_a_person_logs_in_with_a_key_and_then_by_ticket(
    host: Host, postfix: Postfix, ready: Daemon
) -> None:
    client = host.client("smtp")
    for how in ("certificate", "ticket"):
        with postfix.connection() as connection:
            assert log_in(connection, client.start("BROWSERID-AES128"))[0] == 235
            assert relays(connection)
        assert f"by={how} user=<{ALICE}>" in ready.log
    assert "rip=127.0.0.1" in ready.log


def test_without_a_login_nothing_is_relayed(postfix: Postfix, ready: Daemon) -> None:
    with postfix.connection() as connection:
        assert not relays(connection)
