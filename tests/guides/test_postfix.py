"""docs/postfix.md, followed on a machine as Debian's package leaves it."""

from __future__ import annotations

import re

import pytest

from tests.guides.conftest import OUTSIDE
from tests.support.guide import ACCEPTOR_LOG, PASSWORD_FILE, Guide
from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT
from tests.support.services import Syslog

ALICE = "alice@example.org"
BOB = "bob@example.org"
EVE = "eve@stranger.example"
AWAY = "somebody@elsewhere.example"

PROGRAM = f"""
import smtplib, ssl, sys
from browserid_sasl import Client
from browserid_sasl.adapters import smtplib_login

login, sender, recipient, port = sys.argv[1:]
connection = smtplib.SMTP("mail.example.org", int(port), source_address=("{OUTSIDE}", 0))
connection.ehlo()
if connection.has_extn("starttls"):
    connection.starttls(context=ssl.create_default_context())
try:
    smtplib_login(connection, Client(service="smtp", hostname="mail.example.org", identity=login))
    print("SIGNED IN")
except Exception as error:
    print(type(error).__name__, error.code.text, *getattr(error, "__notes__", []))
print(*connection.mail(sender), *connection.rcpt(recipient))
"""


@pytest.fixture(scope="module")
def guide(computer: Machine, postfix: Guide) -> Guide:
    """The page, with everything on it done, and two people who are signed in."""
    computer.write(f"{HOME}/submit.py", PROGRAM)
    for person in (ALICE, EVE):
        computer.do(f"browserid login {person} --password-file {PASSWORD_FILE}")
    return postfix


def submit(computer: Machine, login: str, sender: str, recipient: str, port: int = 587) -> str:
    """What the server says to one who logs in and then wants to send a message."""
    python = ROOT / ".venv" / "bin" / "python"
    return computer.do(f"{python} submit.py {login} {sender} {recipient} {port}")


def test_the_packages_that_it_names_have_its_commands(guide: Guide) -> None:
    assert guide.commands_without_a_package() == []


def test_nothing_that_postfix_warns_of(guide: Guide, computer: Machine) -> None:
    assert "warning" not in computer.do("postconf -n 2>&1; postfix check 2>&1")


@pytest.mark.usefixtures("guide")
class TestWhatItMakes:
    def test_alice_sends_mail_anywhere(self, guide: Guide, computer: Machine, log: Syslog) -> None:
        mark = log.mark()
        said = submit(computer, ALICE, ALICE, AWAY)
        assert "SIGNED IN" in said
        assert said.count("250") == 2
        [shown] = [block.text.strip() for block in guide.blocks if block.kind == "log"]
        pattern = re.escape(shown).replace(r"\.\.\.", ".*").replace("6B01D6", r"\w+")
        log.wait_for(pattern.replace("smtpd:", r"smtpd\[\d+\]:"), mark)
        assert f"login succeeded: rip={OUTSIDE} service=smtp" in computer.do(f"cat {ACCEPTOR_LOG}")

    def test_alice_does_not_write_as_bob(self, computer: Machine) -> None:
        said = submit(computer, ALICE, BOB, AWAY)
        assert "SIGNED IN" in said
        assert "553" in said

    def test_alice_does_not_write_as_one_whose_name_has_hers_in_it(self, computer: Machine) -> None:
        for sender in (f"x {ALICE} y", f"x,{ALICE},y"):
            said = submit(computer, ALICE, f"'\"{sender}\"@bank.example'", AWAY)
            assert "SIGNED IN" in said
            assert "553" in said

    def test_a_stranger_is_refused_and_nothing_of_hers_is_relayed(self, computer: Machine) -> None:
        said = submit(computer, EVE, EVE, AWAY)
        assert "SIGNED IN" not in said
        assert "535" in said
        assert re.search(r" 55\d b'5\.7\.1 ", said), "her recipient was accepted"
        refused = computer.do(f"grep 'login refused: rip={OUTSIDE} service=smtp' {ACCEPTOR_LOG}")
        assert f"{EVE} may not log in to this service" in refused

    def test_port_25_offers_no_login_and_relays_nothing(self, computer: Machine) -> None:
        said = submit(computer, ALICE, ALICE, AWAY, port=25)
        assert "wrong-mech" in said
        assert "Relay access denied" in said

    def test_no_login_is_offered_before_tls(self, computer: Machine) -> None:
        said = computer.do(
            "exec 3<>/dev/tcp/mail.example.org/587; printf 'EHLO x\\r\\nQUIT\\r\\n' >&3; cat <&3"
        )
        assert "STARTTLS" in said
        assert "AUTH" not in said

    def test_smtpd_is_in_its_chroot(self, computer: Machine) -> None:
        assert computer.do("postconf -F submission/inet/chroot") == "submission/inet/chroot = y\n"

    def test_its_socket_is_postfixs(self, computer: Machine) -> None:
        socket = "/var/spool/postfix/private/browserid"
        assert computer.do(f"stat -c '%U %G %a' {socket}") == "browserid postfix 660\n"
