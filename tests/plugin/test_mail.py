"""A message's whole way: submitted through Postfix, delivered to Cyrus imapd, read with clients."""

from __future__ import annotations

import base64
import imaplib
import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from browserid_sasl.sasl.client import ClientMechanism
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import (
    ADMIN,
    AES128,
    HOST,
    Imapd,
    Postfix,
    Site,
    Syslog,
    wait_until,
)


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
    syslog.wait_for(rf"sasl_method={AES128}, sasl_username={ALICE}", mark)


def test_without_login_nothing_is_relayed(mail: MailServer) -> None:
    with smtplib.SMTP("127.0.0.1", mail.postfix.port, timeout=20) as connection:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            connection.sendmail(ALICE, [ALICE], "Subject: no\r\n\r\n")


def test_mbsync_fetches_the_mailbox_and_mutt_reads_it(mail: MailServer) -> None:
    """Debian's mutt has GNU SASL, which takes no plugins: it reads what mbsync keeps."""
    deliver(mail, "for-alice")
    folder = mail.site.folder
    (folder / "maildir").mkdir()
    (folder / "mbsyncrc").write_text(
        f"""
IMAPAccount server
Host {HOST}
Port {mail.imapd.port}
User {ALICE}
Pass none
AuthMechs {AES128}
SSLType None

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
    done = mail.site.run("mbsync", "-c", folder / "mbsyncrc", "inbox")
    assert done.returncode == 0, done.stdout
    read = f"<pipe-message>cat > {folder}/read<enter><quit>"
    mutt = f"mutt -n -F /dev/null -e 'set folder={folder}/maildir wait_key=no quit=yes'"
    command = f"{mutt} -R -f {folder}/maildir/INBOX -e 'push \"{read}\"'"
    shown = mail.site.run("script", "-qec", command, "/dev/null", TERM="vt100").stdout
    assert (folder / "read").exists(), shown
    assert "the body of for-alice" in (folder / "read").read_text()
