"""docs/packages.md, followed in a fresh Debian 12 with its own systemd: `make deb-trial` runs this.

One machine goes through it all: installed, logged in by Cyrus imapd, upgraded while people log in,
logged in by Dovecot, removed, purged.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import trustme

from tests.support.debian12 import PACKAGES, base, debian12
from tests.support.guide import PASSWORD_FILE, Block, blocks_of
from tests.support.machine import Machine
from tests.support.patience import wait_until
from tests.support.sample_programs import ROOT

BUILT = Path(os.environ.get("DEB", ROOT / "build" / "deb"))
PAGE = ROOT / "docs" / "packages.md"
HOSTS = "127.0.0.1 localhost\n127.0.0.2 mail.example.org\n127.0.0.3 example.org\n"
TOML = "/etc/browserid/browserid.toml"
CLOSED = '\n[discovery]\nprivate_hosts = ["example.org"]\n'
"""What the machine's configuration needs since no address here is a public one."""

SETS = (
    "cyrus-imapd cyrus-pop3d cyrus-clients python3",
    "dovecot-imapd python3",
    "fail2ban apparmor",
)
INSTALLED = (
    f"$(for each in {PACKAGES}/next/*.deb; do name=${{each##*/}};"
    ' ! dpkg-query -s "${name%%_*}" >/dev/null 2>&1 || echo "$each"; done)'
)
"""The newer files of the packages that a machine has."""

ENOUGH = 1000
"""Logins during upgrades."""

IMTEST = "imtest -m BROWSERID-AES128 -a alice@example.org mail.example.org"
STATE = ("/var/lib/browserid", "/var/lib/browserid-idp", "/var/lib/browserid-verifier")
PURGED = ("/etc/browserid", "/usr/lib/browserid", "/run/browserid", *STATE)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they are built, and in `next` the same with a higher version."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "next").mkdir()
    for built in BUILT.glob("*.deb"):
        if "dbgsym" not in built.name:
            (folder / built.name).write_bytes(built.read_bytes())
            raise_version(built, folder / "next")
    return folder


def raise_version(package: Path, folder: Path) -> None:
    """Pack a package again, as one of a higher version."""
    name, version, architecture = package.stem.split("_")
    tree = folder / name
    subprocess.run(("dpkg-deb", "--raw-extract", package, tree), check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(version, f"{version}+1"))
    target = folder / f"{name}_{version}+1_{architecture}.deb"
    subprocess.run(("dpkg-deb", "-Zgzip", "-z1", "--build", tree, target), check=True)


@pytest.fixture(scope="module")
def computer(packages: Path) -> Iterator[Machine]:
    with debian12(base(SETS), packages) as computer:
        computer.write("/etc/hosts", HOSTS)
        authority = trustme.CA()
        root = authority.cert_pem.bytes().decode()
        computer.write("/usr/local/share/ca-certificates/test.crt", root)
        computer.do("update-ca-certificates")
        issued = authority.issue_cert("example.org")
        chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
        computer.write("/etc/ssl/certs/example.org.pem", chain)
        key = issued.private_key_pem.bytes().decode()
        computer.write("/etc/ssl/private/example.org.key", key, mode=0o640)
        computer.do("chmod 711 /etc/ssl/private")
        computer.do("useradd --create-home alice && loginctl enable-linger alice")
        computer.write(PASSWORD_FILE, "correct horse battery staple\n", mode=0o600)
        yield computer


def blocks(title: str) -> list[Block]:
    """The blocks of a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [block for block in blocks_of(PAGE) if block.text in text]


def follow(computer: Machine, title: str) -> str:
    """Do what a section of the page says; what its last command said."""
    said = ""
    for block in blocks(title):
        if block.file:
            file = computer.path(block.file)
            computer.write(block.file, file.read_text() + block.text)
        else:
            for command in block.text.splitlines():
                said = do(computer, command)
    return said


def do(computer: Machine, command: str) -> str:
    """Do what a line of the page says: what people do, as alice, and the rest as root."""
    if command.startswith(("browserid login", "imtest")):
        return as_alice(computer, command)
    if command.startswith("browserid-idp add-user"):
        command += f" --password-file {PASSWORD_FILE}"
    return computer.do(command, folder=PACKAGES, timeout=600)


def as_alice(computer: Machine, command: str) -> str:
    """What a command of hers prints, with the agent that her systemd starts."""
    if command.startswith("browserid login"):
        computer.do(f"install -o alice -m 600 {PASSWORD_FILE} /home/alice/password")
        command += " --password-file /home/alice/password"
    names = (
        "XDG_RUNTIME_DIR=/run/user/$(id -u alice) HOME=/home/alice PATH=$PATH:/usr/lib/cyrus/bin"
    )
    become = "setpriv --reuid=alice --regid=alice --init-groups"
    return computer.run(f"env {names} {become} {command} </dev/null", folder="/").stdout


def is_active(computer: Machine, unit: str) -> bool:
    return computer.run(f"systemctl is-active {unit}").stdout == "active\n"


def account_of(computer: Machine, unit: str) -> str:
    """Who the first process of a service runs as."""
    return computer.do(
        f"ps -o user:32= -p $(systemctl show --property MainPID --value {unit})"
    ).strip()


def journal(computer: Machine, unit: str) -> str:
    return computer.do(f"journalctl --no-pager --boot --unit {unit}")


def test_the_identity_provider_serves_and_is_its_account(computer: Machine) -> None:
    follow(computer, "An identity provider")
    computer.wait_for_port(443)
    assert account_of(computer, "browserid-idp") == "browserid-idp"
    assert computer.do("stat -c '%U %a' /var/lib/browserid-idp") == "browserid-idp 700\n"


def test_nobody_may_log_in_before_somebody_says_who(computer: Machine) -> None:
    [install] = re.findall(r"^apt install .*acceptor.*$", PAGE.read_text(), re.MULTILINE)
    do(computer, install)
    computer.wait_for("systemctl is-active browserid-acceptor")
    said = computer.do("grep -c '^allow' /etc/browserid/browserid.toml || true")
    assert said == "0\n"


def test_a_login_at_imapd_by_the_packaged_plugin(computer: Machine) -> None:
    computer.write(TOML, computer.path(TOML).read_text() + CLOSED)
    follow(computer, "A server")
    computer.wait_for_port(143)
    # Who logs in to the machine now has the agent's socket.
    computer.do("systemctl restart user@$(id -u alice)")
    said = follow(computer, "A person")
    assert "Authenticated." in said, said + journal(computer, "browserid-acceptor")
    assert "user=<alice@example.org>" in journal(computer, "browserid-acceptor")


def test_the_acceptor_has_none_of_roots_rights(computer: Machine) -> None:
    assert account_of(computer, "browserid-acceptor") == "browserid"
    status = computer.do("for pid in $(pgrep -u browserid); do cat /proc/$pid/status; done")
    found = re.findall(r"^Cap(?:Prm|Eff|Amb):\s*(\S+)$", status, re.MULTILINE)
    assert len(found) >= 6 and set(found) == {"0" * 16}
    assert computer.do("stat -c '%U %a' /run/browserid/imap") == "cyrus 600\n"


def test_the_agent_is_her_systemds(computer: Machine) -> None:
    unit = "browserid-agent.service"
    said = as_alice(computer, f"systemctl --user show --property ActiveState {unit}")
    assert said == "ActiveState=active\n"


class Logins:
    """alice logs in, again and again, several times at once, until the end of a block."""

    AT_ONCE = 4

    def __init__(self, computer: Machine) -> None:
        self._computer = computer
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._log_in) for _ in range(self.AT_ONCE)]
        self._said: list[str] = []

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self._said)

    @property
    def failed(self) -> list[str]:
        """What was said of those that failed."""
        return [said for said in self._said if "Authenticated." not in said]

    def _log_in(self) -> None:
        while not self._enough.is_set():
            self._said.append(as_alice(self._computer, IMTEST))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def test_no_login_fails_while_the_packages_are_upgraded(computer: Machine) -> None:
    imapd = computer.do("systemctl show --property MainPID --value cyrus-imapd")
    before = computer.do("systemctl show --property MainPID --value browserid-acceptor")
    [upgrade] = [block.text for block in blocks("Upgrade")]
    with Logins(computer) as logins:
        wait_until(lambda: logins.count > 2, "logins before")
        computer.do(upgrade, folder=f"{PACKAGES}/next", timeout=600)
        rounds = 1
        # Once more and once more: everything is unpacked and started again each time.
        while logins.count < ENOUGH:
            computer.do(f"apt install --reinstall {INSTALLED}", timeout=600)
            rounds += 1
        mark = logins.count
        wait_until(lambda: logins.count > mark + 5, "logins after")
    print(f"{logins.count} logins during {rounds} upgrades, {len(logins.failed)} failed")
    assert not logins.failed, logins.failed[0] + journal(computer, "browserid-acceptor")
    for unit in ("browserid-acceptor", "browserid-idp"):
        assert is_active(computer, unit)
    assert computer.do("systemctl show --property MainPID --value cyrus-imapd") == imapd
    assert computer.do("systemctl show --property MainPID --value browserid-acceptor") != before
    assert "+1" in computer.do("dpkg-query -W -f '${Version}' browserid-acceptor")


def test_a_login_at_dovecot_by_the_packaged_module(computer: Machine) -> None:
    computer.do("systemctl disable --now cyrus-imapd")
    follow(computer, "Dovecot")
    page = ROOT / "docs" / "dovecot.md"
    [socket] = [block.text for block in blocks_of(page) if block.file == TOML]
    computer.write(TOML, computer.path(TOML).read_text() + socket)
    computer.write("/etc/dovecot/conf.d/99-browserid.conf", DOVECOT)
    computer.do("systemctl restart browserid-acceptor dovecot")
    computer.wait_for_port(143)
    said = as_alice(computer, IMTEST)
    assert "Authenticated." in said, said + computer.do("journalctl --no-pager -u dovecot")


DOVECOT = """\
auth_mechanisms = $auth_mechanisms browserid-aes128
import_environment = $import_environment BROWSERID_SOCKET=/run/browserid/dovecot
"""


def test_removal_leaves_configuration_and_state_and_purge_nothing(computer: Machine) -> None:
    remove, purge = blocks("Removal")[0].text.splitlines()
    do(computer, remove)
    for unit in ("browserid-acceptor", "browserid-idp"):
        assert not is_active(computer, unit)
    assert computer.path("/var/lib/browserid-idp/provider.sqlite").exists()
    assert computer.path("/etc/browserid/browserid.toml").exists()
    said = do(computer, purge)
    assert "deleting the keys and accounts of the identity provider" in said
    left = [place for place in PURGED if computer.path(place).exists()]
    found = computer.do("find /etc /usr /var -name '*browserid*' -not -path '/var/log/*'")
    own = {"/etc/dovecot/conf.d/99-browserid.conf"}
    assert not left and set(found.split()) <= own, (left, found)
