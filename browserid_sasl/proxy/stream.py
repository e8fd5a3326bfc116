"""What a conversation needs of a connection: a port, so that no conversation knows of sockets."""

from __future__ import annotations

from typing import Final, Protocol

from browserid_sasl.errors import Code, RemoteProtocolError

MAX_LINE: Final = 8_192
"""Octets of a line before the login, on either side."""


class EndedError(RemoteProtocolError):
    """The other end has closed the connection, or the network has."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, "the connection has ended", "try again")


class TooSlowError(RemoteProtocolError):
    """The other end took longer than it is given."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, "the other side did not answer in time", "try again")


class LineTooLongError(RemoteProtocolError):
    """A line has more octets than are read. Where the next one begins is not known any more."""

    def __init__(self, most: int) -> None:
        super().__init__(
            Code.BUFFER_TOO_LONG, f"a line may have {most} octets here, and this one has more"
        )


class Stream(Protocol):
    """One side's connection, until the login.

    All of it raises `EndedError` and `TooSlowError`.
    """

    async def line(self, most: int = MAX_LINE) -> bytes:
        """The next line, without its end.

        :param most: octets.
        :raises LineTooLongError: it has more.
        """

    async def octets(self, count: int) -> bytes:
        """So many octets, of which there are few."""

    async def skip(self, count: int) -> None:
        """Leave out so many octets, however many they are."""

    def put_back(self, data: bytes) -> None:
        """Have something read again, before what else there is."""

    async def write(self, data: bytes) -> None:
        """Send, and wait while the other side takes nothing."""


class ServerStream(Stream, Protocol):
    """The connection to a server."""

    @property
    def channel(self) -> object:
        """Its TLS, for the channel binding: an `ssl.SSLObject`, or None before it begins."""

    async def start_tls(self) -> None:
        """Begin TLS, and verify the server.

        :raises RemoteProtocolError: something came after the server's answer: somebody between may
            have put it there, to have it taken for the server's.
        :raises MailServerError: TLS does not come about.
        """
