"""IMAP with a mail program, and with a server."""

from __future__ import annotations

import asyncio

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.exchange import Verdict
from browserid_sasl.proxy.failures import MailServerError
from browserid_sasl.proxy.imap import ImapServer
from tests.proxy.answering import exchange, serve
from tests.proxy.talking import BAD, GOOD, USER, Outcome, talk
from tests.support.conversing import Octets, OpenDoor
from tests.support.refusal import refused

SERVERS = (
    *(
        "IMAP4rev1",
        "LITERAL+",
        "ID",
        "STARTTLS",
        "LOGINDISABLED",
        "AUTH=GSSAPI",
        "COMPRESS=DEFLATE",
    ),
    *("AUTH=BROWSERID-AES128", "SASL-IR", "UNAUTHENTICATE", "LOGIN-REFERRALS", "IDLE"),
)


def say(text: str | bytes, door: OpenDoor | None = None) -> Outcome:
    return talk(Kind.IMAP, text, door)


def words(line: bytes) -> list[str]:
    return line.decode().replace("[", " ").replace("]", " ").split()


class TestCapabilities:
    def test_the_greeting_has_the_servers_with_ours_in_place_of_its_logins(self) -> None:
        greeting = say("", OpenDoor(SERVERS)).greeting
        assert greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        told = set(words(greeting))
        assert {"LITERAL+", "ID", "IDLE", "COMPRESS=DEFLATE", "SASL-IR", "AUTH=PLAIN"} <= told
        assert not told & set(SERVERS[3:6]) | told & {"UNAUTHENTICATE", "LOGIN-REFERRALS"}
        assert "AUTH=BROWSERID-AES128" not in told

    def test_they_are_told_when_asked(self) -> None:
        lines = say("a CAPABILITY\n", OpenDoor(SERVERS)).lines
        assert lines[0].startswith(b"* CAPABILITY IMAP4rev1 ")
        assert lines[1].startswith(b"a OK ")

    def test_a_server_that_is_away_leaves_what_is_needed_to_log_in(self) -> None:
        assert set(words(say("").greeting)) >= {"IMAP4rev1", "AUTH=PLAIN", "SASL-IR"}

    def test_after_the_login_they_are_the_servers_of_then(self) -> None:
        door = OpenDoor(SERVERS, ("IMAP4rev1", "MOVE", "AUTH=GSSAPI", "STARTTLS", "QUOTA"))
        [line] = say(f"a LOGIN {USER} secret\n", door).lines
        assert line == b"a OK [CAPABILITY IMAP4rev1 MOVE QUOTA] logged in"

    def test_after_the_login_they_are_whole_however_many(self) -> None:
        offered = tuple(f"X-CAPABILITY-NUMBER-{number}" for number in range(100))
        [line] = say(f"a LOGIN {USER} secret\n", OpenDoor(SERVERS, offered)).lines
        assert line == f"a OK [CAPABILITY {' '.join(offered)}] logged in".encode()

    def test_what_is_not_fit_to_be_told_is_left_out(self) -> None:
        greeting = say("", OpenDoor(("IMAP4rev1", "X\x07Y", "é"))).greeting
        assert b"\x07" not in greeting
        assert greeting.isascii()


class TestLogins:
    @pytest.mark.parametrize(
        "text",
        [
            f"a LOGIN {USER} secret\n",
            f'a login "{USER}" "secret"\n',
            f"a LOGIN {{{len(USER)}}}\n{USER} {{6}}\nsecret\n",
            f"a LOGIN {{{len(USER)}+}}\n{USER} {{6+}}\nsecret\n",
            f"a LOGIN {USER} {{6-}}\nsecret\n",
            f"a AUTHENTICATE PLAIN {GOOD}\n",
            f"a authenticate plain\n{GOOD}\n",
        ],
    )
    def test_each_form(self, text: str) -> None:
        door = OpenDoor()
        outcome = say(text, door)
        assert outcome.logged_in is True
        assert outcome.lines[-1].startswith(b"a OK [CAPABILITY ")
        assert [(each.user, each.password) for each in door.logins] == [(USER, "secret")]

    def test_a_literal_is_asked_for_only_where_the_client_waits(self) -> None:
        assert say("a LOGIN {1}\nx {1+}\ny\n").lines[0] == b"+ go on"
        assert len(say("a LOGIN {1}\nx {1+}\ny\n").lines) == 2

    def test_an_empty_challenge(self) -> None:
        assert say(f"a AUTHENTICATE PLAIN\n{GOOD}\n").lines[0] == b"+ "

    def test_quotes_and_backslashes(self) -> None:
        door = OpenDoor(password='a"b\\c d')
        assert say(f'a LOGIN {USER} "a\\"b\\\\c d"\n', door).logged_in

    def test_a_name_and_a_password_of_any_script(self) -> None:
        door = OpenDoor(password="пароль")
        assert say('a LOGIN "алиса@пример.рф" "пароль"\n', door).logged_in
        assert door.logins[0].user == "алиса@пример.рф"

    def test_what_follows_is_kept_in_order(self) -> None:
        outcome = say(f"a NOOP\nb LOGIN {USER} secret\nc SELECT INBOX\nd FETCH 1 ALL\n")
        assert outcome.lines[0].startswith(b"a OK")
        assert outcome.rest == b"c SELECT INBOX\r\nd FETCH 1 ALL\r\n"

    def test_a_wrong_password_and_then_the_right_one(self) -> None:
        outcome = say(f"a LOGIN {USER} guess\nb AUTHENTICATE PLAIN {BAD}\nc LOGIN {USER} secret\n")
        assert [each.split(b" ", 3)[:3] for each in outcome.lines[:2]] == [
            [b"a", b"NO", b"[AUTHENTICATIONFAILED]"],
            [b"b", b"NO", b"[AUTHENTICATIONFAILED]"],
        ]
        assert outcome.logged_in

    def test_a_failure_that_passes(self) -> None:
        error = MailServerError(Code.HTTP_ERROR, "nobody answers", passes=True)
        [line] = say(f"a LOGIN {USER} secret\n", OpenDoor(error=error)).lines
        assert line == b"a NO [UNAVAILABLE] nobody answers"

    def test_a_reason_is_one_line_of_ascii(self) -> None:
        error = RemoteProtocolError(Code.BAD_AUDIENCE, "wäre\r\nb OK done " + "x" * 1000)
        [line] = say(f"a LOGIN {USER} secret\n", OpenDoor(error=error)).lines
        assert line.isascii()
        assert len(line) < 512

    def test_too_many_failures_end_it(self) -> None:
        with refused(Code.INVALID_USAGE):
            say(f"a LOGIN {USER} guess\n" * 9)

    def test_a_unix_socket_begins_logged_in(self) -> None:
        outcome = say("a NOOP\n", OpenDoor(SERVERS, ("IMAP4rev1", "MOVE"), trusted=True))
        assert outcome.greeting.startswith(b"* PREAUTH [CAPABILITY IMAP4rev1 MOVE] ")
        assert (outcome.logged_in, outcome.rest) == (True, b"a NOOP\r\n")

    def test_a_unix_socket_is_told_the_reason(self) -> None:
        error = MailServerError(Code.HTTP_ERROR, "nobody answers", passes=True)
        outcome = say("", OpenDoor(trusted=True, error=error))
        assert outcome.greeting == b"* BYE [UNAVAILABLE] nobody answers"
        assert outcome.logged_in is False


class TestBeforeTheLogin:
    @pytest.mark.parametrize(
        ("text", "answers"),
        [
            ("a NOOP\n", [b"a OK"]),
            ('a ID ("name" "program" "version" {1}\n3)\n', [b"+ go on", b"* ID NIL", b"a OK"]),
            ("a ENABLE CONDSTORE\n", [b"* ENABLED", b"a OK"]),
            ("a STARTTLS\n", [b"a BAD"]),
            ("a SELECT INBOX\n", [b"a BAD"]),
            ("a AUTHENTICATE\n", [b"a BAD"]),
            ("a AUTHENTICATE GSSAPI\n", [b"a NO [CANNOT]"]),
            ("a AUTHENTICATE PLAIN\n*\n", [b"+ ", b"a BAD"]),
            ("a AUTHENTICATE PLAIN =\n", [b"a BAD"]),
            ("a AUTHENTICATE PLAIN\n\n", [b"+ ", b"a BAD"]),
            ("a AUTHENTICATE PLAIN !!!\n", [b"a BAD"]),
            ("a LOGIN x\n", [b"a BAD"]),
            ('a LOGIN "x y\n', [b"a BAD"]),
            ("a LOGIN (x) y\n", [b"a BAD"]),
            ("a LOGIN x {2000}\n", [b"a BAD [TOOBIG]"]),
            ("a LOGIN x {9223372036854775808}\n", [b"a BAD [TOOBIG]"]),
            ("\n", [b"* BAD"]),
            ("a\n", [b"* BAD"]),
            ("{1} LOGIN x y\n", [b"* BAD"]),
        ],
    )
    def test_it_is_answered_and_the_next_command_too(self, text: str, answers: list[bytes]) -> None:
        outcome = say(text + "z LOGOUT\n")
        lines = outcome.lines
        assert len(lines) == len(answers) + 2
        for line, answer in zip(lines, answers, strict=False):
            assert line.startswith(answer), lines
        assert lines[-2].startswith(b"* BYE")
        assert lines[-1].startswith(b"z OK")
        assert outcome.logged_in is False

    @pytest.mark.parametrize("octets", [b"a LOGIN x \xff\r\n", b"a LOGIN x {1}\r\n\0\r\n"])
    def test_what_is_no_text(self, octets: bytes) -> None:
        assert say(octets).lines[-1].startswith(b"a BAD")

    def test_a_literal_that_comes_unasked_is_no_command(self) -> None:
        outcome = say(b"a LOGIN x {2000+}\r\n" + b"b LOGIN u p\r\n".ljust(2000) + b"\r\nz NOOP\r\n")
        assert [each.split()[0] for each in outcome.lines] == [b"a", b"z"]

    def test_nor_are_many_of_them(self) -> None:
        many = b"".join(b"{1000+}\r\n" + b"b LOGOUT\r\n" * 100 for _ in range(20))
        outcome = say(b"a ID (" + many + b")\r\nz NOOP\r\n")
        assert [each.split()[0] for each in outcome.lines] == [b"a", b"z"]

    @pytest.mark.parametrize(
        "octets",
        [
            b"x" * 100_000,
            b"a LOGIN " + b"x" * 9_000 + b"\r\n",
            b"a LOGIN x {9223372036854775808+}\r\n",
        ],
    )
    def test_what_has_no_end_ends_it(self, octets: bytes) -> None:
        with refused(Code.BUFFER_TOO_LONG):
            say(octets + b"z NOOP\r\n" * 1000)


GREETING = b"* OK [CAPABILITY IMAP4rev1] ready\r\n"
LISTED = b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=BROWSERID-AES128 AUTH=PLAIN\r\nB2 OK done\r\n"


class TestServer:
    def test_it_is_asked_under_tls_what_it_offers(self) -> None:
        stream = Octets(GREETING + b"B1 OK begin\r\n", LISTED)
        server = serve(ImapServer, stream)
        assert server.mechanisms == ["BROWSERID-AES128", "PLAIN"]
        assert stream.lines == [b"B2 CAPABILITY"]

    def test_implicit_tls(self) -> None:
        stream = Octets(GREETING + LISTED.replace(b"B2", b"B1"))
        assert serve(ImapServer, stream, Security.TLS).mechanisms == ["BROWSERID-AES128", "PLAIN"]

    @pytest.mark.parametrize(
        ("said", "code", "passes"),
        [
            (b"* BYE overloaded\r\n", Code.UNAVAILABLE, True),
            (b"* PREAUTH hello eve\r\n", Code.BAD_CONTEXT_TOKEN, False),
            (b"220 mail.example.org ESMTP\r\n", Code.BAD_CONTEXT_TOKEN, False),
            (GREETING + b"B1 NO not today\r\n", Code.WRONG_MECH, False),
            (GREETING + b"B1 BAD what\r\n", Code.WRONG_MECH, False),
            (GREETING + b"* BYE gone\r\n", Code.UNAVAILABLE, True),
            (GREETING + b"B7 OK\r\n", Code.BAD_CONTEXT_TOKEN, False),
            (GREETING + b"* X\r\n" * 100, Code.BUFFER_TOO_LONG, False),
            (GREETING + b"* X {9223372036854775808}\r\n", Code.BUFFER_TOO_LONG, False),
        ],
    )
    def test_what_it_may_not_say(self, said: bytes, code: Code, passes: bool) -> None:
        with refused(code, kind=MailServerError) as caught:
            serve(ImapServer, Octets(said))
        assert isinstance(caught.value, MailServerError)
        assert caught.value.passes is passes

    @pytest.mark.parametrize("octets", [b"* OK " + b"x" * 10_000, b"y" * 100_000])
    def test_a_line_without_an_end(self, octets: bytes) -> None:
        with refused(Code.BUFFER_TOO_LONG):
            serve(ImapServer, Octets(octets))

    def test_a_flood_of_capabilities(self) -> None:
        flood = b"* CAPABILITY " + b"X " * 300 + b"\r\nB1 OK done\r\n"
        with refused(Code.BUFFER_TOO_LONG):
            serve(ImapServer, Octets(GREETING + flood), Security.TLS)

    def authenticated(self, offered: str, answers: bytes) -> tuple[Verdict, list[bytes], list[str]]:
        async def run() -> tuple[Verdict, list[bytes], list[str]]:
            stream = Octets(answers)
            server = ImapServer(stream, Security.TLS)
            server.offer = offered.split()
            verdict = await server.authenticate(exchange())
            lines = stream.lines
            return verdict, lines, list(await server.after(verdict)) if verdict.accepted else []

        return asyncio.run(run())

    def test_with_an_initial_response(self) -> None:
        answers = b"+ Y2hhbGxlbmdl\r\nB1 OK [CAPABILITY IMAP4rev1 MOVE] done\r\n"
        verdict, lines, offered = self.authenticated("SASL-IR", answers)
        assert lines == [b"B1 AUTHENTICATE BROWSERID-AES128 aW5pdGlhbA==", b"answer Y2hhbGxlbmdl"]
        assert (verdict.accepted, offered) == (True, ["IMAP4rev1", "MOVE"])

    def test_without_one(self) -> None:
        answers = b"+ \r\n+ Y2hhbGxlbmdl\r\n* CAPABILITY IMAP4rev1 MOVE\r\nB1 OK done\r\n"
        _, lines, offered = self.authenticated("IMAP4rev1", answers)
        assert lines[:2] == [b"B1 AUTHENTICATE BROWSERID-AES128", b"aW5pdGlhbA=="]
        assert offered == ["IMAP4rev1", "MOVE"]

    def test_it_is_asked_what_it_has_not_said(self) -> None:
        answers = b"B1 OK done\r\n* CAPABILITY IMAP4rev1 QUOTA\r\nB2 OK done\r\n"
        assert self.authenticated("SASL-IR", answers)[2] == ["IMAP4rev1", "QUOTA"]

    def test_one_that_does_not_say_speaks_imap_at_least(self) -> None:
        answers = b"B1 OK done\r\nB2 BAD what\r\n"
        assert "IMAP4rev1" in self.authenticated("SASL-IR", answers)[2]

    @pytest.mark.parametrize(
        ("answer", "passes"),
        [
            (b"B1 NO [AUTHENTICATIONFAILED] no", False),
            (b"B1 NO [UNAVAILABLE] later", True),
            (b"B1 NO remote authentication server unavailable", True),  # as Cyrus imapd says it
        ],
    )
    def test_a_refusal(self, answer: bytes, passes: bool) -> None:
        verdict, _, _ = self.authenticated("SASL-IR", answer + b"\r\n")
        assert (verdict.accepted, verdict.passes) == (False, passes)
