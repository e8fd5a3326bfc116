"""What goes wrong around a service: each a clean refusal with a line in the log that says what to
do, and the service recovers by itself when the cause is gone."""

from __future__ import annotations

import imaplib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from browserid_sasl import Client, api
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.patience import wait_until
from tests.support.ports import free_port
from tests.support.services import AES128, HOST, Imapd, Site, Syslog, installed_site, run


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
    imapd.site.reload_acceptor()
    with refused(imapd, syslog, "identity provider is running"):
        config.write_text(good)
        imapd.site.reload_acceptor()


def test_the_store_is_closed_to_the_acceptor(imapd: Imapd, syslog: Syslog) -> None:
    log_in(imapd)
    folder = imapd.site.server_folder
    # The one that has the store open is left alone; the next one finds it closed to it.
    imapd.site.kill_acceptor()
    shutil.chown(folder, "root", "root")
    imapd.site.start_acceptor()
    with refused(imapd, syslog, f"BROWSERID: .*{folder}"):
        shutil.chown(folder, Site.ACCEPTOR_ACCOUNT, Site.ACCEPTOR_ACCOUNT)


def test_the_store_is_full(imapd: Imapd, syslog: Syslog) -> None:
    folder, site = imapd.site.server_folder, imapd.site
    owner = folder.stat()
    options = f"size=48k,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    site.kill_acceptor()
    assert run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)).returncode == 0
    try:
        site.start_acceptor()
        with refused(imapd, syslog, "BROWSERID: .*full"):
            assert run(("mount", "-o", "remount,size=16m", folder)).returncode == 0
    finally:
        site.kill_acceptor()
        assert run(("umount", folder)).returncode == 0


def test_a_corrupt_configuration_is_refused_and_the_one_before_kept(
    imapd: Imapd, syslog: Syslog
) -> None:
    log_in(imapd)
    site, config = imapd.site, imapd.site.config_file
    good = config.read_text()
    mechanism = site.mechanism("imap")
    config.write_text(good + "\n[server\n")
    line = len(good.splitlines()) + 1
    site.acceptor.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{config}:{line}" in site.output.read_text(), "the complaint")
    log_in(imapd, mechanism)


def test_an_option_has_a_value_that_is_not_allowed(imapd: Imapd, syslog: Syslog) -> None:
    good = imapd.config.read_text()
    imapd.end_processes()
    imapd.config.write_text(good + "sasl_browserid_audiences: five\n")
    with refused(imapd, syslog, "BROWSERID: .*browserid_audiences"):
        imapd.config.write_text(good)
        imapd.end_processes()


def test_the_acceptor_is_killed_in_the_middle_of_an_exchange(imapd: Imapd, syslog: Syslog) -> None:
    site = imapd.site
    config = site.config.with_options({"extra_round_trip": "yes"}, section="client")
    mechanism = Client(config, "imap", HOST, credentials=site.realm.person()).start_with(AES128)
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:

        def respond(challenge: bytes) -> bytes:
            if challenge:
                site.kill_acceptor()
            return mechanism.step(challenge or None)

        mark = syslog.mark()
        with pytest.raises(imaplib.IMAP4.error):
            connection.authenticate(AES128, respond)
        syslog.wait_for("BROWSERID: the acceptor at .*: the connection ended", mark)
        site.start_acceptor()
        again = site.mechanism("imap")
        connection.authenticate(AES128, again.step)


def test_a_replay_is_refused_after_the_acceptor_was_killed(imapd: Imapd, syslog: Syslog) -> None:
    site = imapd.site
    mechanism = site.mechanism("imap")
    first = mechanism.step(None)
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        connection.authenticate(AES128, lambda data: mechanism.step(data) if data else first)
    site.kill_acceptor()
    site.start_acceptor()
    mark = syslog.mark()
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        with pytest.raises(imaplib.IMAP4.error):
            connection.authenticate(AES128, lambda data: b"" if data else first)
    syslog.wait_for("BROWSERID: .*replay", mark)


def test_the_acceptor_hangs(imapd: Imapd, syslog: Syslog) -> None:
    site = imapd.site
    log_in(imapd)
    processes = (site.acceptor.pid, *site.workers())
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    imapd.end_processes()
    began = time.monotonic()
    with refused(imapd, syslog, "the acceptor at .*: it does not answer in time"):
        assert time.monotonic() - began < 25  # an answer on a connection may take longer
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def test_a_client_whose_clock_is_ten_minutes_slow(
    imapd: Imapd, syslog: Syslog, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(api.SYSTEM, clock=lambda: api.SYSTEM.clock() - 660_000)
    monkeypatch.setattr("browserid_sasl.api.client.SYSTEM", slow)
    with refused(imapd, syslog, "BROWSERID: .*expired.*clock"):
        monkeypatch.undo()


class TestItsOwnRelease:
    """From the installation that other tests have, at this moment too, nothing may be taken."""

    @pytest.fixture
    def imapd(self, syslog: Syslog) -> Iterator[Imapd]:
        with installed_site("cyrus") as site, Imapd(site).running() as imapd:
            yield imapd

    def test_it_is_deleted_under_running_services(self, imapd: Imapd) -> None:
        log_in(imapd)
        release = imapd.site.installation.environment.resolve()
        release.rename(release.with_name("away"))
        imapd.end_processes()
        log_in(imapd)
