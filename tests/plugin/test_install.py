"""What `make install` leaves behind, and takes away again."""

from __future__ import annotations

import imaplib
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from browserid_sasl.cyrus import OPTIONS
from browserid_sasl.cyrus.facades import PREFIX
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


def test_every_user_can_read_it_and_only_root_can_write_it(installation: Installation) -> None:
    files = [installation.library, *installation.environment.resolve().rglob("*")]
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
    assert {name for name in OPTIONS if not words & {name, name.removeprefix(PREFIX)}} == set()


def test_an_upgrade_under_a_running_service(
    installation: Installation, new_site: Callable[[str], Site], syslog: Syslog
) -> None:
    before = installation.environment.resolve()
    with Imapd(new_site("cyrus")).running() as imapd:
        log_in(imapd)
        mark = syslog.mark()
        installation.make("install")
        log_in(imapd)
        assert "BROWSERID" not in [
            line for line in syslog.text(mark).splitlines() if "<19>" in line
        ]
        imapd.end_processes()
        log_in(imapd)
    after = installation.environment.resolve()
    assert after != before
    assert before.exists(), "a process that runs on the old release still needs it"


def test_uninstall_removes_everything(installation: Installation) -> None:
    with folder_for_all() as folder:
        copy = Installation(folder)
        copy.library.parent.mkdir()
        shutil.copy(installation.library, copy.library)
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


def files_in(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def log_in(imapd: Imapd) -> None:
    mechanism = imapd.site.mechanism("imap")
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        connection.authenticate(AES128, mechanism.step)
