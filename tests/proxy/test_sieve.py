"""ManageSieve with a mail program, and with a server."""

from __future__ import annotations

import asyncio

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.sieve import SieveServer
from tests.proxy.answering import exchange, serve
from tests.proxy.talking import BAD, GOOD, Outcome, talk
from tests.support.conversing import Octets, OpenDoor
from tests.support.refusal import refused

OFFERED = (
    *('"IMPLEMENTATION" "Timsieved \\"é\\""', '"SASL" "BROWSERID-AES128"', '"STARTTLS"'),
    *('"SIEVE" "fileinto"', '"UNAUTHENTICATE"'),
)


def say(text: str | bytes, door: OpenDoor | None = None) -> Outcome:
    return talk(Kind.SIEVE, text, door)


def test_capabilities_are_the_servers_with_ours_in_place_of_its_logins() -> None:
    outcome = say("", OpenDoor(OFFERED))
    assert [outcome.greeting, *outcome.lines] == [
        *('"IMPLEMENTATION" "Timsieved \\"é\\""'.encode(), b'"SIEVE" "fileinto"'),
        *(b'"SASL" "PLAIN"', b"OK"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f'AUTHENTICATE "PLAIN" "{GOOD}"\n',
        f'authenticate "plain" {{{len(GOOD)}+}}\n{GOOD}\n',
        f'AUTHENTICATE "PLAIN"\n"{GOOD}"\n',
        f'AUTHENTICATE "PLAIN"\n{{{len(GOOD)}+}}\n{GOOD}\n',
    ],
)
def test_each_form(text: str) -> None:
    outcome = say(text + "LISTSCRIPTS\n")
    assert (outcome.logged_in, outcome.rest) == (True, b"LISTSCRIPTS\r\n")
    assert outcome.lines[-1].startswith(b'OK "')


def test_refusals() -> None:
    assert say(f'AUTHENTICATE "PLAIN" "{BAD}"\n').lines[-1].startswith(b'NO "')
    error = MailServerError(Code.HTTP_ERROR, 'nobody "answers"', passes=True)
    line = say(f'AUTHENTICATE "PLAIN" "{GOOD}"\n', OpenDoor(error=error)).lines[-1]
    assert line == b'NO (TRYLATER) "nobody \\"answers\\""'


@pytest.mark.parametrize(
    "text",
    [
        "STARTTLS\n",
        "LISTSCRIPTS\n",
        "\n",
        'AUTHENTICATE "GSSAPI"\n',
        "AUTHENTICATE\n",
        'AUTHENTICATE "PLAIN" "*"\n',
        'AUTHENTICATE "PLAIN" "="\n',
        'AUTHENTICATE "PLAIN" "!"\n',
        'AUTHENTICATE "PLAIN\n',
        'AUTHENTICATE "PLAIN"\n"*"\n',
        'AUTHENTICATE "PLAIN"\n"a" "b"\n',
        'PUTSCRIPT "x" {8+}\nLOGOUT\n\n',
    ],
)
def test_what_comes_before_the_login_is_answered_and_the_next_too(text: str) -> None:
    outcome = say(text + "LOGOUT\n")
    answers = [each for each in outcome.lines[2:] if each != b'""']
    assert [each[:2] for each in outcome.lines[-2:]] == [b"NO", b"OK"], answers
    assert outcome.logged_in is False


@pytest.mark.parametrize("octets", [b"x" * 100_000, b'PUTSCRIPT "x" {9223372036854775808+}\r\n'])
def test_what_has_no_end_ends_it(octets: bytes) -> None:
    with refused(Code.BUFFER_TOO_LONG):
        say(octets)


LISTED = b'"SASL" "PLAIN BROWSERID-AES128"\r\n"SIEVE" {8}\r\nfileinto\r\nOK\r\n'


class TestServer:
    def test_it_says_anew_under_tls_what_it_offers(self) -> None:
        server = serve(SieveServer, Octets(b'"SASL" "PLAIN"\r\nOK "hello"\r\nOK\r\n', LISTED))
        assert server.mechanisms == ["PLAIN", "BROWSERID-AES128"]
        assert server.offer[1] == '"SIEVE" "fileinto"'

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            (b'BYE "full"\r\n', Code.UNAVAILABLE),
            (b'OK\r\nNO "no"\r\n', Code.WRONG_MECH),
            (b"X\r\n" * 100, Code.BUFFER_TOO_LONG),
            (b"OK\r\na b\r\n", Code.BAD_CONTEXT_TOKEN),
        ],
    )
    def test_what_it_may_not_say(self, said: bytes, code: Code) -> None:
        with refused(code, kind=MailServerError):
            serve(SieveServer, Octets(said))

    def test_a_literal_without_an_end(self) -> None:
        with refused(Code.BUFFER_TOO_LONG):
            serve(SieveServer, Octets(b'"X" {9223372036854775808}\r\n'), Security.TLS)

    @pytest.mark.parametrize(
        ("answer", "accepted", "passes"),
        [
            (b'OK "in"', True, False),
            (b'NO "no"', False, False),
            (b'NO (TRYLATER) "x"', False, True),
        ],
    )
    def test_an_exchange(self, answer: bytes, accepted: bool, passes: bool) -> None:
        stream = Octets(b'"Y2hhbGxlbmdl"\r\n{4}\r\nbW9y\r\n' + answer + b"\r\n")
        verdict = asyncio.run(SieveServer(stream, Security.TLS).authenticate(exchange()))
        assert stream.lines == [
            b'AUTHENTICATE "BROWSERID-AES128" {12+}',
            *(b"aW5pdGlhbA==", b"{19+}", b"answer Y2hhbGxlbmdl", b"{11+}", b"answer bW9y"),
        ]
        assert (verdict.accepted, verdict.passes) == (accepted, passes)
