"""SMTP submission until the login (RFC 6409, RFC 4954): with a mail program, and with a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.conversation import ANYBODY, Conversation, only_printable
from browserid_sasl.proxy.credentials import Credentials, read_base64, read_plain, text
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.failures import (
    MailServerError,
    no_reply,
    not_available,
    not_begun,
    said,
)
from browserid_sasl.proxy.server import MOST_LINES, MailServer

_OWN_NAME: Final = "[127.0.0.1]"
_NAME: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_CHUNK: Final = re.compile(rb"BDAT +(\d{1,19})(?: |$)", re.IGNORECASE)
_LONGEST_COMMAND: Final = 510
"""Octets before the end of a line (RFC 5321 section 4.5.3.1.4)."""

_NOT_HERE: Final = frozenset({"AUTH", "STARTTLS", "XCLIENT", "XFORWARD", "XEXCH50"})
_MAIL: Final = frozenset({b"MAIL", b"RCPT", b"DATA", b"BDAT", b"VRFY", b"EXPN", b"ETRN", b"BURL"})


def before_login(host: str, offered: Sequence[str]) -> list[str]:
    """The lines that answer a client's EHLO: the server's, with our mechanisms in place of its."""
    first, *rest = only_printable(offered) or [host]
    kept = [each for each in rest if re.split("[ =]", each.upper())[0] not in _NOT_HERE]
    return [first, *kept, "AUTH PLAIN LOGIN"]


def _reply(code: int, lines: Sequence[str]) -> list[bytes]:
    *others, last = lines
    return [*(f"{code}-{each}".encode() for each in others), f"{code} {last}".encode()]


class SmtpConversation(Conversation):
    """With a mail program."""

    kind = Kind.SUBMISSION

    async def _greet(self) -> bool | None:
        await self._say(f"220 {self._door.host} ESMTP browserid".encode())
        return None

    async def _complain(self, why: str) -> None:
        await self._say(b"501 5.5.2 " + why.encode())

    async def _turn(self) -> bool | None:
        line = await self._client.line()
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        match verb:
            case b"EHLO" | b"HELO" | b"LHLO":
                await self._introduce(verb, rest.strip())
            case b"AUTH":
                return await self._authenticate(rest.split())
            case b"QUIT":
                await self._say(b"221 2.0.0 until later")
                return False
            case b"NOOP" | b"RSET":
                await self._say(b"250 2.0.0 done")
            case b"HELP":
                await self._say(b"214 2.0.0 log in by AUTH PLAIN or AUTH LOGIN")
            case b"STARTTLS":
                await self._say(b"502 5.5.1 there is no TLS on loopback")
            case _ if verb in _MAIL:
                return await self._before_its_time(line)
            case _:
                await self._say(b"500 5.5.2 this is no command of SMTP")
        return None

    async def _introduce(self, verb: bytes, name: bytes) -> None:
        if verb == b"LHLO" or not _NAME.fullmatch(name):
            await self._say(b"501 5.5.4 EHLO has the name of the client")
            return
        # The server is told this name, which it writes into the message.
        offered = await self._door.introduce(name.decode("ascii"))
        lines = before_login(self._door.host, offered)
        await self._say(*_reply(250, lines if verb == b"EHLO" else lines[:1]))

    async def _before_its_time(self, line: bytes) -> bool | None:
        if self._door.trusted and line[:4].upper() == b"MAIL":
            return await self._begin_unasked(line)
        # Its octets follow at once, and are no commands.
        if chunk := _CHUNK.match(line):
            await self._skip(int(chunk[1]))
        await self._say(b"530 5.7.0 log in first")
        return None

    async def _begin_unasked(self, line: bytes) -> bool | None:
        """Log in a client that need not, by its first command of a message."""
        try:
            await self._door.admit(ANYBODY)
        except BrowserIDError as error:
            await self._refuse(error)
            return None
        self._client.put_back(line + b"\r\n")
        return True

    async def _authenticate(self, words: Sequence[bytes]) -> bool | None:
        mechanism = words[0].upper() if words else b""
        if mechanism not in (b"PLAIN", b"LOGIN") or len(words) > 2:
            await self._say(b"504 5.5.4 the mechanisms here are PLAIN and LOGIN")
            return None
        initial = words[1] if len(words) > 1 else None
        if mechanism == b"PLAIN":
            response = await self._ask(b"") if initial is None else initial
            credentials = None if response == b"*" else read_plain(read_base64(response))
        else:
            credentials = await self._ask_name_and_password(initial)
        if credentials is None:
            await self._say(b"501 5.7.0 cancelled")
            return None
        if await self._admitted(credentials) is None:
            return None
        await self._say(self._speech.welcome("logged in"))
        return True

    async def _ask_name_and_password(self, name: bytes | None) -> Credentials | None:
        if name is None:
            name = await self._ask(b"VXNlcm5hbWU6")  # Username:
        if name == b"*":
            return None
        password = await self._ask(b"UGFzc3dvcmQ6")  # Password:
        if password == b"*":
            return None
        return Credentials(text(read_base64(name)), text(read_base64(password)))

    async def _ask(self, challenge: bytes) -> bytes:
        await self._say(b"334 " + challenge)
        return await self._client.line()


class SmtpServer(MailServer):
    """A server, until the login."""

    @property
    def mechanisms(self) -> list[str]:
        """The mechanisms that it offers."""
        lists = [each.split()[1:] for each in self.offer[1:] if each.upper().startswith("AUTH ")]
        return lists[0] if lists else []

    async def greet(self) -> None:
        """Take its greeting, have TLS begin, and ask what it offers."""
        code, lines = await self._read()
        if code != 220:
            raise not_available(lines[-1], passes=code // 100 == 4)
        if self._security is Security.STARTTLS:
            await self.introduce(_OWN_NAME)
            code, lines = await self._ask(b"STARTTLS")
            if code != 220:
                raise not_begun(lines[-1])
            await self._stream.start_tls()
        await self.introduce(_OWN_NAME)

    async def introduce(self, name: str) -> None:
        """Tell it the client's name; what it offers may change."""
        code, lines = await self._ask(b"EHLO " + name.encode("ascii"))
        if code != 250:
            raise MailServerError(
                Code.UNAVAILABLE,
                f"the server does not like the name {name}: {said(lines[-1])}",
                passes=code // 100 == 4,
            )
        self.offer = [each.decode("ascii", "replace") for each in lines]

    async def authenticate(self, exchange: Exchange) -> Verdict:
        """One exchange (RFC 4954 section 4)."""
        begin = b"AUTH " + exchange.name
        whole = begin + b" " + exchange.initial
        if len(whole) <= _LONGEST_COMMAND:
            code, lines = await self._ask(whole)
        else:
            code, lines = await self._ask(begin)
            if code == 334:
                code, lines = await self._ask(exchange.initial)
        while code == 334:
            code, lines = await self._ask(exchange.answer(lines[-1].strip()))
        return Verdict(code == 235, b"%d %s" % (code, lines[-1]), passes=code // 100 == 4)

    async def log_out(self) -> None:
        """Take leave."""
        await self._ask(b"QUIT")

    async def _ask(self, command: bytes) -> tuple[int, list[bytes]]:
        await self._stream.write(command + b"\r\n")
        return await self._read()

    async def _read(self) -> tuple[int, list[bytes]]:
        """A reply: its code, and its lines without it."""
        lines: list[bytes] = []
        while len(lines) < MOST_LINES:
            line = await self._stream.line()
            if not re.match(rb"[2-5]\d\d(?:[ -]|$)", line):
                raise no_reply(line)
            lines.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), lines
        raise MailServerError(Code.BUFFER_TOO_LONG, "the server's reply does not end")
