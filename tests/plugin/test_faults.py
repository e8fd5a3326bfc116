"""What goes wrong around a service: each a clean refusal with a line in the log that says what to
do, and the service recovers by itself when the cause is gone."""

from __future__ import annotations

import imaplib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browserid_sasl import api
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.records import replace
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.services import AES128, Imapd, Installation, Site, Syslog, free_port, run


@pytest.fixture
def imapd(new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[Imapd]:
    with Imapd(new_site("cyrus")).running() as imapd:
        yield imapd


def log_in(imapd: Imapd, mechanism: ClientMechanism | None = None) -> None:
    mechanism = mechanism or imapd.site.mechanism("imap")
    connection = imaplib.IMAP4("127.0.0.1", imapd.port, 20)
    try:
        connection.authenticate(AES128, mechanism.step)
    finally:
        connection.shutdown()


@contextmanager
def refused(
    imapd: Imapd, syslog: Syslog, reason: str, mechanism: ClientMechanism | None = None
) -> Iterator[None]:
    """A login fails for a reason that is logged; after the block it succeeds."""
    mark = syslog.mark()
    with pytest.raises((imaplib.IMAP4.error, BrowserIDError)):
        log_in(imapd, mechanism)
    syslog.wait_for(reason, mark)
    yield
    log_in(imapd)


def test_the_identity_provider_does_not_answer(imapd: Imapd, syslog: Syslog) -> None:
    config = imapd.site.config_file
    good = config.read_text()
    url = f"https://127.0.0.1:{free_port()}"
    pinned = next(line for line in good.splitlines() if "keys_file" in line)
    config.write_text(good.replace(pinned, f'url = "{url}"'))
    with refused(imapd, syslog, "identity provider is running"):
        config.write_text(good)


def test_the_store_is_read_only(imapd: Imapd, syslog: Syslog) -> None:
    log_in(imapd)
    folder = imapd.site.server_folder
    # The process that has the store open is left alone; the next one finds it closed to it.
    imapd.end_processes()
    shutil.chown(folder, "root", "root")
    with refused(imapd, syslog, f"BROWSERID: .*{folder}"):
        shutil.chown(folder, "cyrus", "mail")


def test_the_store_is_full(imapd: Imapd, syslog: Syslog) -> None:
    folder = imapd.site.server_folder
    owner = folder.stat()
    options = f"size=16k,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    assert run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)).returncode == 0
    try:
        with refused(imapd, syslog, "BROWSERID: .*full"):
            assert run(("mount", "-o", "remount,size=16m", folder)).returncode == 0
    finally:
        imapd.end_processes()
        assert run(("umount", folder)).returncode == 0


def test_the_configuration_file_is_corrupt(imapd: Imapd, syslog: Syslog) -> None:
    log_in(imapd)
    config = imapd.site.config_file
    good = config.read_text()
    mechanism = imapd.site.mechanism("imap")
    config.write_text(good + "\n[server\n")
    line = len(good.splitlines()) + 1
    with refused(imapd, syslog, f"BROWSERID: .*{config}:{line}", mechanism):
        config.write_text(good)


def test_an_option_has_a_value_that_is_not_allowed(imapd: Imapd, syslog: Syslog) -> None:
    good = imapd.config.read_text()
    imapd.end_processes()
    imapd.config.write_text(good + "sasl_browserid_clock_skew: five\n")
    with refused(imapd, syslog, "BROWSERID: .*browserid_clock_skew"):
        imapd.config.write_text(good)
        imapd.end_processes()


@contextmanager
def hidden(path: Path) -> Iterator[Callable[[], object]]:
    """Moves something away; what the block is given puts it back, or else its end does."""
    away = path.with_name("away")
    path.rename(away)
    try:
        yield lambda: away.rename(path)
    finally:
        if os.path.lexists(away):
            away.rename(path)


def test_the_environment_is_deleted_under_a_running_service(
    imapd: Imapd, syslog: Syslog, installation: Installation
) -> None:
    imapd.end_processes()
    python = installation.environment / "bin" / "python3"
    with hidden(python) as put_back:
        with refused(imapd, syslog, f"{python.name}: No such file.*run `make install` again"):
            put_back()


def test_the_package_is_deleted_under_a_running_service(
    imapd: Imapd, syslog: Syslog, installation: Installation
) -> None:
    imapd.end_processes()
    [packages] = installation.environment.glob("lib/python3*/site-packages")
    with hidden(packages / "browserid_sasl") as put_back:
        with refused(imapd, syslog, "No module named 'browserid_sasl'.*run `make install` again"):
            put_back()


def test_a_process_that_has_started_needs_the_files_no_more(
    imapd: Imapd, installation: Installation
) -> None:
    log_in(imapd)
    imapd.wait_until_idle()
    with hidden(installation.environment.resolve()):
        log_in(imapd)


def test_a_process_that_has_seen_tickets_only_needs_them_for_an_assertion(
    imapd: Imapd, syslog: Syslog, installation: Installation
) -> None:
    client = imapd.site.client("imap")
    log_in(imapd, client.start(AES128))
    imapd.end_processes()
    log_in(imapd, client.start(AES128))
    imapd.wait_until_idle()
    with hidden(installation.environment.resolve()) as put_back:
        log_in(imapd, client.start(AES128))
        imapd.wait_until_idle()
        with refused(imapd, syslog, "the installation is damaged, run `make install` again"):
            put_back()


def test_a_client_whose_clock_is_ten_minutes_slow(
    imapd: Imapd, syslog: Syslog, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(api.SYSTEM, clock=lambda: api.SYSTEM.clock() - 660_000)
    monkeypatch.setattr("browserid_sasl.api.client.SYSTEM", slow)
    with refused(imapd, syslog, "BROWSERID: .*expired.*clock"):
        monkeypatch.undo()
