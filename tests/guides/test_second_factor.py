"""docs/second-factor.md, followed on a machine with Dovecot, until passwords have ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guides.conftest import OUTSIDE, new_machine
from tests.guides.test_readme import SYSTEM_AUTHORITIES
from tests.support.guide import ACCEPTOR_LOG, PASSWORD_FILE, Guide
from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT
from tests.support.services import AES128, Syslog

PAGE = ROOT / "docs" / "second-factor.md"
ALICE = "alice@example.org"
EVE = "eve@stranger.example"
PACKAGES = "dovecot-core dovecot-imapd dovecot-auth-lua dovecot-dev"
SECTIONS = (
    "What you need",
    "Where people sign in",
    "Who may log in",
    "Dovecot: both ways beside each other",
    "Postfix",
    "People",
)
UNTIL = "/etc/dovecot/passwords-until"
RIGHT = "correct horse battery staple"

READ = f"""
import imaplib, socket, ssl, sys
from browserid_sasl import Client
from browserid_sasl.adapters import imaplib_login

class Connection(imaplib.IMAP4):
    def _create_socket(self, timeout):
        return socket.create_connection(("mail.example.org", 143), timeout, ("{OUTSIDE}", 0))

who, password, tls = sys.argv[1:]
connection = Connection("mail.example.org", timeout=30)
try:
    if tls:
        connection.starttls(ssl.create_default_context())
    if password:
        connection.login(who, password)
    else:
        imaplib_login(connection, Client(service="imap", hostname="mail.example.org", identity=who))
    print("LOGGED IN", connection.select()[0])
except Exception as error:
    print(error, *getattr(error, "__notes__", []))
"""
SEND = f"""
import smtplib, ssl, sys
from browserid_sasl import Client
from browserid_sasl.adapters import smtplib_login

who, password, tls = sys.argv[1:]
connection = smtplib.SMTP("mail.example.org", 587, source_address=("{OUTSIDE}", 0))
try:
    if tls:
        connection.starttls(context=ssl.create_default_context())
    if password:
        connection.login(who, password)
    else:
        smtplib_login(connection, Client(service="smtp", hostname="mail.example.org", identity=who))
    print("LOGGED IN")
except Exception as error:
    print(error, *getattr(error, "__notes__", []))
for sender in ("alice@example.org", "bob@example.org"):
    print(sender, *connection.mail(sender), *connection.rcpt("somebody@elsewhere.example"))
    connection.rset()
"""


@pytest.fixture(scope="module")
def computer(prepared: Path) -> Iterator[Machine]:
    """A machine with Dovecot and Postfix, whose people have passwords."""
    with new_machine(prepared) as computer:
        computer.do("make-ssl-cert generate-default-snakeoil")
        computer.do("apt-get purge --yes dovecot-core")
        install = "apt-get install --yes --no-install-recommends"
        computer.do(f"{install} {PACKAGES}", network=True, timeout=200)
        for name in ("alice", "bob"):
            computer.do(f'adduser --disabled-password --gecos "" {name}')
            computer.do(f"echo '{name}:{RIGHT}' | chpasswd")
        computer.write(
            "/etc/browserid/browserid.toml",
            '[authorities."example.org"]\nurl = "https://example.org"\n'
            f'ca_file = "{SYSTEM_AUTHORITIES}"\n'
            '[authorities."stranger.example"]\nurl = "https://localhost:9444"\n'
            'ca_file = "/etc/browserid/stranger.example.pem"\n',
        )
        computer.write(f"{HOME}/read.py", READ)
        computer.write(f"{HOME}/send.py", SEND)
        yield computer


@pytest.fixture(scope="module")
def log(computer: Machine) -> Iterator[Syslog]:
    syslog = Syslog(str(computer.path("/dev/log")))
    yield syslog
    syslog.close()


@pytest.fixture(scope="module")
def guides(computer: Machine, log: Syslog) -> list[Guide]:
    """The page, with everything on it done until people log in; a stranger has signed in, too."""
    guides = [go_on(computer, title) for title in SECTIONS]
    computer.do(f"browserid login {EVE} --password-file {PASSWORD_FILE}")
    return guides


def go_on(computer: Machine, title: str) -> Guide:
    """Do what the next section says."""
    guide = Guide(computer, PAGE, title)
    guide.follow()
    return guide


def read(computer: Machine, who: str, password: str = "", tls: str = "tls") -> str:
    """What Dovecot says to somebody who logs in, from elsewhere, without a password by passkey."""
    return _try(computer, "read.py", who, password, tls)


def send(computer: Machine, who: str, password: str = "", tls: str = "tls") -> str:
    """What Postfix says to somebody who logs in, and then wants to send."""
    return _try(computer, "send.py", who, password, tls)


def _try(computer: Machine, program: str, *words: str) -> str:
    arguments = " ".join(f"'{word}'" for word in words)
    return computer.do(f"{ROOT}/.venv/bin/python {program} {arguments}")


@dataclass(frozen=True)
class Time:
    """What became of the right password at one time, and what the log said of it."""

    read: str
    sent: str
    log: str


def try_passwords(computer: Machine, log: Syslog) -> Time:
    mark = log.mark()
    said, sent = read(computer, "alice", RIGHT), send(computer, "alice", RIGHT)
    assert "LOGGED IN" in read(computer, ALICE)
    log.wait_for(rf"Login: user=<alice>, method={AES128}", mark)
    return Time(said, sent, log.text(mark))


@pytest.fixture(scope="module")
def before(computer: Machine, guides: list[Guide], log: Syslog) -> Time:
    """While passwords work."""
    return try_passwords(computer, log)


@pytest.fixture(scope="module")
def on_the_day(computer: Machine, before: Time, log: Syslog) -> Time:
    """On the last day on which they do."""
    computer.do(f"date +%F >{UNTIL}")
    return try_passwords(computer, log)


@pytest.fixture(scope="module")
def after(computer: Machine, on_the_day: Time, log: Syslog) -> Time:
    """When that is over."""
    computer.do(f"date --date=yesterday +%F >{UNTIL}")
    return try_passwords(computer, log)


@pytest.fixture(scope="module")
def unclear(computer: Machine, after: Time, log: Syslog) -> Time:
    """With a file that says nothing."""
    computer.do(f"echo soon >{UNTIL}")
    return try_passwords(computer, log)


@pytest.fixture(scope="module")
def end(computer: Machine, unclear: Time) -> Guide:
    """The last section, done."""
    return go_on(computer, "After that day")


@pytest.mark.usefixtures("guides")
def test_the_packages_that_it_names_have_its_commands(computer: Machine) -> None:
    assert Guide(computer, PAGE).commands_without_a_package() == []


class TestWhilePasswordsWork:
    def test_both_ways_lead_in(self, before: Time) -> None:
        assert "LOGGED IN OK" in before.read
        assert "LOGGED IN" in before.sent

    def test_the_log_has_the_lines_that_the_page_shows(
        self, guides: list[Guide], before: Time
    ) -> None:
        shown = [block.text for guide in guides for block in guide.blocks if block.kind == "log"]
        for line in "".join(shown).splitlines():
            assert line in before.log


class TestAfterThatDay:
    def test_that_day_is_the_last_one(self, on_the_day: Time) -> None:
        assert "LOGGED IN OK" in on_the_day.read

    def test_the_right_password_is_refused_like_a_wrong_one(self, after: Time) -> None:
        assert "LOGGED IN" not in after.read + after.sent
        assert "AUTHENTICATIONFAILED" in after.read
        assert after.sent.startswith("(535")

    def test_without_a_day_no_password_is_taken(self, unclear: Time) -> None:
        assert "LOGGED IN" not in unclear.read + unclear.sent
        assert f"there is no day in {UNTIL}" in unclear.log

    def test_then_none_is_asked_for(self, end: Guide, computer: Machine) -> None:
        assert "LOGGED IN OK" in read(computer, ALICE)
        assert "LOGGED IN" not in read(computer, "alice", RIGHT)
        assert "LOGGED IN" not in send(computer, "alice", RIGHT)


@pytest.mark.usefixtures("guides")
class TestItIsSafe:
    def test_a_stranger_is_refused_and_relays_nothing(self, computer: Machine) -> None:
        assert "LOGGED IN" not in read(computer, EVE)
        said = send(computer, EVE)
        assert "LOGGED IN" not in said
        assert not re.search(r"somebody@elsewhere|^\S+ 250 .* 250 ", said, re.MULTILINE)
        assert f"{EVE} may not log in to this service" in computer.do(f"cat {ACCEPTOR_LOG}")

    def test_alice_sends_as_herself_alone(self, computer: Machine) -> None:
        said = send(computer, ALICE)
        assert "LOGGED IN" in said
        assert re.search(r"^alice@example.org 250 .* 250 ", said, re.MULTILINE), said
        assert re.search(r"^bob@example.org 250 .* 553 ", said, re.MULTILINE), said

    @pytest.mark.parametrize("password", ["", RIGHT])
    def test_nobody_logs_in_without_tls(self, computer: Machine, password: str) -> None:
        who = "alice" if password else ALICE
        assert "LOGGED IN" not in read(computer, who, password, tls="")
        assert "LOGGED IN" not in send(computer, who, password, tls="")
