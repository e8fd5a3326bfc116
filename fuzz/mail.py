"""The mail proxy's conversations: what programs say on loopback, and what servers say."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from functools import partial
from typing import Final

from browserid_sasl.proxy.accounts import Account, Kind, Security, Service
from browserid_sasl.proxy.answer import Answer
from browserid_sasl.proxy.session import CONVERSATIONS
from browserid_sasl.proxy.upstream import SERVERS
from fuzz.target import Target
from tests.support.conversing import Octets, OpenDoor

_PLAIN: Final = base64.b64encode(b"\0alice@example.org\0secret")
_SPLIT: Final = b"\0\0\0"
"""Between what a server says in the clear and what it says under TLS."""

_PROGRAMS: Final = {
    Kind.IMAP: (
        b"a CAPABILITY\r\nb LOGIN {5+}\r\nalice {6}\r\nsecret\r\n",
        b"a AUTHENTICATE PLAIN\r\n" + _PLAIN + b"\r\n",
        b'a ID ("name" {1}\r\nx)\r\nb LOGIN "a" "secret"\r\nc SELECT INBOX\r\n',
        b"a NOOP\r\nb LOGOUT\r\n",
    ),
    Kind.POP: (
        b"CAPA\r\nUSER alice\r\nPASS secret\r\n",
        b"AUTH PLAIN " + _PLAIN + b"\r\n",
        b"AUTH PLAIN\r\n*\r\nQUIT\r\n",
    ),
    Kind.SUBMISSION: (
        b"EHLO client.example.org\r\nAUTH PLAIN " + _PLAIN + b"\r\n",
        b"EHLO x\r\nAUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\nMAIL FROM:<>\r\n",
        b"BDAT 4 LAST\r\nQUITQUIT\r\n",
    ),
    Kind.SIEVE: (
        b'CAPABILITY\r\nAUTHENTICATE "PLAIN" "' + _PLAIN + b'"\r\n',
        b'AUTHENTICATE "PLAIN"\r\n{4+}\r\nAAAA\r\nLOGOUT\r\n',
    ),
}
_SERVERS: Final = {
    Kind.IMAP: (
        b"* OK [CAPABILITY IMAP4rev1] hi\r\nB1 OK begin\r\n"
        + _SPLIT
        + b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=X\r\nB2 OK done\r\n",
        b"* BYE full\r\n",
    ),
    Kind.POP: (b"+OK hi\r\n+OK begin\r\n" + _SPLIT + b"+OK\r\nTOP\r\nSASL X\r\n.\r\n",),
    Kind.SUBMISSION: (
        b"220 hi\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n" + _SPLIT + b"250-x\r\n250 AUTH X\r\n",
    ),
    Kind.SIEVE: (
        b'"SASL" "X"\r\nOK\r\nOK\r\n' + _SPLIT + b'"SIEVE" {1}\r\nx\r\n"SASL" "X"\r\nOK\r\n',
    ),
}


def _converse(kind: Kind) -> Callable[[bytes], object]:
    def read(octets: bytes) -> object:
        door = OpenDoor(("x", "AUTH=Y", "SIZE 1"), ("x",))
        return asyncio.run(CONVERSATIONS[kind](Octets(octets), door).run())

    return read


def _greet(kind: Kind) -> Callable[[bytes], object]:
    def read(octets: bytes) -> object:
        clear, _, secured = octets.partition(_SPLIT)
        server = SERVERS[kind](_Injectable(clear, secured), Security.STARTTLS)
        asyncio.run(server.greet())
        return server.mechanisms

    return read


class _Injectable(Octets):
    """What is left in the clear is dropped: that it is refused is the connection's affair."""

    async def start_tls(self) -> None:
        self.said = b""
        await super().start_tls()


def _ask(octets: bytes) -> object:
    answer = Answer()
    services = (Service(Kind.IMAP, "mail.example.org", 993, Security.TLS, 1143),)
    answer.accounts = (Account("alice@example.org", "alice@example.org", "", services),)
    answer.port = 1180
    # Somebody has sent something, if only the end of a line.
    return answer.reply_to(octets + b"\r\n")


_REQUESTS: Final = (
    b"GET /mail/config-v1.1.xml?emailaddress=alice%40example.org HTTP/1.1\r\n"
    b"Host: 127.0.0.1:1180\r\n\r\n",
    b"HEAD /v1.1/example.org HTTP/1.0\r\nHost: [::1]:1180\r\n\r\n",
    b"POST /v1.1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
)

TARGETS: Final = (
    Target("mail-settings-asked", _ask, lambda: _REQUESTS),
    *(
        Target(f"mail-program-{kind}", _converse(kind), partial(_PROGRAMS.__getitem__, kind))
        for kind in Kind
    ),
    *(
        Target(f"mail-server-{kind}", _greet(kind), partial(_SERVERS.__getitem__, kind))
        for kind in Kind
    ),
)
