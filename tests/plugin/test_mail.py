"""A message's whole way: submitted through Postfix, delivered to Cyrus imapd, read with clients."""

from __future__ import annotations

import base64
import imaplib
import re
import shutil
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from browserid_sasl.errors import Code, PeerRefusedError
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.patience import wait_until
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import ADMIN, AES128, HOST, Imapd, Postfix, Site, Syslog


class MailServer(NamedTuple):
    """Both services, and the site of the person who uses them."""

    imapd: Imapd
    postfix: Postfix
    site: Site


@pytest.fixture
def mail(new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[MailServer]:
    """Alice has a mailbox and is signed in."""
    storage, submission = new_site("cyrus"), new_site("postfix")
    submission.realm.sign_in()
    with Imapd(storage).running() as imapd:
        with Postfix(submission, imapd.lmtp).running() as postfix:
            with open_mailbox(imapd, storage, ADMIN) as admin:
                assert admin.create("user/alice")[0] == "OK"
                admin.setacl("user/alice", "anyone", "p")
            yield MailServer(imapd, postfix, submission)


@contextmanager
def open_mailbox(imapd: Imapd, site: Site, name: str) -> Iterator[imaplib.IMAP4]:
    mechanism = site.mechanism("imap", person=site.realm.person(name))
    with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as connection:
        connection.authenticate(AES128, mechanism.step)
        yield connection


def log_in(connection: smtplib.SMTP, mechanism: ClientMechanism) -> int:
    """SMTP AUTH (RFC 4954); the last reply's code."""
    response = base64.b64encode(mechanism.step(None)).decode()
    code, text = connection.docmd("AUTH", f"{mechanism.name} {response}")
    while code == 334:
        answer = mechanism.step(base64.b64decode(text))
        code, text = connection.docmd(base64.b64encode(answer).decode())
    return code


def submit(mail: MailServer, text: str, **further: str) -> None:
    with smtplib.SMTP("127.0.0.1", mail.postfix.port, timeout=20) as connection:
        connection.ehlo()
        assert log_in(connection, mail.site.mechanism("smtp", **further)) == 235  # type: ignore[arg-type]
        connection.sendmail(ALICE, [f"alice@{DOMAIN}"], text)


def deliver(mail: MailServer, subject: str) -> None:
    submit(mail, f"Subject: {subject}\r\n\r\nthe body of {subject}\r\n")
    with open_mailbox(mail.imapd, mail.imapd.site, ALICE) as inbox:
        inbox.select("INBOX")

        def arrived() -> bool:
            inbox.noop()
            return inbox.search(None, "SUBJECT", subject)[1] != [b""]

        wait_until(arrived, f"the delivery of {subject}")


def test_a_message_is_submitted_and_arrives(mail: MailServer, syslog: Syslog) -> None:
    mark = syslog.mark()
    deliver(mail, "greetings")
    syslog.wait_for(rf"sasl_method={AES128}, sasl_username={re.escape(ALICE)}$", mark)


def test_a_stranger_is_refused_and_their_mail_is_not_relayed(
    mail: MailServer, syslog: Syslog
) -> None:
    """Signed in with the identity provider of their own domain, whose key Postfix knows."""
    mail.site.pin("stranger.test")
    eve = mail.site.realm.person("eve@stranger.test")
    mark = syslog.mark()
    with smtplib.SMTP("127.0.0.1", mail.postfix.port, timeout=20) as connection:
        connection.ehlo()
        with pytest.raises(PeerRefusedError) as told:
            log_in(connection, mail.site.mechanism("smtp", person=eve))
        assert told.value.code is Code.NO_LOCAL_MAPPING
        assert connection.docmd("")[0] == 535
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            connection.sendmail(eve.identity, [ALICE], "Subject: no\r\n\r\n")
    syslog.wait_for(r" eve@stranger\.test may not log in to this service:", mark)


def test_without_login_nothing_is_relayed(mail: MailServer) -> None:
    with smtplib.SMTP("127.0.0.1", mail.postfix.port, timeout=20) as connection:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            connection.sendmail(ALICE, [ALICE], "Subject: no\r\n\r\n")


def mbsync(site: Site, imapd: Imapd, account: str) -> subprocess.CompletedProcess[str]:
    """Fetch the inbox into the folder `maildir`.

    :param account: who logs in and how, in the words of mbsyncrc.
    """
    folder = site.folder
    (folder / "maildir").mkdir(exist_ok=True)
    (folder / "mbsyncrc").write_text(
        f"""
IMAPAccount server
Host {HOST}
Port {imapd.port}
SSLType None
{account}

IMAPStore far
Account server

MaildirStore near
Path {folder}/maildir/
Inbox {folder}/maildir/INBOX
SubFolders Verbatim

Channel inbox
Far :far:
Near :near:
Create Near
"""
    )
    command = ("mbsync", "-c", folder / "mbsyncrc", "inbox")
    return site.run(*command, SASL_PATH=site.all_plugins)


def fetched(site: Site) -> list[Path]:
    return [path for path in (site.folder / "maildir").rglob("*") if path.parent.name == "new"]


def test_mbsync_fetches_the_mailbox_and_mutt_reads_it(mail: MailServer) -> None:
    """Debian's mutt has GNU SASL, which takes no plugins: it reads what mbsync keeps."""
    deliver(mail, "for-alice")
    folder = mail.site.folder
    done = mbsync(mail.site, mail.imapd, f"User {ALICE}\nPass none\nAuthMechs {AES128}")
    assert done.returncode == 0, done.stdout
    read = f"<pipe-message>cat > {folder}/read<enter><quit>"
    mutt = f"mutt -n -F /dev/null -e 'set folder={folder}/maildir wait_key=no quit=yes'"
    command = f"{mutt} -R -f {folder}/maildir/INBOX -e 'push \"{read}\"'"
    shown = mail.site.run("script", "-qec", command, "/dev/null", TERM="vt100").stdout
    assert (folder / "read").exists(), shown
    assert "the body of for-alice" in (folder / "read").read_text()


@pytest.mark.parametrize("name", ["bob", f"bob@{DOMAIN}", "alice@other.test"])
def test_mbsync_brings_nobody_s_mail_to_somebody_else(
    mail: MailServer, syslog: Syslog, name: str
) -> None:
    deliver(mail, "for-alice")
    mark = syslog.mark()
    done = mbsync(mail.site, mail.imapd, f"User {name}\nPass none\nAuthMechs {AES128}")
    assert done.returncode != 0
    assert fetched(mail.site) == []
    syslog.wait_for(f"{name} is (nobody who|not) ", mark)
    assert "User logged in" not in syslog.text(mark)


def test_mbsync_logs_in_who_has_the_name_of_two_who_are_signed_in(mail: MailServer) -> None:
    deliver(mail, "for-alice")
    mail.site.realm.sign_in(f"bob@{DOMAIN}")
    done = mbsync(mail.site, mail.imapd, f"User alice\nPass none\nAuthMechs {AES128}")
    assert done.returncode == 0, done.stdout
    assert len(fetched(mail.site)) == 1


class TestPasswords:
    """What worked before the plugin was installed works as long as nobody has signed in."""

    @pytest.fixture
    def imapd(self, new_site: Callable[[str], Site], syslog: Syslog) -> Iterator[Imapd]:
        """Has a password for carol, and a mailbox with a message."""
        site = new_site("cyrus")
        passwords = site.folder / "sasldb2"
        command = ("saslpasswd2", "-p", "-c", "-f", passwords, "-u", HOST, "carol")
        done = site.run(*command, input="secret", SASL_PATH=site.all_plugins)
        assert done.returncode == 0, done.stdout
        shutil.chown(passwords, "cyrus")
        options = {
            "sasl_mech_list": f"{AES128} PLAIN",
            "sasl_pwcheck_method": "auxprop",
            "sasl_auxprop_plugin": "sasldb",
            "sasl_sasldb_path": str(passwords),
            "allowplaintext": "yes",
            "autocreate_quota": "0",
        }
        with Imapd(site, options=options).running() as imapd:
            with open_mailbox(imapd, site, ADMIN) as admin:
                assert admin.create("user/carol")[0] == "OK"
            with imaplib.IMAP4("127.0.0.1", imapd.port, 20) as carol:
                carol.login("carol", "secret")
                assert carol.append("INBOX", "", "", b"Subject: hello\r\n\r\nworld\r\n")[0] == "OK"
            yield imapd

    def fetch(self, imapd: Imapd) -> bool:
        done = mbsync(imapd.site, imapd, "User carol\nPass secret")
        print(done.stdout)
        return done.returncode == 0 and len(fetched(imapd.site)) == 1

    def test_log_in_with_the_plugin_installed(self, imapd: Imapd) -> None:
        assert self.fetch(imapd)

    def test_are_not_tried_of_somebody_who_has_signed_in(
        self, imapd: Imapd, syslog: Syslog
    ) -> None:
        """libsasl2 prefers the mechanism without a password, and does not fall back."""
        imapd.site.realm.sign_in()
        mark = syslog.mark()
        assert not self.fetch(imapd)
        syslog.wait_for(f"carol is nobody who is signed in: that is {ALICE}", mark)
