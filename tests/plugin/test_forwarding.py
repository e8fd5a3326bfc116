"""The agent at home, forwarded by ssh to a machine where somebody's programs run."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import wait_until
from tests.support.ports import free_port
from tests.support.sample_programs import ALICE, ROOT
from tests.support.services import HOST, Site, run, service

ACCOUNT = "nobody"
"""Who the person is on the other machine. At home they are root."""

AS_ACCOUNT = ("setpriv", "--reuid", ACCOUNT, "--regid", "nogroup", "--clear-groups")


class Away:
    """The other machine: its sshd, and a home without any key in it."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.folder = folder
        self.agent = folder / "agent"
        self.port = free_port()
        self._key = key
        folder.mkdir()
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"))
        shutil.copy(key.with_suffix(".pub"), folder / "authorized_keys")
        host_key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        (folder / "sshd_config").write_text(
            f"""
Port {self.port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
# Without it the account counts as locked, having no password.
UsePAM yes
"""
        )
        account = pwd.getpwnam(ACCOUNT)
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its sshd, which is Debian's and is not installed: it would let people in here."""
        sshd = ROOT / ".unpacked" / "openssh" / "usr" / "sbin" / "sshd"
        command = (*AS_ACCOUNT, sshd, "-D", "-e", "-f", self.folder / "sshd_config")
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with service(command, self.port, variables, self.folder / "output"):
            yield

    def answers(self) -> bool:
        """Whether somebody takes connections to the agent here."""
        with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
            caller.connect(str(self.agent))
            return True
        return False

    @contextmanager
    def forwarding(self, agent: Path) -> Iterator[subprocess.Popen[bytes]]:
        """`ssh -R`, from when the socket is there until the end of the block."""
        options = {
            "UserKnownHostsFile": self.folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "ExitOnForwardFailure": "yes",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        where = ("-p", str(self.port), f"{ACCOUNT}@127.0.0.1")
        command = ["ssh", "-N", "-F", "none", "-i", str(self._key), *settings]
        process = subprocess.Popen(
            [*command, "-R", f"{self.agent}:{agent}", *where], stdin=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: self.answers() or process.poll() is not None, "ssh -R")
            assert process.poll() is None, (self.folder / "output").read_text()
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def site(new_site: Callable[[str], Site]) -> Site:
    """One whose acceptor answers the programs of the other machine."""
    site = new_site(ACCOUNT)
    site.realm.sign_in()
    site.configure("driver")
    return site


@pytest.fixture
def away(site: Site) -> Iterator[Away]:
    key = site.folder / "key"
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key))
    away = Away(site.folder / "away", key)
    with away.running():
        yield away


@pytest.fixture
def log_in(site: Site, away: Away, driver: Path) -> Callable[[], str]:
    """A program over there; what it says."""
    program = away.folder / "driver"
    shutil.copy(driver, program)
    program.chmod(0o755)

    def log_in() -> str:
        command = (*AS_ACCOUNT, program, "-h", HOST, "-u", ALICE, "-n", "3")
        over_there = {"HOME": str(away.folder), "BROWSERID_AGENT": str(away.agent)}
        variables = site.variables | over_there
        del variables["BROWSERID_CONFIG"]
        return run(command, env=variables).stdout

    return log_in


@contextmanager
def agent_at_home(site: Site) -> Iterator[None]:
    """The person's agent."""
    agent = site.installation.agent
    started = site.run(agent, "--background")
    assert started.returncode == 0, started.stdout
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            site.stop_agent()


def test_a_program_over_there_logs_in_with_the_key_at_home(
    site: Site, away: Away, log_in: Callable[[], str]
) -> None:
    with agent_at_home(site), away.forwarding(site.agent_socket) as ssh:
        for _ in range(2):
            said = log_in()
            assert re.search(r"^ok 6 failed 0 ", said, re.MULTILINE), said
        ssh.kill()
        ssh.wait()
        wait_until(lambda: not away.answers(), "the end of the forwarding")
        # The socket stays, and leads nowhere: no agent is started over there.
        said = log_in()
    assert "ok 0 failed" in said
    assert f"{away.agent}: nobody answers there" in said
    of_the_account = run(("pgrep", "-u", ACCOUNT, "-f", "browserid-agent")).stdout
    assert of_the_account == ""
    kept = [path for path in away.folder.rglob("*") if "browserid" in path.name]
    assert kept == []


def test_an_agent_that_has_ended_at_home(site: Site, away: Away, log_in: Callable[[], str]) -> None:
    with agent_at_home(site), away.forwarding(site.agent_socket):
        assert "failed 0 " in log_in()
        site.stop_agent()
        assert "ok 0 failed" in log_in()
        with agent_at_home(site):
            assert "failed 0 " in log_in()
