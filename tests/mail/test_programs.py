"""Mail programs that know only of a password, at real servers that know of none."""

from __future__ import annotations

import pytest

from tests.mail.conftest import Desk
from tests.support.mail import BOB, MailServers
from tests.support.mail_programs import FETCHING, SENDING, Home, Loopback
from tests.support.sample_programs import ALICE


@pytest.mark.parametrize("program", FETCHING)
def test_it_fetches(servers: MailServers, told: Loopback, home: Home, program: str) -> None:
    done = FETCHING[program](home, told)
    assert done.status == 0, done.said
    assert "the body of hello" in done.fetched, done.said


@pytest.mark.parametrize("program", SENDING)
def test_it_sends(servers: MailServers, desk: Desk, home: Home, program: str) -> None:
    subject = f"sent by {program}"
    message = f"From: {ALICE}\nTo: {BOB}\nSubject: {subject}\n\nwith {program}\n.\nto Bob\n"
    done = SENDING[program](home, desk.cyrus, ALICE, BOB, message)
    assert done.status == 0, done.said
    arrived = servers.wait_for_delivery(subject, BOB)
    assert f"with {program}\r\n".encode() in arrived
    assert arrived.rstrip().endswith(b"to Bob")
