"""Subversion's server and its client, which use libsasl2 for the protocol of `svn://`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import AES128, HOST, Site, Syslog, service


class Svnserve:
    """svnserve with one repository, which nobody reads without a login."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.port = free_port()
        self.url = f"svn://{HOST}:{self.port}/project"
        self.folder = site.folder / "svn"
        self.folder.mkdir()
        site.run("svnadmin", "create", self.folder / "project")
        # It refuses names of any other domain than its realm.
        (self.folder / "project" / "conf" / "svnserve.conf").write_text(
            f"[general]\nanon-access = none\nauth-access = write\nrealm = {DOMAIN}\n"
            "[sasl]\nuse-sasl = true\n"
        )
        # It calls itself by the machine's name, whatever its clients know it by.
        site.configure("svn", mech_list=AES128, browserid_audiences=f"svn/{HOST}")

    @contextmanager
    def running(self) -> Iterator[Svnserve]:
        """The service, from when it listens until the end of the block."""
        where = ("--listen-host", "127.0.0.1", "--listen-port", str(self.port))
        command = ("svnserve", "--daemon", "--foreground", "--threads", "-r", self.folder, *where)
        with service(command, self.port, self.site.variables, self.folder / "output"):
            yield self

    def svn(self, *arguments: str | Path, name: str = ALICE) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        options = ("--non-interactive", "--no-auth-cache", "--username", name, "--password", "none")
        return self.site.run("svn", *arguments, *options)


@pytest.fixture
def svnserve(site: Site) -> Iterator[Svnserve]:
    with Svnserve(site).running() as svnserve:
        yield svnserve


def test_what_alice_commits_is_hers(svnserve: Svnserve) -> None:
    for number in range(3):
        done = svnserve.svn("mkdir", "-m", "a folder", f"{svnserve.url}/folder{number}")
        assert done.returncode == 0, done.stdout
    said = svnserve.svn("log", "-q", svnserve.url).stdout
    assert re.findall(r"^r\d+ \| (\S+) \|", said, re.MULTILINE) == ["alice"] * 3


def test_a_stranger_is_refused(svnserve: Svnserve) -> None:
    """Signed in with the identity provider of their own domain, whose key is known."""
    eve = "eve@stranger.test"
    svnserve.site.pin("stranger.test")
    svnserve.site.reload_acceptor()
    svnserve.site.realm.sign_in(eve)
    done = svnserve.svn("ls", svnserve.url, name=eve)
    assert done.returncode != 0, done.stdout
    assert "E170001" in done.stdout
    assert f"{eve} may not log in to this service:" in svnserve.site.output.read_text()


def test_the_log_says_that_somebody_is_not_signed_in(svnserve: Svnserve, syslog: Syslog) -> None:
    mark = syslog.mark()
    assert svnserve.svn("ls", svnserve.url, name=f"bob@{DOMAIN}").returncode != 0
    syslog.wait_for(f"bob@{DOMAIN} is not signed in", mark)


def test_nobody_accepts(svnserve: Svnserve) -> None:
    svnserve.site.kill_acceptor()
    assert svnserve.svn("ls", svnserve.url).returncode != 0
    svnserve.site.start_acceptor()
    assert svnserve.svn("ls", svnserve.url).returncode == 0
