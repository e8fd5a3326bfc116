"""Python's libraries for mail, told a name and a password, at real servers through the agent."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import poplib
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import BinaryIO

import aioimaplib
import aiosmtplib
import imapclient
import pytest

from tests.mail.conftest import Desk
from tests.support.mail import BOB, MailServers
from tests.support.mail_programs import LOOPBACK, Loopback
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ALICE


def test_imaplib_reads(told: Loopback) -> None:
    with imaplib.IMAP4(LOOPBACK, told.imap, PATIENCE) as connection:
        connection.login(told.user, told.password)
        connection.select("INBOX", readonly=True)
        assert connection.search(None, "SUBJECT", "hello") == ("OK", [b"1"])


def test_poplib_reads(told: Loopback) -> None:
    connection = poplib.POP3(LOOPBACK, told.pop, PATIENCE)
    connection.user(told.user)
    connection.pass_(told.password)
    assert b"the body of hello" in connection.retr(1)[1]
    connection.quit()


def test_imapclient_reads_and_waits_for_news(servers: MailServers, told: Loopback) -> None:
    with imapclient.IMAPClient(LOOPBACK, told.imap, ssl=False, timeout=PATIENCE) as connection:
        connection.plain_login(told.user, told.password)
        connection.select_folder("INBOX", readonly=True)
        found = connection.search(["SUBJECT", "hello"])
        connection.idle()
        assert connection.idle_check(timeout=0.1) in ([], [(b"OK", b"Still here")])
        connection.idle_done()
        body = connection.fetch(found, ["BODY.PEEK[TEXT]"])[found[0]][b"BODY[TEXT]"]
    assert b"the body of hello" in body


def test_aioimaplib_reads(told: Loopback) -> None:
    async def read() -> tuple[str, list[bytes]]:
        connection = aioimaplib.IMAP4(LOOPBACK, told.imap, timeout=PATIENCE)
        await connection.wait_hello_from_server()
        assert (await connection.login(told.user, told.password)).result == "OK"
        await connection.select("INBOX")
        result, lines = await connection.fetch("1", "(BODY.PEEK[TEXT])")
        await connection.logout()
        return result, lines

    result, lines = asyncio.run(read())
    assert result == "OK"
    assert any(b"the body of hello" in line for line in lines)


def test_smtplib_pipelines_in_other_alphabets(servers: MailServers, desk: Desk) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ALICE, BOB, "by smtplib"
    message.set_content("Grüße\n.\n")
    with smtplib.SMTP(LOOPBACK, desk.cyrus.submission, timeout=PATIENCE) as connection:
        connection.ehlo()
        assert {"auth", "pipelining", "8bitmime", "smtputf8"} <= set(connection.esmtp_features)
        assert "starttls" not in connection.esmtp_features
        connection.login(desk.cyrus.user, desk.cyrus.password)
        connection.send_message(message, mail_options=["SMTPUTF8"])
    assert b"Subject: by smtplib" in servers.wait_for_delivery("by smtplib", BOB)


def test_aiosmtplib_sends(servers: MailServers, desk: Desk) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ALICE, BOB, "by aiosmtplib"
    message.set_content("hello\n")
    asyncio.run(
        aiosmtplib.send(
            message,
            hostname=LOOPBACK,
            port=desk.cyrus.submission,
            username=desk.cyrus.user,
            password=desk.cyrus.password,
            start_tls=False,
            timeout=PATIENCE,
        )
    )
    assert servers.wait_for_delivery("by aiosmtplib", BOB)


SCRIPT = b'require "fileinto";\r\nif header :contains "subject" "x" { fileinto "INBOX"; }\r\n'


@contextmanager
def managesieve(told: Loopback) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A connection that has read the greeting."""
    with socket.create_connection((LOOPBACK, told.sieve), PATIENCE) as client:
        lines = client.makefile("rb")
        assert b'"SASL" "PLAIN"\r\n' in list(iter(lines.readline, b"OK\r\n"))
        yield client, lines


@pytest.mark.parametrize("literal", [False, True])
def test_managesieve_keeps_a_script(told: Loopback, *, literal: bool) -> None:
    response = base64.b64encode(f"\0{told.user}\0{told.password}".encode())
    quoted = b"{%d+}\r\n%s" % (len(response), response) if literal else b'"%s"' % response
    with managesieve(told) as (client, lines):
        client.sendall(b'AUTHENTICATE "PLAIN" ' + quoted + b"\r\n")
        assert lines.readline().startswith(b"OK")
        client.sendall(b'PUTSCRIPT "mine" {%d+}\r\n%s\r\n' % (len(SCRIPT), SCRIPT))
        assert lines.readline().startswith(b"OK")
        client.sendall(b'GETSCRIPT "mine"\r\n')
        assert lines.readline() == b"{%d}\r\n" % len(SCRIPT)
        assert lines.read(len(SCRIPT)) == SCRIPT
