"""Thunderbird with a profile that `mail settings` wrote: nobody is asked for a password."""

from __future__ import annotations

from pathlib import Path

from browserid_sasl.proxy.programs import Profile, Settings
from tests.mail.conftest import Desk
from tests.support.mail import BOB, MailServers
from tests.support.mail_programs import Loopback
from tests.support.patience import wait_until
from tests.support.sample_programs import ALICE
from tests.support.thunderbird import running


def written(desk: Desk, told: Loopback, home: Path) -> Path:
    """A new profile with an account."""
    profile = home / "profile"
    profile.mkdir()
    [account] = [each for each in desk.alice.accounts.read() if each.name == told.user]
    assert Profile(profile).add(Settings(account, lambda: told.password)) == ""
    return profile


def test_it_fetches_and_sends(
    servers: MailServers, desk: Desk, told: Loopback, tmp_path: Path
) -> None:
    profile = written(desk, told, tmp_path)
    subject = f"sent by Thunderbird for {told.user}"
    message = tmp_path / "message"
    message.write_bytes(
        f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {subject}\r\n\r\nto Bob\r\n".encode()
    )
    with running(tmp_path, profile) as thunderbird:
        wait_until(lambda: "the body of hello" in "".join(thunderbird.messages()), "the message")
        thunderbird.send(message, BOB)
    assert b"to Bob" in servers.wait_for_delivery(subject, BOB)
