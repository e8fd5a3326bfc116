"""POP3 with a mail program, and with a server."""

from __future__ import annotations

import asyncio

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.pop import PopServer
from tests.proxy.answering import exchange, serve
from tests.proxy.talking import GOOD, USER, Outcome, talk
from tests.support.conversing import Octets, OpenDoor
from tests.support.refusal import refused

OFFERED = ("TOP", "UIDL", "STLS", "SASL BROWSERID-AES128", "USER", "UTF8 USER", "RESP-CODES")


def say(text: str | bytes, door: OpenDoor | None = None) -> Outcome:
    return talk(Kind.POP, text, door)


def test_capabilities_are_the_servers_with_ours_in_place_of_its_logins() -> None:
    lines = say("CAPA\n", OpenDoor(OFFERED)).lines
    assert (lines[0], lines[-1]) == (b"+OK", b".")
    assert set(lines[1:-1]) == {
        *(b"USER", b"SASL PLAIN", b"RESP-CODES", b"AUTH-RESP-CODE", b"TOP", b"UIDL")
    }


@pytest.mark.parametrize(
    "text",
    [
        f"USER {USER}\nPASS se cret \n",
        f"user {USER}\npass se cret \n",
    ],
)
def test_user_and_pass(text: str) -> None:
    door = OpenDoor(OFFERED, password="se cret ")
    outcome = say(text + "STAT\n", door)
    assert (outcome.logged_in, outcome.rest) == (True, b"STAT\r\n")
    assert door.logins[0].user == USER


@pytest.mark.parametrize("text", [f"AUTH PLAIN {GOOD}\n", f"AUTH plain\n{GOOD}\n"])
def test_auth_plain(text: str) -> None:
    assert say(text).logged_in


def test_refusals() -> None:
    outcome = say(f"USER {USER}\nPASS guess\nPASS again\nUSER {USER}\nPASS secret\n")
    assert outcome.lines[1].startswith(b"-ERR [AUTH] ")
    assert outcome.lines[2].startswith(b"-ERR the name")
    assert outcome.logged_in
    error = MailServerError(Code.HTTP_ERROR, "nobody answers", passes=True)
    later = say(f"AUTH PLAIN {GOOD}\n", OpenDoor(error=error)).lines[-1]
    assert later == b"-ERR [SYS/TEMP] nobody answers"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("STLS\n", b"-ERR"),
        ("APOP alice 00\n", b"-ERR"),
        ("STAT\n", b"-ERR"),
        ("NOOP\n", b"-ERR"),
        ("AUTH GSSAPI\n", b"-ERR"),
        ("AUTH PLAIN =\n", b"-ERR"),
        ("AUTH PLAIN !\n", b"-ERR"),
        ("AUTH PLAIN\n*\n", b"-ERR"),
        ("\n", b"-ERR"),
    ],
)
def test_what_comes_before_the_login_is_answered_and_the_next_too(text: str, answer: bytes) -> None:
    outcome = say(text + "QUIT\n")
    last = [each for each in outcome.lines if each != b"+ "]
    assert [each[:4].strip() for each in last] == [answer, b"+OK"]
    assert outcome.logged_in is False


def test_auth_alone_lists_the_mechanisms() -> None:
    assert say("AUTH\n").lines == [b"+OK", b"PLAIN", b"."]


def test_a_line_without_an_end() -> None:
    with refused(Code.BUFFER_TOO_LONG):
        say(b"x" * 100_000)


CAPA = b"+OK\r\nTOP\r\nSASL PLAIN BROWSERID-AES128\r\n.\r\n"


class TestServer:
    def test_it_is_asked_under_tls_what_it_offers(self) -> None:
        stream = Octets(b"+OK hello\r\n+OK begin\r\n", CAPA)
        assert serve(PopServer, stream).mechanisms == ["PLAIN", "BROWSERID-AES128"]
        assert stream.lines == [b"CAPA"]

    def test_one_without_a_list_offers_nothing(self) -> None:
        assert serve(PopServer, Octets(b"+OK\r\n-ERR what\r\n"), Security.TLS).mechanisms == []

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            (b"-ERR full\r\n", Code.UNAVAILABLE),
            (b"220 x\r\n", Code.UNAVAILABLE),
            (b"+OK\r\n-ERR no\r\n", Code.WRONG_MECH),
            (b"+OK\r\nX\r\n", Code.BAD_CONTEXT_TOKEN),
        ],
    )
    def test_what_it_may_not_say(self, said: bytes, code: Code) -> None:
        with refused(code, kind=MailServerError):
            serve(PopServer, Octets(said))

    def test_a_list_without_an_end(self) -> None:
        with refused(Code.BUFFER_TOO_LONG):
            serve(PopServer, Octets(b"+OK\r\n+OK\r\n" + b"X\r\n" * 100), Security.TLS)

    @pytest.mark.parametrize(
        ("answer", "accepted", "passes"),
        [
            (b"+OK in", True, False),
            (b"-ERR [AUTH] no", False, False),
            (b"-ERR [SYS/TEMP] x", False, True),
        ],
    )
    def test_an_exchange(self, answer: bytes, accepted: bool, passes: bool) -> None:
        stream = Octets(b"+ \r\n+ Y2hhbGxlbmdl\r\n" + answer + b"\r\n")
        verdict = asyncio.run(PopServer(stream, Security.TLS).authenticate(exchange()))
        assert stream.lines == [
            *(b"AUTH BROWSERID-AES128", b"aW5pdGlhbA==", b"answer Y2hhbGxlbmdl")
        ]
        assert (verdict.accepted, verdict.passes) == (accepted, passes)
