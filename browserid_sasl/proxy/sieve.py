"""ManageSieve until the login (RFC 5804): with a mail program, and with a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.conversation import Conversation
from browserid_sasl.proxy.credentials import read_base64, read_plain
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.failures import MailServerError, no_reply, not_available, not_begun
from browserid_sasl.proxy.server import MOST_LINES, MailServer, may_pass
from browserid_sasl.proxy.stream import MAX_LINE, Stream
from browserid_sasl.proxy.strings import escaped, read_strings

_LITERAL: Final = re.compile(rb"\{(\d{1,19})(\+?)\}$")
_MAX_LITERAL: Final = 6_144
_WORD: Final = re.compile(rb' *(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')
_NOT_HERE: Final = frozenset({"SASL", "STARTTLS", "UNAUTHENTICATE"})
_MINIMAL: Final = '"IMPLEMENTATION" "browserid"'


def before_login(offered: Sequence[str]) -> list[str]:
    """What a client is told of a server's capabilities before the login."""
    kept = [each for each in offered if each.isprintable() and _name(each) not in _NOT_HERE]
    return [*(kept or [_MINIMAL]), '"SASL" "PLAIN"']


def _name(capability: str) -> str:
    return capability.partition(" ")[0].strip('"').upper()


async def read_words(stream: Stream) -> list[bytes]:
    """The words of a line, and the strings in it, which may be literals.

    :raises RemoteProtocolError: bad-context-token for what are none, buffer-too-long for too many.
    """
    words: list[bytes] = []
    length = 0
    while True:
        line = await stream.line()
        length += len(line)
        literal = _LITERAL.search(line)
        text = line[: literal.start()] if literal else line
        words += read_strings(text.rstrip(), _WORD, "a quoted string does not end")
        if literal is None:
            return words
        count = int(literal[1])
        length += count
        if count > _MAX_LITERAL or length > 2 * MAX_LINE:
            raise RemoteProtocolError(Code.BUFFER_TOO_LONG, "this literal is too long here")
        words.append(await stream.octets(count))


class SieveConversation(Conversation):
    """With a mail program."""

    kind = Kind.SIEVE

    async def _greet(self) -> bool | None:
        await self._tell_capabilities()
        return None

    async def _complain(self, why: str) -> None:
        await self._say(f'NO "{why}"'.encode())

    async def _tell_capabilities(self) -> None:
        await self._say(*(each.encode() for each in before_login(self._door.offer)), b"OK")

    async def _turn(self) -> bool | None:
        words = await read_words(self._client)
        match words[0].upper() if words else b"":
            case b"AUTHENTICATE":
                return await self._authenticate(words[1:])
            case b"CAPABILITY":
                await self._tell_capabilities()
            case b"NOOP":
                await self._say(b"OK")
            case b"LOGOUT":
                await self._say(b"OK")
                return False
            case b"STARTTLS":
                await self._say(b'NO "there is no TLS on loopback"')
            case _:
                await self._say(b'NO "log in first"')
        return None

    async def _authenticate(self, words: Sequence[bytes]) -> bool | None:
        if not 1 <= len(words) <= 2 or words[0].upper() != b"PLAIN":
            await self._say(b'NO "the mechanism here is PLAIN"')
            return None
        response = words[1] if len(words) > 1 else await self._ask()
        if response == b"*":
            await self._say(b'NO "cancelled"')
            return None
        if await self._admitted(read_plain(read_base64(response))) is None:
            return None
        await self._say(self._speech.welcome("logged in"))
        return True

    async def _ask(self) -> bytes:
        await self._say(b'""')
        words = await read_words(self._client)
        if len(words) != 1:
            raise RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, "a response is one string")
        return words[0]


@dataclass(frozen=True, slots=True)
class _Reply:
    """A server's last line.

    :param word: OK, NO or BYE.
    :param words: what follows.
    """

    word: bytes
    words: Sequence[bytes]

    @property
    def text(self) -> bytes:
        return b" ".join((self.word, *self.words))

    @property
    def final(self) -> bytes | None:
        """The message that ends an exchange (RFC 5804 section 1.3, SASL), None without."""
        for number, each in enumerate(self.words[:-1]):
            if each.upper() == b"(SASL":
                return self.words[number + 1]
        return None


class SieveServer(MailServer):
    """A server, until the login."""

    @property
    def mechanisms(self) -> list[str]:
        """The mechanisms that it offers."""
        lists = [each for each in self.offer if _name(each) == "SASL"]
        return lists[0].partition(" ")[2].strip('"').split() if lists else []

    async def greet(self) -> None:
        """Take its greeting, and have TLS begin, after which it says anew what it offers."""
        await self._take_capabilities()
        if self._security is Security.STARTTLS:
            await self._stream.write(b"STARTTLS\r\n")
            reply = await self._read_last()
            if reply.word != b"OK":
                raise not_begun(reply.text)
            await self._stream.start_tls()
            await self._take_capabilities()

    async def _take_capabilities(self) -> None:
        lines: list[str] = []
        while len(lines) < MOST_LINES:
            words = await read_words(self._stream)
            word = words[0].upper() if words else b""
            if word == b"OK":
                self.offer = lines
                return
            if word in (b"NO", b"BYE"):
                raise not_available(b" ".join(words))
            lines.append(" ".join(map(_quote, words)))
        raise MailServerError(Code.BUFFER_TOO_LONG, "the server's list does not end")

    async def authenticate(self, exchange: Exchange) -> Verdict:
        """One exchange (RFC 5804 section 2.1)."""
        begin = b'AUTHENTICATE "%s" ' % exchange.name
        await self._stream.write(begin + _literal(exchange.initial))
        while not isinstance(reply := await self._read(), _Reply):
            await self._stream.write(_literal(exchange.answer(reply)))
        if reply.word == b"OK" and (final := reply.final) is not None:
            exchange.answer(final)
        passes = reply.word != b"OK" and may_pass(b" ".join(reply.words), (b"(TRYLATER",))
        return Verdict(reply.word == b"OK", reply.text, passes=passes)

    async def log_out(self) -> None:
        """Take leave."""
        await self._stream.write(b"LOGOUT\r\n")
        await self._read()

    async def _read_last(self) -> _Reply:
        reply = await self._read()
        if not isinstance(reply, _Reply):
            raise no_reply(reply)
        return reply

    async def _read(self) -> _Reply | bytes:
        """A reply, or a challenge."""
        words = await read_words(self._stream)
        if words and words[0].upper() in (b"OK", b"NO", b"BYE"):
            return _Reply(words[0].upper(), words[1:])
        if len(words) != 1:
            raise no_reply(b" ".join(words))
        return words[0]


def _quote(word: bytes) -> str:
    return f'"{escaped(word.decode(errors="replace"))}"'


def _literal(text: bytes) -> bytes:
    # A quoted string has 1,024 octets at the most.
    return b"{%d+}\r\n%s\r\n" % (len(text), text)
