"""What `make install` leaves behind, and takes away again."""

from __future__ import annotations

import imaplib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import browserid_sasl
from browserid_sasl.acceptor.servers import CALLERS_OPTIONS
from browserid_sasl.doctor.findings import Verdict
from browserid_sasl.doctor.gss_module import gss_module
from browserid_sasl.doctor.plugin import plugin
from tests.support import dovecot
from tests.support.dovecot import Dovecot
from tests.support.sample_programs import ROOT
from tests.support.services import (
    AES128,
    Imapd,
    Installation,
    Site,
    Syslog,
    folder_for_all,
    run,
)

DOVECOT_MODULE = "lib90_browserid.so"


def test_the_doctor_finds_it_and_of_which_release_it_is(installation: Installation) -> None:
    [found] = plugin(installation.variables, browserid_sasl.__version__, Verdict.BAD)
    assert (found.verdict, found.remedy) == (Verdict.GOOD, "")
    assert str(installation.library) in found.message


def test_the_doctor_finds_the_module_for_gss_api(
    installation: Installation, tmp_path: Path
) -> None:
    [found] = gss_module(installation.variables, browserid_sasl.__version__)
    assert (found.verdict, found.remedy) == (Verdict.GOOD, "")
    assert "mech_browserid.so is found by MIT's GSS-API, release" in found.message
    [old] = gss_module(installation.variables, "0.1")
    assert old.verdict is Verdict.DOUBTFUL
    named = tmp_path / "browserid.conf"
    named.write_text(f"browserid 1.2.3 {tmp_path}/mech_browserid.so # gone\nother 1.2.4 other.so\n")
    lines, gone = gss_module({"GSS_MECH_CONFIG": str(named)}, browserid_sasl.__version__)
    assert lines.verdict is Verdict.DOUBTFUL
    assert gone.verdict is Verdict.BAD
    assert "make install" in gone.remedy


def test_the_doctor_has_no_complaint_where_there_is_no_module(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    nowhere = {"GSS_MECH_CONFIG": str(tmp_path / "none")}
    [found] = gss_module(nowhere, browserid_sasl.__version__)
    assert (found.verdict, found.remedy) == (Verdict.GOOD, "")


def test_every_user_can_read_it_and_only_root_can_write_it(installation: Installation) -> None:
    module = installation.dovecot_modules / DOVECOT_MODULE
    gss = (installation.gss_mechanisms, installation.gss_module)
    files = [installation.library, module, *gss, *installation.environment.resolve().rglob("*")]
    for file in files:
        if file.is_symlink():
            continue
        status = file.stat()
        assert status.st_uid == 0, file
        assert status.st_mode & stat.S_IROTH, file
        assert not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), file


def test_the_environment_is_made_by_debians_python(installation: Installation) -> None:
    python = installation.environment / "bin" / "python3"
    assert python.resolve().is_relative_to("/usr/bin")


def test_the_man_page_reads_without_a_warning(installation: Installation) -> None:
    page = installation.man / "man8" / "browserid-sasl.8"
    done = run(("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page))
    assert "warning" not in done.stdout


def test_the_man_page_has_every_option() -> None:
    words = set(re.findall(r"\w+", (ROOT / "plugin" / "browserid-sasl.8").read_text()))
    options = {"browserid_socket", *(f"browserid_{name}" for name in CALLERS_OPTIONS)}
    assert options - words == set()


def test_libsasl2_has_no_way_yet_to_ask_a_server_for_its_channel() -> None:
    """As plugin/README.md says. Where there is one, the plugin is to use it."""
    headers = sorted(Path("/usr/include/sasl").glob("sasl*.h"))
    assert {"sasl.h", "saslplug.h"} <= {header.name for header in headers}
    for header in headers:
        assert "SASL_CB_SERVER_CHANNEL_BINDING" not in header.read_text()


def test_an_upgrade_under_running_services(
    installation: Installation, new_site: Callable[[str], Site], syslog: Syslog, driver: Path
) -> None:
    """Servers, acceptors and an agent go on as they are, and start again as the new release."""
    before = installation.environment.resolve()
    stored, other = new_site("cyrus"), new_site(dovecot.ACCOUNT)
    stored.realm.sign_in()
    stored.configure("driver")
    dovecot.allow(other)
    with Imapd(stored).running() as imapd, Dovecot(other).running() as server:

        def all_log_in() -> int:
            """Log in to both, and by the agent, whose process it returns."""
            log_in(imapd)
            with server.imap() as connection:
                mechanism = other.mechanism("imap")
                connection.authenticate(AES128, lambda data: mechanism.step(data or None))
            done = stored.run(driver, "-n", "1")
            assert done.returncode == 0, done.stdout
            return stored.agent_pid()

        agent = all_log_in()
        mark = syslog.mark()
        installation.make("install")
        assert all_log_in() == agent
        assert "BROWSERID" not in [
            line for line in syslog.text(mark).splitlines() if "<19>" in line
        ]
        stored.stop_agent()
        for site in (stored, other):
            site.kill_acceptor()
            site.start_acceptor()
        imapd.end_processes()
        assert all_log_in() != agent
    after = installation.environment.resolve()
    assert after != before
    assert before.exists(), "a process that runs on the old release still needs it"


def test_uninstall_removes_everything(installation: Installation) -> None:
    with folder_for_all() as folder:
        copy = Installation(folder)
        for library in (copy.library, copy.dovecot_modules / DOVECOT_MODULE):
            library.parent.mkdir()
            shutil.copy(installation.library, library)
        page = copy.man / "man8" / "browserid-sasl.8"
        page.parent.mkdir(parents=True)
        page.touch()
        home = copy.environment.parent
        home.mkdir(parents=True)
        shutil.copytree(installation.prefix / "bin", copy.prefix / "bin", symlinks=True)
        for link in (copy.prefix / "bin").iterdir():
            link.unlink()
            link.symlink_to(copy.environment / "bin" / link.name)
        copy.make("uninstall")
        assert files_in(folder) == []


class TestOrdinaryUser:
    """Somebody who is not root, in a checkout and with a home that have spaces in their paths."""

    @pytest.fixture
    def home(self) -> Iterator[Path]:
        with folder_for_all() as folder:
            home = folder / "ho me"
            home.mkdir()
            shutil.chown(home, "nobody", "nogroup")
            yield home

    @pytest.fixture
    def checkout(self, home: Path) -> Path:
        top = home / "check out"
        made = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, top, ignore=made)
        for path in (top, *top.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")
        return top

    def run(
        self, checkout: Path, *command: str | Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        account = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
        environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(checkout.parent)} | variables
        return run((*account, *command), cwd=checkout, env=environment, timeout=250)

    def test_is_told_at_the_start_what_it_takes(self, checkout: Path) -> None:
        before = sorted(checkout.rglob("*"))
        done = self.run(checkout, "make", "install")
        assert done.returncode != 0
        assert "may not write to /usr/local/lib/browserid-sasl" in done.stdout
        assert 'PREFIX="$HOME/.local"' in done.stdout
        assert sorted(checkout.rglob("*")) == before

    def test_has_all_of_it_under_a_prefix_of_their_own(self, checkout: Path) -> None:
        prefix = checkout.parent / ".local"
        done = self.run(checkout, "make", "install", f"PREFIX={prefix}")
        assert done.returncode == 0, done.stdout
        [path] = re.findall(r'^    export SASL_PATH="(.*)"$', done.stdout, re.MULTILINE)
        assert path.startswith(f"{prefix}/lib/sasl2:/usr/lib/")
        assert AES128 in self.run(checkout, "saslpluginviewer", "-s", SASL_PATH=path).stdout
        commands = sorted((prefix / "bin").iterdir())
        assert "browserid-sample-server" in [command.name for command in commands]
        for command in commands:
            told = self.run(checkout, command, "--version").stdout
            assert told == f"{command.name} {browserid_sasl.__version__}\n"
        done = self.run(checkout, "make", "uninstall", f"PREFIX={prefix}")
        assert done.returncode == 0, done.stdout
        assert files_in(prefix) == []

    @pytest.mark.parametrize("target", ["demo", "install"])
    def test_is_told_in_a_sentence_that_there_is_no_network(
        self, checkout: Path, target: str
    ) -> None:
        nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "https://127.0.0.1:1/simple"}
        prefix = checkout.parent / ".local"
        done = self.run(checkout, "make", target, f"PREFIX={prefix}", **nowhere)
        assert done.returncode != 0
        said = [line for line in done.stdout.splitlines() if not line.startswith(("==>", "make"))]
        assert len(said) == 1, done.stdout
        assert said[0].startswith("The Python packages could not be installed: see that")
        assert files_in(prefix) == []


def test_packages_that_apt_cannot_get_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text("deb http://127.0.0.1:1/debian bookworm main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{tmp_path}/lists";\nAPT::Sandbox::User "root";\n'
    )
    (tmp_path / "packages.txt").write_text("browserid-nowhere\n")
    command = (ROOT / "tools" / "debian-packages.sh", tmp_path / "packages.txt")
    done = run(command, env={"PATH": os.environ["PATH"], "APT_CONFIG": str(tmp_path / "apt.conf")})
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == "==> Debian packages: browserid-nowhere"
    assert second.startswith("They could not be installed: see that this machine reaches")
    assert "E: Unable to locate package browserid-nowhere" in second


def files_in(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def log_in(imapd: Imapd) -> None:
    mechanism = imapd.site.mechanism("imap")
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        connection.authenticate(AES128, mechanism.step)
