"""docs/dovecot.md, followed on a machine where Dovecot takes the place of Cyrus imapd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guides.conftest import OUTSIDE, follow, new_machine
from tests.support.guide import ACCEPTOR_LOG, PASSWORD_FILE, Guide
from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, Syslog

ALICE = "alice@example.org"
EVE = "eve@stranger.example"
PACKAGES = "dovecot-core dovecot-dev dovecot-imapd dovecot-submissiond"

PROGRAM = """
import smtplib, ssl, sys
from browserid_sasl import Client
from browserid_sasl.adapters import smtplib_login

connection = smtplib.SMTP("mail.example.org", 587)
connection.starttls(context=ssl.create_default_context())
client = Client(service="smtp", hostname="mail.example.org", identity=sys.argv[1])
try:
    smtplib_login(connection, client)
    print("SIGNED IN")
except Exception as error:
    print(type(error).__name__, error.code.text)
print(*connection.mail(sys.argv[1]), *connection.rcpt("somebody@elsewhere.example"))
"""

PLAIN = f"""
import imaplib, socket

class Connection(imaplib.IMAP4):
    def _create_socket(self, timeout):
        return socket.create_connection(("127.0.0.1", 143), timeout, ("{OUTSIDE}", 0))

connection = Connection(timeout=10)
connection.send(b"a AUTHENTICATE {AES128}\\r\\n")
print(connection.readline().decode())
"""


@pytest.fixture(scope="module")
def computer(prepared: Path) -> Iterator[Machine]:
    with new_machine(prepared) as computer:
        # The packages take the machine's certificate when they are installed for the first time.
        computer.do("make-ssl-cert generate-default-snakeoil")
        computer.do("apt-get purge --yes dovecot-core")
        install = "apt-get install --yes --no-install-recommends"
        computer.do(f"{install} {PACKAGES}", network=True, timeout=200)
        computer.do("postfix start")
        yield computer


@pytest.fixture(scope="module")
def log(computer: Machine) -> Iterator[Syslog]:
    syslog = Syslog(str(computer.path("/dev/log")))
    yield syslog
    syslog.close()


@pytest.fixture(scope="module")
def guide(computer: Machine, log: Syslog) -> Guide:
    """The page, with everything on it done, and a stranger who has signed in."""
    follow(computer, "acceptor.md", "Start")
    guide = follow(computer, "dovecot.md")
    computer.do(f"browserid login {EVE} --password-file {PASSWORD_FILE}")
    computer.write(f"{HOME}/submit.py", PROGRAM)
    return guide


def imtest(computer: Machine, person: str) -> str:
    """What Cyrus's client says that happens."""
    command = f'/usr/lib/cyrus/bin/imtest -m {AES128} -t "" -a {person} mail.example.org'
    return computer.run(command).stdout


def submit(computer: Machine, person: str) -> str:
    """What the submission service says to one who logs in and then wants to send a message."""
    return computer.do(f"{ROOT}/.venv/bin/python submit.py {person}")


def test_the_packages_that_it_names_have_its_commands(guide: Guide) -> None:
    assert guide.commands_without_a_package() == []


def test_the_log_has_the_lines_that_it_shows(guide: Guide, computer: Machine, log: Syslog) -> None:
    mark = log.mark()
    assert "Authenticated." in imtest(computer, ALICE)
    assert "Authenticated." not in imtest(computer, EVE)
    [shown] = [block.text for block in guide.blocks if block.kind == "log"]
    for line in shown.splitlines():
        log.wait_for(re.escape(line), mark)
    assert f"{EVE} may not log in to this service" in computer.do(f"cat {ACCEPTOR_LOG}")


@pytest.mark.usefixtures("guide")
class TestWhatItMakes:
    def test_alice_sends_mail_anywhere(self, computer: Machine) -> None:
        said = submit(computer, ALICE)
        assert "SIGNED IN" in said
        assert said.count("250") == 2

    def test_a_stranger_is_refused_and_nothing_of_hers_is_passed_on(
        self, computer: Machine
    ) -> None:
        said = submit(computer, EVE)
        assert "SIGNED IN" not in said
        assert "530" in said

    def test_nobody_logs_in_without_tls(self, computer: Machine) -> None:
        """From elsewhere: what comes from the host itself Dovecot takes for safe."""
        computer.write(f"{HOME}/plain.py", PLAIN)
        said = computer.do("python3 plain.py")
        assert re.search(r"^a NO \[PRIVACYREQUIRED\]", said, re.MULTILINE), said

    def test_its_socket_is_dovecots(self, computer: Machine) -> None:
        assert computer.do("stat -c '%U %a' /run/browserid/dovecot") == "dovecot 600\n"

    def test_dovecots_own_mechanism_is_left(self, computer: Machine) -> None:
        said = computer.do("doveconf -h auth_mechanisms")
        assert said.split() == ["plain", AES128.lower()]
