"""SMTP submission with a mail program, and with a server."""

from __future__ import annotations

import asyncio
import base64

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.smtp import SmtpServer
from tests.proxy.answering import exchange, serve
from tests.proxy.talking import BAD, GOOD, USER, Outcome, talk
from tests.support.conversing import Octets, OpenDoor
from tests.support.refusal import refused

OFFERED = (
    *("mail.example.org Hello", "PIPELINING", "SIZE 1000", "STARTTLS", "AUTH BROWSERID-AES128"),
    *("AUTH=LOGIN", "CHUNKING", "SMTPUTF8", "8BITMIME", "XCLIENT NAME"),
)
NAME = base64.b64encode(USER.encode()).decode()
SECRET = base64.b64encode(b"secret").decode()


def say(text: str | bytes, door: OpenDoor | None = None) -> Outcome:
    return talk(Kind.SUBMISSION, text, door)


class TestCapabilities:
    def test_they_are_the_servers_with_ours_in_place_of_its_logins(self) -> None:
        door = OpenDoor(OFFERED)
        assert say("EHLO client.example.org\n", door).lines == [
            b"250-mail.example.org Hello",
            b"250-PIPELINING",
            b"250-SIZE 1000",
            b"250-CHUNKING",
            b"250-SMTPUTF8",
            b"250-8BITMIME",
            b"250 AUTH PLAIN LOGIN",
        ]
        assert door.names == ["client.example.org"]

    def test_helo_gets_one_line(self) -> None:
        assert say("HELO [127.0.0.1]\n", OpenDoor(OFFERED)).lines == [b"250 mail.example.org Hello"]

    def test_a_server_that_is_away_leaves_what_is_needed_to_log_in(self) -> None:
        lines = say("EHLO me\n").lines
        assert lines == [b"250-mail.example.org", b"250 AUTH PLAIN LOGIN"]


class TestLogins:
    @pytest.mark.parametrize(
        "text",
        [
            f"AUTH PLAIN {GOOD}\n",
            f"auth plain\n{GOOD}\n",
            f"AUTH LOGIN\n{NAME}\n{SECRET}\n",
            f"AUTH LOGIN {NAME}\n{SECRET}\n",
        ],
    )
    def test_each_form(self, text: str) -> None:
        door = OpenDoor(OFFERED)
        outcome = say("EHLO me\n" + text + "MAIL FROM:<a@b>\nDATA\n", door)
        assert outcome.logged_in is True
        assert outcome.lines[-1].startswith(b"235 2.7.0 ")
        assert [(each.user, each.password) for each in door.logins] == [(USER, "secret")]
        assert outcome.rest == b"MAIL FROM:<a@b>\r\nDATA\r\n"

    def test_challenges(self) -> None:
        assert say(f"AUTH PLAIN\n{BAD}\n").lines[0] == b"334 "
        lines = say(f"AUTH LOGIN\n{NAME}\n{NAME}\n").lines
        assert [base64.b64decode(each[4:]) for each in lines[:2]] == [b"Username:", b"Password:"]
        assert lines[2].startswith(b"535 5.7.8 ")

    def test_a_failure_that_passes(self) -> None:
        error = MailServerError(Code.HTTP_ERROR, "nobody answers", passes=True)
        [line] = say(f"AUTH PLAIN {GOOD}\n", OpenDoor(error=error)).lines
        assert line == b"454 4.7.0 nobody answers"

    def test_a_unix_socket_needs_no_login(self) -> None:
        outcome = say("EHLO me\nMAIL FROM:<a@b>\nDATA\n", OpenDoor(OFFERED, trusted=True))
        assert (outcome.logged_in, outcome.rest) == (True, b"MAIL FROM:<a@b>\r\nDATA\r\n")

    def test_and_takes_any(self) -> None:
        assert say(f"AUTH PLAIN {BAD}\n", OpenDoor(trusted=True)).logged_in


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NOOP\n", b"250"),
        ("RSET\n", b"250"),
        ("HELP\n", b"214"),
        ("STARTTLS\n", b"502"),
        ("DANCE\n", b"500"),
        ("\n", b"500"),
        ("EHLO\n", b"501"),
        ("EHLO a b\n", b"501"),
        (f"EHLO {'x' * 300}\n", b"501"),
        ("LHLO me\n", b"501"),
        ("MAIL FROM:<a@b>\n", b"530"),
        ("RCPT TO:<a@b>\n", b"530"),
        ("DATA\n", b"530"),
        ("BDAT 6 LAST\nQUIT\n", b"530"),
        ("VRFY alice\n", b"530"),
        ("AUTH\n", b"504"),
        ("AUTH GSSAPI\n", b"504"),
        ("AUTH PLAIN =\n", b"501"),
        ("AUTH PLAIN !\n", b"501"),
        ("AUTH PLAIN a b\n", b"504"),
        (f"AUTH PLAIN {base64.b64encode(b'a').decode()}\n", b"501"),
        ("AUTH PLAIN\n*\n", b"501"),
        ("AUTH LOGIN\n*\n", b"501"),
        (f"AUTH LOGIN {NAME}\n*\n", b"501"),
        (f"AUTH LOGIN {NAME}\n//8=\n", b"501"),
    ],
)
def test_what_comes_before_the_login_is_answered_and_the_next_too(text: str, code: bytes) -> None:
    outcome = say(text + "QUIT\n")
    last = [each for each in outcome.lines if not each.startswith(b"334 ")]
    assert [each[:3] for each in last] == [code, b"221"]
    assert outcome.logged_in is False


@pytest.mark.parametrize("octets", [b"x" * 100_000, b"BDAT 9223372036854775808 LAST\r\n"])
def test_what_has_no_end_ends_it(octets: bytes) -> None:
    with refused(Code.BUFFER_TOO_LONG):
        say(octets)


EHLO = b"250-mail.example.org\r\n250-STARTTLS\r\n250 AUTH PLAIN BROWSERID-AES128\r\n"


class TestServer:
    def test_it_is_asked_under_tls_what_it_offers(self) -> None:
        stream = Octets(b"220-hello\r\n220 there\r\n" + EHLO + b"220 go\r\n", EHLO)
        server = serve(SmtpServer, stream)
        assert server.mechanisms == ["PLAIN", "BROWSERID-AES128"]
        assert stream.lines == [b"EHLO [127.0.0.1]"]

    @pytest.mark.parametrize(
        ("said", "code", "passes"),
        [
            (b"421 full\r\n", Code.UNAVAILABLE, True),
            (b"554 no\r\n", Code.UNAVAILABLE, False),
            (b"* OK\r\n", Code.BAD_CONTEXT_TOKEN, False),
            (b"220-x\r\n" * 100, Code.BUFFER_TOO_LONG, False),
            (b"220 x\r\n502 no EHLO\r\n", Code.UNAVAILABLE, False),
            (b"220 x\r\n" + EHLO + b"454 no TLS\r\n", Code.WRONG_MECH, False),
        ],
    )
    def test_what_it_may_not_say(self, said: bytes, code: Code, passes: bool) -> None:
        with refused(code, kind=MailServerError) as caught:
            serve(SmtpServer, Octets(said))
        assert isinstance(caught.value, MailServerError)
        assert caught.value.passes is passes

    @pytest.mark.parametrize(
        ("answer", "accepted", "passes"),
        [(b"235 in", True, False), (b"535 no", False, False), (b"454 later", False, True)],
    )
    def test_an_exchange(self, answer: bytes, accepted: bool, passes: bool) -> None:
        stream = Octets(b"334 Y2hhbGxlbmdl\r\n" + answer + b"\r\n")
        verdict = asyncio.run(SmtpServer(stream, Security.TLS).authenticate(exchange()))
        assert stream.lines == [b"AUTH BROWSERID-AES128 aW5pdGlhbA==", b"answer Y2hhbGxlbmdl"]
        assert (verdict.accepted, verdict.passes) == (accepted, passes)
