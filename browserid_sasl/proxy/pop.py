"""POP3 until the login (RFC 1939, RFC 2449, RFC 5034): with a mail program, and with a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from browserid_sasl.errors import Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.conversation import Conversation, only_printable
from browserid_sasl.proxy.credentials import Credentials, read_base64, read_plain, text
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.failures import MailServerError, no_reply, not_available, not_begun
from browserid_sasl.proxy.server import MOST_LINES, MailServer, may_pass

_LONGEST: Final = 12_288
"""Octets of a challenge (RFC 5034 section 4)."""

# UTF8 and LANG are commands of before the login, which the server is not asked.
_NOT_HERE: Final = frozenset(
    {"SASL", "STLS", "USER", "UTF8", "LANG", "RESP-CODES", "AUTH-RESP-CODE"}
)
_PASSING: Final = (b"[SYS/TEMP]", b"[IN-USE]", b"[LOGIN-DELAY]")


def before_login(offered: Sequence[str]) -> list[str]:
    """What a client is told of a server's capabilities before the login."""
    kept = [each for each in only_printable(offered) if _word(each) not in _NOT_HERE]
    return ["USER", "SASL PLAIN", "RESP-CODES", "AUTH-RESP-CODE", *kept]


def _word(capability: str) -> str:
    return capability.partition(" ")[0].upper()


class PopConversation(Conversation):
    """With a mail program."""

    kind = Kind.POP

    async def _greet(self) -> bool | None:
        self._user: bytes | None = None
        await self._say(f"+OK {self._door.host} by browserid".encode())
        return None

    async def _complain(self, why: str) -> None:
        await self._say(b"-ERR " + why.encode())

    async def _turn(self) -> bool | None:
        line = await self._client.line()
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"USER":
                self._user = rest
                await self._say(b"+OK now the password")
            case b"PASS":
                return await self._take_password(rest)
            case b"AUTH":
                return await self._authenticate(rest.split())
            case b"CAPA":
                lines = [each.encode() for each in before_login(self._door.offer)]
                await self._say(b"+OK", *lines, b".")
            case b"QUIT":
                await self._say(b"+OK until later")
                return False
            case b"STLS":
                await self._say(b"-ERR there is no TLS on loopback")
            case _:
                await self._say(b"-ERR log in first")
        return None

    async def _take_password(self, password: bytes) -> bool | None:
        user, self._user = self._user, None
        if user is None:
            await self._say(b"-ERR the name comes first: USER")
            return None
        # A password may well have spaces in it, and at its ends (RFC 1939 section 7).
        return await self._log_in(Credentials(text(user.strip()), text(password)))

    async def _authenticate(self, words: Sequence[bytes]) -> bool | None:
        if not words:
            await self._say(b"+OK", b"PLAIN", b".")
            return None
        if words[0].upper() != b"PLAIN" or len(words) > 2:
            await self._say(b"-ERR the mechanism here is PLAIN")
            return None
        response = words[1] if len(words) > 1 else await self._ask()
        if response == b"*":
            await self._say(b"-ERR cancelled")
            return None
        return await self._log_in(read_plain(read_base64(response)))

    async def _ask(self) -> bytes:
        await self._say(b"+ ")
        return await self._client.line()

    async def _log_in(self, credentials: Credentials) -> bool | None:
        if await self._admitted(credentials) is None:
            return None
        await self._say(self._speech.welcome("logged in"))
        return True


class PopServer(MailServer):
    """A server, until the login."""

    @property
    def mechanisms(self) -> list[str]:
        """The mechanisms that it offers."""
        return next((each.split()[1:] for each in self.offer if _word(each) == "SASL"), [])

    async def greet(self) -> None:
        """Take its greeting, have TLS begin, and ask what it offers."""
        greeting = await self._stream.line(_LONGEST)
        if not greeting.startswith(b"+OK"):
            raise not_available(greeting)
        if self._security is Security.STARTTLS:
            reply = await self._ask(b"STLS")
            if not reply.startswith(b"+OK"):
                raise not_begun(reply)
            await self._stream.start_tls()
        reply = await self._ask(b"CAPA")
        self.offer = await self._lines() if reply.startswith(b"+OK") else ()

    async def authenticate(self, exchange: Exchange) -> Verdict:
        """One exchange. Hardly a message would fit into the command's line of 255 octets."""
        reply = await self._ask(b"AUTH " + exchange.name)
        if _is_challenge(reply):
            reply = await self._ask(exchange.initial)
        while _is_challenge(reply):
            reply = await self._ask(exchange.answer(reply[2:].strip()))
        accepted = reply.startswith(b"+OK")
        passes = not accepted and may_pass(reply, _PASSING)
        return Verdict(accepted, reply, passes=passes)

    async def log_out(self) -> None:
        """Take leave."""
        await self._ask(b"QUIT")

    async def _ask(self, command: bytes) -> bytes:
        await self._stream.write(command + b"\r\n")
        reply = await self._stream.line(_LONGEST)
        if not (reply.startswith((b"+OK", b"-ERR")) or _is_challenge(reply)):
            raise no_reply(reply)
        return reply

    async def _lines(self) -> list[str]:
        lines: list[str] = []
        while (line := await self._stream.line()) != b".":
            lines.append(line.decode("ascii", "replace"))
            if len(lines) > MOST_LINES:
                raise MailServerError(Code.BUFFER_TOO_LONG, "the server's reply does not end")
        return lines


def _is_challenge(reply: bytes) -> bool:
    return reply == b"+" or reply.startswith(b"+ ")
