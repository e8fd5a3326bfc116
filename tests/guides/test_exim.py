"""docs/exim.md, followed on a machine where Exim takes the place of Postfix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guides.conftest import OUTSIDE, follow, new_machine
from tests.support.guide import ACCEPTOR_LOG, PASSWORD_FILE, Guide
from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT

ALICE = "alice@example.org"
BOB = "bob@example.org"
EVE = "eve@stranger.example"
PACKAGES = "exim4-daemon-heavy exim4-base exim4-config"
MAIN_LOG = "/var/log/exim4/mainlog"

PROGRAM = f"""
import smtplib, ssl, sys
from browserid_sasl import Client
from browserid_sasl.adapters import smtplib_login

login, sender = sys.argv[1:]
connection = smtplib.SMTP("mail.example.org", 587, source_address=("{OUTSIDE}", 0))
connection.ehlo()
print("AUTH BEFORE TLS", connection.has_extn("auth"))
connection.starttls(context=ssl.create_default_context())
connection.ehlo()
try:
    smtplib_login(connection, Client(service="smtp", hostname="mail.example.org", identity=login))
    print("SIGNED IN")
except Exception as error:
    print(type(error).__name__, error.code.text, *getattr(error, "__notes__", []))
for command in (
    lambda: connection.mail(sender),
    lambda: connection.rcpt("somebody@elsewhere.example"),
    lambda: connection.data("Subject: hello\\r\\n\\r\\nhello\\r\\n"),
):
    try:
        print(*command())
    except smtplib.SMTPException as error:
        print(*error.args)
"""


@pytest.fixture(scope="module")
def computer(prepared: Path) -> Iterator[Machine]:
    with new_machine(prepared) as computer:
        install = "apt-get install --yes --no-install-recommends"
        computer.do(f"{install} {PACKAGES}", network=True, timeout=200)
        yield computer


@pytest.fixture(scope="module")
def guide(computer: Machine) -> Guide:
    """The page, with everything on it done, and two people who are signed in."""
    follow(computer, "acceptor.md", "Start")
    guide = follow(computer, "exim.md")
    computer.write(f"{HOME}/submit.py", PROGRAM)
    for person in (ALICE, EVE):
        computer.do(f"browserid login {person} --password-file {PASSWORD_FILE}")
    return guide


def submit(computer: Machine, login: str, sender: str) -> str:
    """What the server says to one who logs in and then wants to send a message."""
    return computer.do(f"{ROOT}/.venv/bin/python submit.py {login} {sender}")


def test_the_packages_that_it_names_have_its_commands(guide: Guide) -> None:
    assert guide.commands_without_a_package() == []


@pytest.mark.usefixtures("guide")
class TestWhatItMakes:
    def test_alice_sends_mail_anywhere(self, guide: Guide, computer: Machine) -> None:
        said = submit(computer, ALICE, ALICE)
        assert "AUTH BEFORE TLS False" in said
        assert "SIGNED IN" in said
        assert said.count("250") == 3
        [shown] = [block.text.strip() for block in guide.blocks if block.kind == "log"]
        computer.wait_for(f"grep -F '{shown}' {MAIN_LOG}")
        assert f"login succeeded: rip={OUTSIDE} service=smtp" in computer.do(f"cat {ACCEPTOR_LOG}")

    def test_alice_does_not_write_as_bob(self, computer: Machine) -> None:
        said = submit(computer, ALICE, BOB)
        assert "SIGNED IN" in said
        assert f"550 b'{ALICE} may not write as {BOB}'" in said

    def test_a_stranger_is_refused_and_nothing_of_hers_is_relayed(self, computer: Machine) -> None:
        said = submit(computer, EVE, EVE)
        assert "SIGNED IN" not in said
        assert "535" in said
        assert "550 b'relay not permitted'" in said
        refused = computer.do(f"grep 'login refused: rip={OUTSIDE} service=smtp' {ACCEPTOR_LOG}")
        assert f"{EVE} may not log in to this service" in refused

    def test_its_socket_is_exims(self, computer: Machine) -> None:
        said = computer.do("stat -c '%U %G %a' /run/browserid/exim")
        assert said == "browserid Debian-exim 660\n"

    def test_debians_own_files_are_as_they_were(self, computer: Machine) -> None:
        changed = computer.do("dpkg --verify exim4-config || true")
        assert "conf.d" not in changed
