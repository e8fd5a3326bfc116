"""What all conversations with a client have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.proxy.accounts import Kind
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.door import Door
from browserid_sasl.proxy.speech import SPEECH
from browserid_sasl.proxy.stream import Stream

_MALFORMED: Final = (Code.BAD_CONTEXT_TOKEN, Code.INVALID_BASE64)
"""What is wrong with one command, and keeps no other from being read."""

MOST_TRIES: Final = 8
MOST_SKIPPED: Final = 1_048_576
"""Octets that a client may send where they are of no use."""

ANYBODY: Final = Credentials("", "")
"""The login of a client that has proven itself in another way."""


class Conversation(ABC):
    """Talks to one client until it is logged in, or goes.

    :param client: the connection to it.
    :param door: the way to the server.
    """

    kind: ClassVar[Kind]

    def __init__(self, client: Stream, door: Door) -> None:
        self._client = client
        self._door = door
        self._speech = SPEECH[self.kind]
        self._tries = 0

    async def run(self) -> bool:
        """Talk.

        :returns: whether the client is logged in, and the rest is between it and the server.
        :raises RemoteProtocolError: it has gone, or what it says cannot be followed.
        """
        done = await self._greet()
        while done is None:
            try:
                done = await self._turn()
            except RemoteProtocolError as error:
                if error.code not in _MALFORMED:
                    raise
                await self._complain(error.message)
        return done

    @abstractmethod
    async def _greet(self) -> bool | None:
        """Speak first. As for `_turn`."""

    @abstractmethod
    async def _turn(self) -> bool | None:
        """Take a command, and answer it.

        :returns: whether the client is logged in; None while that is open.
        """

    @abstractmethod
    async def _complain(self, why: str) -> None:
        """Say that the last command is malformed."""

    async def _say(self, *lines: bytes) -> None:
        await self._client.write(b"".join(line + b"\r\n" for line in lines))

    async def _admitted(self, credentials: Credentials, tag: bytes = b"") -> Sequence[str] | None:
        """Try a login; what the server offers then, or None when the client was told of a failure.

        :raises RemoteProtocolError: it has failed too often.
        """
        try:
            return await self._door.admit(credentials)
        except BrowserIDError as error:
            await self._refuse(error, tag)
            return None

    async def _refuse(self, error: BrowserIDError, tag: bytes = b"") -> None:
        await self._say(tag + self._speech.failure(error))
        self._tries += 1
        if self._tries >= MOST_TRIES:
            raise RemoteProtocolError(
                Code.INVALID_USAGE, "too many logins have failed", "connect again"
            )

    async def _skip(self, count: int) -> None:
        if count > MOST_SKIPPED:
            raise RemoteProtocolError(
                Code.BUFFER_TOO_LONG, "so much data cannot be sent before the login", "log in first"
            )
        await self._client.skip(count)


def only_printable(words: Sequence[str]) -> list[str]:
    """Those of a server's words that are fit to be repeated to a client."""
    return [word for word in words if word.isascii() and word.isprintable()]
