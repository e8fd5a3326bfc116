"""Both ends of a mail conversation without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from browserid_sasl.errors import BrowserIDError
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.failures import WrongPasswordError
from browserid_sasl.proxy.stream import MAX_LINE, EndedError, LineTooLongError


@dataclass
class Octets:
    """A connection whose other end has said all it will say; a `ServerStream`.

    :param said: by the other end.
    :param secured: what it says under TLS, once that has begun.
    """

    said: bytes
    secured: bytes = b""
    written: bytearray = field(default_factory=bytearray)
    channel: object = None

    async def line(self, most: int = MAX_LINE) -> bytes:
        end = self.said.find(b"\n", 0, most + 2)
        if end < 0:
            raise LineTooLongError(most) if len(self.said) > most + 1 else EndedError()
        line, self.said = self.said[:end], self.said[end + 1 :]
        if len(line.removesuffix(b"\r")) > most:
            raise LineTooLongError(most)
        return line.removesuffix(b"\r")

    async def octets(self, count: int) -> bytes:
        if len(self.said) < count:
            raise EndedError
        taken, self.said = self.said[:count], self.said[count:]
        return taken

    async def skip(self, count: int) -> None:
        await self.octets(count)

    def put_back(self, data: bytes) -> None:
        self.said = data + self.said

    async def write(self, data: bytes) -> None:
        self.written += data

    async def start_tls(self) -> None:
        assert not self.said
        self.said, self.written, self.channel = self.secured, bytearray(), object()

    @property
    def lines(self) -> list[bytes]:
        """What was written, line by line."""
        return bytes(self.written).split(b"\r\n")[:-1]


@dataclass
class OpenDoor:
    """A `Door` that lets everybody in who has the password, or fails as it is told.

    :param offered: by the server, before the login and after it.
    :param error: what every login comes to.
    """

    offered: Sequence[str] = ()
    afterwards: Sequence[str] = ()
    trusted: bool = False
    password: str = "secret"
    error: BrowserIDError | None = None
    host: str = "mail.example.org"
    names: list[str] = field(default_factory=list)
    logins: list[Credentials] = field(default_factory=list)

    @property
    def offer(self) -> Sequence[str]:
        return self.offered

    async def introduce(self, name: str) -> Sequence[str]:
        self.names.append(name)
        return self.offered

    async def admit(self, credentials: Credentials) -> Sequence[str]:
        self.logins.append(credentials)
        if self.error is not None:
            raise self.error
        if credentials.password != self.password and not self.trusted:
            raise WrongPasswordError("alice@example.org")
        return self.afterwards
