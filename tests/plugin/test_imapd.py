"""Cyrus imapd and its own clients, unmodified."""

from __future__ import annotations

import base64
import imaplib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from browserid_sasl.sasl.client import ClientMechanism
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import ADMIN, AES128, HOST, Imapd, Site, Syslog


@pytest.fixture
def imapd(new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[Imapd]:
    site = new_site("cyrus")
    with Imapd(site).running() as imapd:
        yield imapd


def log_in(imapd: Imapd, mechanism: ClientMechanism) -> imaplib.IMAP4:
    connection = imaplib.IMAP4("127.0.0.1", imapd.port, 20)
    connection.authenticate(mechanism.name, lambda challenge: mechanism.step(challenge))
    return connection


def test_cyradm_administers_mailboxes(imapd: Imapd) -> None:
    imapd.site.realm.sign_in(ADMIN)
    command = ("cyradm", "--auth", AES128, "--user", ADMIN, "--port", str(imapd.port), HOST)
    created = imapd.site.run(*command, input="createmailbox user/alice\nlistmailbox\n")
    assert "user/alice" in created.stdout
    commands = "setaclmailbox user/alice admin c\ndeletemailbox user/alice\nlistmailbox\n"
    deleted = imapd.site.run(*command, input=commands)
    assert "user/alice" not in deleted.stdout.replace(commands, "")


def imtest(imapd: Imapd, *arguments: str) -> str:
    command = (Imapd.PROGRAMS / "imtest", "-m", AES128, "-p", str(imapd.port), *arguments, HOST)
    return imapd.site.run(*command, input=". logout\r\n").stdout


def test_imtest_logs_in_and_the_log_names_the_user(imapd: Imapd, syslog: Syslog) -> None:
    imapd.site.realm.sign_in()
    mark = syslog.mark()
    assert "Authenticated." in imtest(imapd, "-a", ALICE)
    syslog.wait_for(rf"login: localhost \[127\.0\.0\.1\] alice {AES128} User logged in", mark)


def test_a_name_without_domain_means_the_default_identity(imapd: Imapd) -> None:
    imapd.site.realm.sign_in()
    assert "Authenticated." in imtest(imapd, "-a", "root")


def test_a_client_that_is_not_signed_in_is_told_the_command_to_run(
    imapd: Imapd, syslog: Syslog
) -> None:
    mark = syslog.mark()
    assert "Authenticated." not in imtest(imapd, "-a", ALICE)
    syslog.wait_for(f"{ALICE} is not signed in: sign in first: browserid login {ALICE}", mark)


def test_imaplib_reads_what_lmtp_delivered(imapd: Imapd) -> None:
    site = imapd.site
    admin = log_in(imapd, site.mechanism("imap", person=site.realm.person(ADMIN)))
    assert admin.create("user/alice")[0] == "OK"
    admin.logout()
    alice = log_in(imapd, site.mechanism("imap"))
    assert alice.append("INBOX", "", None, b"Subject: hello\r\n\r\nworld\r\n")[0] == "OK"  # type: ignore[arg-type]
    alice.select("INBOX")
    assert b"world" in alice.fetch("1", "(BODY[TEXT])")[1][0][1]  # type: ignore[index]
    alice.logout()


def test_200_logins_over_20_connections_lose_none(imapd: Imapd) -> None:
    site = imapd.site
    people = [site.realm.person(f"user{number}@{DOMAIN}") for number in range(20)]

    def ten_times(number: int) -> int:
        for _ in range(10):
            connection = log_in(imapd, site.mechanism("imap", person=people[number]))
            assert connection.noop()[0] == "OK"
            connection.logout()
        return 10

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ten_times, range(20))) == 200


def test_a_replay_sent_to_two_processes_at_once_succeeds_once(
    imapd: Imapd, syslog: Syslog
) -> None:
    mark = syslog.mark()
    assertion = base64.b64encode(imapd.site.mechanism("imap").step(None)).decode()
    together = threading.Barrier(2)

    def present() -> str:
        connection = imaplib.IMAP4("127.0.0.1", imapd.port)
        together.wait()
        connection.send(f"a AUTHENTICATE {AES128} {assertion}\r\n".encode())
        answers = []
        for _ in range(2):
            answers.append(connection.readline().decode())
            if answers[-1].startswith("+"):
                connection.send(b"\r\n")
        connection.shutdown()
        return answers[-1]

    with ThreadPoolExecutor(2) as pool:
        answers = [answer.result() for answer in [pool.submit(present) for _ in range(2)]]
    assert sorted(answer.split()[1] for answer in answers) == ["NO", "OK"]
    print(syslog.text(mark))
    syslog.wait_for(rf"BROWSERID: {AES128} imap/{HOST}: .*replay", mark)


def test_nobody_acts_as_somebody_else(imapd: Imapd, syslog: Syslog) -> None:
    mark = syslog.mark()
    with pytest.raises(imaplib.IMAP4.error):
        log_in(imapd, imapd.site.mechanism("imap", authzid=ADMIN))
    syslog.wait_for("badlogin", mark)


def test_an_administrator_acts_as_a_user(imapd: Imapd, syslog: Syslog) -> None:
    site = imapd.site
    mark = syslog.mark()
    admin = site.realm.person(ADMIN)
    log_in(imapd, site.mechanism("imap", person=admin, authzid=ALICE)).logout()
    syslog.wait_for("login: .* alice ", mark)
