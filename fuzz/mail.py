"""The mail proxy's conversations: what programs say on loopback, and what servers say."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from functools import partial
from typing import Final

from browserid_sasl.proxy.accounts import Kind, Security
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


TARGETS: Final = (
    *(
        Target(f"mail-program-{kind}", _converse(kind), partial(_PROGRAMS.__getitem__, kind))
        for kind in Kind
    ),
    *(
        Target(f"mail-server-{kind}", _greet(kind), partial(_SERVERS.__getitem__, kind))
        for kind in Kind
    ),
)
