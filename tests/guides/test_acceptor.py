"""docs/acceptor.md, followed on a machine: the service, and Postfix as Debian's package leaves it.

What systemd would do is done by hand, since the machine does not run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.guides.conftest import OUTSIDE, providers
from tests.support.guide import PASSWORD_FILE, Block, blocks_of
from tests.support.machine import HOME, Machine
from tests.support.sample_programs import ROOT

PAGE = ROOT / "docs" / "acceptor.md"
LOG = f"{HOME}/acceptor-said"
SUBMISSION = """
submission inet n - y - - smtpd
"""
PROGRAM = f"""
import smtplib, sys
from browserid_sasl import Client
from browserid_sasl.adapters import smtplib_login

connection = smtplib.SMTP("mail.example.org", 587, source_address=("{OUTSIDE}", 0))
connection.ehlo()
client = Client(service="smtp", hostname="mail.example.org", identity=sys.argv[1])
try:
    smtplib_login(connection, client)
    print("SIGNED IN")
except Exception as error:
    print(type(error).__name__, error.code.text)
print(*connection.mail(sys.argv[1]), *connection.rcpt("somebody@elsewhere.example"))
"""


def section(title: str) -> list[Block]:
    """The blocks of a section of the page."""
    text = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [block for block in blocks_of(PAGE) if block.text in text]


@pytest.fixture(scope="module")
def service(computer: Machine) -> Iterator[Machine]:
    """The machine, with everything done that the page says, up to and including Postfix."""
    for block in blocks_of(PAGE):
        if block.kind == "sh":
            run(computer, block.text)
    written = computer.path("/etc/browserid/browserid.toml").read_text()
    start, postfix = section("Start"), section("Postfix")
    toml = "".join(block.text for block in (*start, *postfix) if block.kind == "toml")
    computer.write("/etc/browserid/browserid.toml", toml + providers())
    main, master = "/etc/postfix/main.cf", "/etc/postfix/master.cf"
    before = {file: computer.path(file).read_text() for file in (main, master)}
    [program] = [block.text for block in postfix if block.kind == "conf"]
    own = re.sub(r"^smtpd_relay_restrictions.*\n", "", before[main], flags=re.MULTILINE)
    computer.write(main, own + program)
    computer.write(master, before[master] + SUBMISSION)
    computer.write(f"{HOME}/submit.py", PROGRAM)
    for person in ("alice@example.org", "eve@stranger.example"):
        computer.do(f"browserid login {person} --password-file {PASSWORD_FILE}")
    # Its socket is in a folder that Postfix makes.
    computer.do("postfix start 2>&1")
    unit = computer.path("/etc/systemd/system/browserid-acceptor.service").read_text()
    [command] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    computer.do(f"{command} >{LOG} 2>&1 </dev/null & echo $! >{HOME}/acceptor-pid")
    computer.wait_for(f"grep -q 'ready, with' {LOG}")
    computer.wait_for_port(587)
    yield computer
    computer.do(f"kill $(cat {HOME}/acceptor-pid); postfix stop 2>&1")
    computer.write("/etc/browserid/browserid.toml", written)
    for file, text in before.items():
        computer.write(file, text)


def run(computer: Machine, commands: str) -> None:
    """Run commands of the page."""
    for command in commands.splitlines():
        if command.startswith("systemctl "):
            continue
        target = command.split()[-1]
        if target.startswith("/etc/fail2ban"):
            computer.do(f"mkdir -p {target}")  # as the package fail2ban has
        computer.do(command, folder=str(ROOT))


def submit(computer: Machine, person: str) -> str:
    """What the server says to one who logs in and then wants to send a message."""
    return computer.do(f"{ROOT}/.venv/bin/python submit.py {person}")


def test_its_commands_make_the_account_and_put_the_files_in_place(service: Machine) -> None:
    assert service.do("id -gn browserid") == "browserid\n"
    assert service.do("stat -c %a /etc/systemd/system/browserid-acceptor.service") == "644\n"
    assert service.do("stat -c %a /etc/fail2ban/filter.d/browserid-acceptor.conf") == "644\n"


def test_the_service_is_that_account_and_its_store_is_its_own(service: Machine) -> None:
    process = f"$(cat {HOME}/acceptor-pid)"
    assert service.do(f"stat -c %U /proc/{process}") == "browserid\n"
    assert service.do("stat -c '%U %a' /var/lib/browserid") == "browserid 700\n"
    socket = "/var/spool/postfix/private/browserid"
    assert service.do(f"stat -c '%U %G %a' {socket}") == "browserid postfix 660\n"


def test_postfix_has_nothing_to_complain_about(service: Machine) -> None:
    assert "warning" not in service.do("postconf -n 2>&1; postfix check 2>&1")
    assert service.do("postconf -F submission/inet/chroot") == "submission/inet/chroot = y\n"


def test_alice_sends_mail_anywhere(service: Machine) -> None:
    said = submit(service, "alice@example.org")
    assert "SIGNED IN" in said
    assert said.count("250") == 2
    log = service.do(f"cat {LOG}")
    assert f"login succeeded: rip={OUTSIDE} service=smtp" in log


def test_a_stranger_is_refused_and_nothing_of_hers_is_relayed(service: Machine) -> None:
    said = submit(service, "eve@stranger.example")
    assert "SIGNED IN" not in said
    assert "554" in said
    log = service.do(f"cat {LOG}")
    assert f"login refused: rip={OUTSIDE}" in log
    assert "eve@stranger.example may not log in to this service" in log
