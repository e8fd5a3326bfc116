"""IMAP until the login (RFC 9051): with a mail program, and with a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.conversation import ANYBODY, Conversation, only_printable
from browserid_sasl.proxy.credentials import Credentials, read_base64, read_plain, text
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.failures import MailServerError, not_available, not_begun, said
from browserid_sasl.proxy.server import MailServer, may_pass
from browserid_sasl.proxy.stream import MAX_LINE, ServerStream
from browserid_sasl.proxy.strings import read_strings

_LITERAL: Final = re.compile(rb"\{(\d+)([+-]?)\}$")
MAX_LITERAL: Final = 1_024
_TAG: Final = re.compile(rb"[!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}")
MAX_CAPABILITIES: Final = 256
_MAX_UNTAGGED: Final = 64
_PASSING: Final = (b"[UNAVAILABLE]", b"[INUSE]", b"[SERVERBUG]", b"[LIMIT]", b"[CONTACTADMIN]")

_NOT_HERE: Final = frozenset(
    {"LOGINDISABLED", "STARTTLS", "SASL-IR", "LOGIN-REFERRALS", "UNAUTHENTICATE"}
)
_MINIMAL: Final = ("IMAP4rev1", "LITERAL+")


def before_login(offered: Sequence[str]) -> list[str]:
    """What a client is told of a server's capabilities before the login."""
    return [*(after_login(offered) or _MINIMAL), "SASL-IR", "AUTH=PLAIN"]


def after_login(offered: Sequence[str]) -> list[str]:
    """What of a server's capabilities is so for a client that is logged in."""
    return [
        each
        for each in only_printable(offered)
        if each.upper() not in _NOT_HERE and not each.upper().startswith("AUTH=")
    ]


@dataclass(frozen=True, slots=True)
class _Command:
    """A client's.

    :param name: in capitals.
    :param parts: what follows, and after each part but the last a literal.
    """

    tag: bytes
    name: bytes
    parts: Sequence[bytes]

    def strings(self) -> list[bytes]:
        """The arguments, if they are all atoms, quoted strings and literals.

        :raises RemoteProtocolError: they are something else.
        """
        found: list[bytes] = []
        for number, part in enumerate(self.parts):
            if number % 2:
                found.append(part)
            else:
                found += read_strings(part.rstrip(b" "), _STRING, _NO_ARGUMENTS)
        return found


_STRING: Final = re.compile(rb' *(?:"((?:[^"\\]|\\["\\])*)"|([^\s"(){%*\\\x00-\x1f\x7f]+))(?= |$)')

_NO_ARGUMENTS: Final = "these are no arguments of this command"


class ImapConversation(Conversation):
    """With a mail program."""

    kind = Kind.IMAP

    async def _greet(self) -> bool | None:
        if self._door.trusted:
            return await self._begin_logged_in()
        capabilities = " ".join(before_login(self._door.offer))
        await self._say(f"* OK [CAPABILITY {capabilities}] {self._door.host} by browserid".encode())
        return None

    async def _turn(self) -> bool | None:
        command = await self._command()
        if command is None:
            return None
        self._tag = command.tag
        return await self._follow(command)

    async def _complain(self, why: str) -> None:
        await self._say(self._tag + b" BAD " + why.encode())

    async def _begin_logged_in(self) -> bool:
        try:
            offered = await self._door.admit(ANYBODY)
        except BrowserIDError as error:
            await self._say(b"* BYE " + self._speech.failure(error).removeprefix(b"NO "))
            return False
        capabilities = " ".join(after_login(offered))
        await self._say(
            f"* PREAUTH [CAPABILITY {capabilities}] {self._door.host} by browserid".encode()
        )
        return True

    async def _command(self) -> _Command | None:
        """The next command; None for one that was refused already."""
        line = await self._client.line()
        tag, _, rest = line.partition(b" ")
        if not _TAG.fullmatch(tag) or not rest:
            await self._say(b"* BAD a command is a tag, a space and a word")
            return None
        name, _, part = rest.partition(b" ")
        parts, length = [part], len(line)
        while literal := _LITERAL.search(parts[-1]):
            count = _count(literal)
            length += count
            if count > MAX_LITERAL or length > MAX_LINE:
                await self._refuse_literal(tag, count, waits=not literal[2])
                return None
            if not literal[2]:
                await self._say(b"+ go on")
            parts[-1] = parts[-1][: literal.start()]
            parts.append(await self._client.octets(count))
            parts.append(await self._client.line(MAX_LINE))
            length += len(parts[-1])
        return _Command(tag, name.upper(), parts)

    async def _refuse_literal(self, tag: bytes, count: int, *, waits: bool) -> None:
        # What a client sends without waiting is no command, and neither is what follows it.
        while not waits:
            await self._skip(count)
            literal = _LITERAL.search(await self._client.line())
            if literal is None:
                break
            count, waits = _count(literal), not literal[2]
        await self._say(tag + b" BAD [TOOBIG] this literal is too long before the login")

    async def _follow(self, command: _Command) -> bool | None:
        """Do what is asked; whether the client is logged in, None while that is open."""
        tag = command.tag
        match command.name:
            case b"LOGIN":
                return await self._log_in(tag, _of_login(command.strings()))
            case b"AUTHENTICATE":
                return await self._authenticate(tag, command.strings())
            case b"CAPABILITY":
                capabilities = " ".join(before_login(self._door.offer)).encode()
                await self._say(b"* CAPABILITY " + capabilities, tag + b" OK done")
            case b"NOOP":
                await self._say(tag + b" OK done")
            case b"ID":
                await self._say(b"* ID NIL", tag + b" OK done")
            case b"ENABLE":
                await self._say(b"* ENABLED", tag + b" OK nothing is enabled before the login")
            case b"LOGOUT":
                await self._say(b"* BYE until later", tag + b" OK done")
                return False
            case b"STARTTLS":
                await self._say(tag + b" BAD there is no TLS on loopback")
            case _:
                await self._say(tag + b" BAD log in first")
        return None

    async def _authenticate(self, tag: bytes, words: Sequence[bytes]) -> bool | None:
        if not words or len(words) > 2:
            raise _malformed("AUTHENTICATE has a mechanism, and a response if there is one")
        if words[0].upper() != b"PLAIN":
            await self._say(tag + b" NO [CANNOT] the mechanism here is PLAIN")
            return None
        if len(words) == 1:
            await self._say(b"+ ")
            response = await self._client.line()
        else:
            response = words[1]
        if response == b"*":
            await self._say(tag + b" BAD cancelled")
            return None
        return await self._log_in(tag, read_plain(read_base64(response)))

    async def _log_in(self, tag: bytes, credentials: Credentials) -> bool | None:
        offered = await self._admitted(credentials, tag + b" ")
        if offered is None:
            return None
        # Not one of the sentences, which are cut: a list is whole or a lie.
        capabilities = " ".join(after_login(offered)).encode()
        await self._say(tag + b" OK [CAPABILITY " + capabilities + b"] logged in")
        return True


def _count(literal: re.Match[bytes]) -> int:
    return int(literal[1]) if len(literal[1]) < 10 else 10**10


def _of_login(words: Sequence[bytes]) -> Credentials:
    if len(words) != 2:
        raise _malformed("LOGIN has a name and a password")
    return Credentials(text(words[0]), text(words[1]))


def _malformed(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, why)


@dataclass(frozen=True, slots=True)
class _Reply:
    """A server's to one command.

    :param line: the last one, without its tag.
    :param untagged: those before it.
    """

    line: bytes
    untagged: Sequence[bytes]

    @property
    def ok(self) -> bool:
        return self.line[:3].upper() in (b"OK", b"OK ")


class ImapServer(MailServer):
    """A server, until the login.

    :param stream: the connection to it.
    :param security: how TLS begins there.
    """

    def __init__(self, stream: ServerStream, security: Security) -> None:
        super().__init__(stream, security)
        self._count = 0
        self._tag = b""
        self._seen: list[bytes] = []
        self._leaving = False

    @property
    def mechanisms(self) -> list[str]:
        """The mechanisms that it offers."""
        words = (each.partition("=") for each in self.offer)
        return [value for name, _, value in words if name.upper() == "AUTH"]

    async def greet(self) -> None:
        """Take its greeting, have TLS begin, and ask what it offers.

        :raises MailServerError: it does not let anybody in, or not in this way.
        """
        line = await self._stream.line()
        if line[:4].upper() == b"* BY":
            raise not_available(line)
        # One that has logged somebody in by itself has seen none of our logins (RFC 9051,
        # section 11.1: before STARTTLS it may be somebody else who says it).
        if line[:4].upper() != b"* OK":
            raise MailServerError(Code.BAD_CONTEXT_TOKEN, f"this is no greeting: {said(line)}")
        if self._security is Security.STARTTLS:
            reply = await self._ask(b"STARTTLS")
            if not reply.ok:
                raise not_begun(reply.line)
            await self._stream.start_tls()
        self.offer = _capabilities([], await self._ask(b"CAPABILITY"))

    async def authenticate(self, exchange: Exchange) -> Verdict:
        """One exchange (RFC 9051 section 6.2.2)."""
        begin = b"AUTHENTICATE " + exchange.name
        with_initial = "SASL-IR" in map(str.upper, self.offer)
        await self._send(begin + b" " + exchange.initial if with_initial else begin)
        if not with_initial and (line := await self._next())[:1] == b"+":
            await self._stream.write(exchange.initial + b"\r\n")
        elif not with_initial:
            return self._verdict(line)
        while (line := await self._next())[:1] == b"+":
            await self._stream.write(exchange.answer(line[1:].strip()) + b"\r\n")
        return self._verdict(line)

    async def after(self, verdict: Verdict) -> Sequence[str]:
        """What it offers to who is logged in; it is asked if it has not said it."""
        self.offer = _capabilities(self._seen, _Reply(verdict.line, ()))
        if not self.offer:
            self.offer = _capabilities([], await self._ask(b"CAPABILITY"))
        return self.offer or _MINIMAL

    async def log_out(self) -> None:
        """Take leave."""
        self._leaving = True
        await self._ask(b"LOGOUT")

    async def _ask(self, command: bytes) -> _Reply:
        await self._send(command)
        return self._reply(await self._next())

    def _reply(self, line: bytes) -> _Reply:
        if not line.startswith(self._tag):
            raise MailServerError(Code.BAD_CONTEXT_TOKEN, f"this is no answer: {said(line)}")
        return _Reply(line.removeprefix(self._tag), self._seen)

    async def _send(self, command: bytes) -> None:
        self._count += 1
        self._tag = b"B%d " % self._count
        self._seen = []
        await self._stream.write(self._tag + command + b"\r\n")

    async def _next(self) -> bytes:
        """The next line that is not untagged; those are kept."""
        while (line := await self._stream.line())[:2] == b"* ":
            if line[2:5].upper() == b"BYE" and not self._leaving:
                raise not_available(line)
            self._seen.append(line[2:])
            if len(self._seen) > _MAX_UNTAGGED or _LITERAL.search(line):
                raise MailServerError(
                    Code.BUFFER_TOO_LONG, "the server says more than it is asked before the login"
                )
        return line

    def _verdict(self, line: bytes) -> Verdict:
        reply = self._reply(line)
        rest, accepted = reply.line, reply.ok
        passes = not accepted and may_pass(rest, _PASSING)
        return Verdict(accepted, rest, passes=passes)


_CODE: Final = re.compile(rb"\w+ \[CAPABILITY ([^\]]*)\]", re.IGNORECASE)


def _capabilities(untagged: Sequence[bytes], reply: _Reply) -> list[str]:
    """What a reply says of capabilities; empty if it says nothing."""
    lists = [
        each[len(b"CAPABILITY ") :]
        for each in (*untagged, *reply.untagged)
        if each[:11].upper() == b"CAPABILITY "
    ]
    lists += [match[1] for match in [_CODE.match(reply.line)] if match]
    words = lists[-1].decode("ascii", "replace").split() if lists else []
    if len(words) > MAX_CAPABILITIES:
        raise MailServerError(Code.BUFFER_TOO_LONG, "the server lists too many capabilities")
    return words
