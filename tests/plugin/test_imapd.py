"""Cyrus imapd and its own clients, unmodified."""

from __future__ import annotations

import base64
import imaplib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from bench.plugin import memory_added
from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.sasl.channel_binding import ChannelBinding, tls_server_end_point
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import ADMIN, AES128, HOST, PADDING, Imapd, Site, Syslog


@pytest.fixture
def imapd(new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[Imapd]:
    site = new_site("cyrus")
    with Imapd(site).running() as imapd:
        yield imapd


def log_in(imapd: Imapd, mechanism: ClientMechanism) -> imaplib.IMAP4:
    connection = imaplib.IMAP4("127.0.0.1", imapd.port, PATIENCE)
    connection.authenticate(mechanism.name, mechanism.step)
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
    command: tuple[str | Path, ...]
    command = (Imapd.PROGRAMS / "imtest", "-m", AES128, "-p", str(imapd.port), *arguments, HOST)
    return imapd.site.run(*command, input=". logout\r\n").stdout


def test_logins_add_next_to_nothing_to_a_process(imapd: Imapd) -> None:
    """`make bench` compares it with SCRAM; an interpreter would be nine times the bound, in MB."""
    assert memory_added(imapd, AES128, lambda: imapd.site.mechanism("imap")) < 1.0


def test_imtest_logs_in_and_the_log_names_the_user(imapd: Imapd, syslog: Syslog) -> None:
    imapd.site.realm.sign_in()
    mark = syslog.mark()
    assert "Authenticated." in imtest(imapd, "-a", ALICE)
    syslog.wait_for(rf"login: localhost \[127\.0\.0\.1\] alice {AES128} User logged in", mark)


@pytest.mark.parametrize("virtual", [False, True])
def test_a_stranger_is_refused(
    new_site: Callable[[str], Site], syslog: Syslog, virtual: bool
) -> None:
    """Signed in with the identity provider of their own domain, whose key imapd knows."""
    site = new_site("cyrus")
    site.pin("stranger.test")
    eve = "eve@stranger.test"
    site.realm.sign_in(eve)
    virtdomains = {"virtdomains": "userid", "defaultdomain": DOMAIN}
    with Imapd(site, options=virtdomains if virtual else {}).running() as imapd:
        mark = syslog.mark()
        said = imtest(imapd, "-a", eve)
    assert "Authenticated." not in said
    syslog.wait_for(rf" {re.escape(eve)} may not log in to this service:", mark)


def test_the_name_of_the_account_means_the_default_identity(imapd: Imapd) -> None:
    imapd.site.realm.sign_in()
    assert "Authenticated." in imtest(imapd, "-a", "root")


def test_a_name_without_domain_is_who_has_it_and_nobody_else(imapd: Imapd, syslog: Syslog) -> None:
    for person in (ALICE, f"bob@{DOMAIN}"):
        imapd.site.realm.sign_in(person)
    mark = syslog.mark()
    assert "Authenticated." in imtest(imapd, "-a", "bob")
    syslog.wait_for(rf"login: localhost \[127\.0\.0\.1\] bob {AES128} User logged in", mark)
    assert "Authenticated." not in imtest(imapd, "-a", "carol")
    syslog.wait_for(f"carol is nobody who is signed in: that is {ALICE}, bob@{DOMAIN}", mark)


def test_a_client_that_is_not_signed_in_is_told_the_command_to_run(
    imapd: Imapd, syslog: Syslog
) -> None:
    imapd.site.realm.sign_in(ADMIN)
    mark = syslog.mark()
    assert "Authenticated." not in imtest(imapd, "-a", ALICE)
    syslog.wait_for(f"{ALICE} is not signed in: sign in first: browserid login {ALICE}", mark)


def test_imaplib_reads_what_lmtp_delivered(imapd: Imapd) -> None:
    site = imapd.site
    admin = log_in(imapd, site.mechanism("imap", person=site.realm.person(ADMIN)))
    assert admin.create("user/alice")[0] == "OK"
    admin.logout()
    alice = log_in(imapd, site.mechanism("imap"))
    assert alice.append("INBOX", "", "", b"Subject: hello\r\n\r\nworld\r\n")[0] == "OK"
    alice.select("INBOX")
    [part, *_] = alice.fetch("1", "(BODY[TEXT])")[1]
    assert isinstance(part, tuple)
    assert b"world" in part[1]
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


def test_a_replay_sent_to_two_processes_at_once_succeeds_once(imapd: Imapd, syslog: Syslog) -> None:
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


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def imapd(
        self, new_site: Callable[[str], Site], syslog: Syslog, authority: trustme.CA
    ) -> Iterator[Imapd]:
        site = new_site("cyrus")
        site.realm.sign_in()
        with Imapd(site, tls=self.files(site, authority)).running() as imapd:
            yield imapd

    def files(self, site: Site, authority: trustme.CA) -> tuple[Path, Path]:
        """A certificate of the authority, and its key."""
        certificate, key = site.folder / "cert.pem", site.folder / "key.pem"
        issued = authority.issue_cert(HOST)
        certificate.write_bytes(issued.cert_chain_pems[0].bytes())
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    def test_imtest_logs_in_after_starttls(self, imapd: Imapd) -> None:
        assert "Authenticated." in imtest(imapd, "-t", "", "-a", ALICE)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_imaplib_binds_to_the_channel(
        self, imapd: Imapd, authority: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        """imapd has tls-unique for every version, though it is not defined for TLS 1.3."""
        with self.starttls(imapd, authority, version) as (connection, binding):
            assert f"AUTH={AES128}-PLUS".encode() in connection.capability()[1][0]
            mechanism = imapd.site.mechanism("imap", binding=binding)
            connection.authenticate(AES128, mechanism.step)
            assert connection.noop()[0] == "OK"

    def test_imapd_knows_no_other_binding_under_tls_1_3(
        self, imapd: Imapd, authority: trustme.CA, syslog: Syslog
    ) -> None:
        mark = syslog.mark()
        with self.starttls(imapd, authority, ssl.TLSVersion.TLSv1_3) as (connection, _):
            certificate = connection.socket().getpeercert(binary_form=True)  # type: ignore[attr-defined]
            binding = tls_server_end_point(certificate)
            mechanism = imapd.site.mechanism("imap", binding=binding)
            with pytest.raises(PeerRefusedError, match="channel-bindings"):
                connection.authenticate(AES128, mechanism.step)
        syslog.wait_for("tls-server-end-point", mark)

    def test_a_login_bound_to_another_channel_is_refused(
        self, imapd: Imapd, authority: trustme.CA, syslog: Syslog
    ) -> None:
        mark = syslog.mark()
        other = ChannelBinding("tls-unique", b"another channel")
        with self.starttls(imapd, authority) as (connection, _):
            mechanism = imapd.site.mechanism("imap", binding=other)
            with pytest.raises(PeerRefusedError, match="channel-bindings-mismatch"):
                connection.authenticate(AES128, mechanism.step)
        syslog.wait_for("BROWSERID: ", mark)

    @pytest.mark.parametrize("mech_list", [AES128, f"{AES128} {PADDING}", f"{AES128} SCRAM-SHA-1"])
    def test_its_list_of_mechanisms_stays_within_its_buffer(
        self, new_site: Callable[[str], Site], authority: trustme.CA, mech_list: str
    ) -> None:
        """libsasl2 2.1.28 would write past it, and imapd abort when the connection ends."""
        site = new_site("cyrus")
        site.give(site.folder / "valgrind")
        launcher = f"/usr/bin/valgrind -q --log-file={site.folder}/valgrind/%p"
        options, files = {"sasl_mech_list": mech_list}, self.files(site, authority)
        with Imapd(site, tls=files, options=options, launcher=launcher).running() as imapd:
            with self.starttls(imapd, authority) as (connection, _):
                offered = connection.capability()[1][0].decode().split()
            imapd.wait_until_idle()
        said = "".join(file.read_text() for file in (site.folder / "valgrind").iterdir())
        assert re.findall(r"Invalid (?:read|write|free)|listmech", said) == [], said
        assert f"AUTH={AES128}" in offered
        assert f"AUTH={PADDING}" not in offered
        assert (f"AUTH={AES128}-PLUS" in offered) is (PADDING in mech_list)

    @contextmanager
    def starttls(
        self,
        imapd: Imapd,
        authority: trustme.CA,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ) -> Iterator[tuple[imaplib.IMAP4, ChannelBinding]]:
        context = ssl.create_default_context()
        context.minimum_version = context.maximum_version = version
        authority.configure_trust(context)
        connection = imaplib.IMAP4(HOST, imapd.port, PATIENCE)
        try:
            connection.starttls(context)
            data = connection.socket().get_channel_binding("tls-unique")  # type: ignore[attr-defined]
            yield connection, ChannelBinding("tls-unique", data)
        finally:
            connection.shutdown()
