"""A mail server of the tests' own: IMAP over TLS, with real logins and messages of any size.

It runs in threads of this process, and can be told to behave badly.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trustme

from browserid_sasl.adapters.channel import bindings_of
from browserid_sasl.api import Server
from browserid_sasl.errors import BrowserIDError
from tests.support.patience import PATIENCE
from tests.support.ports import free_port

HOST: Final = "localhost"
MECHANISM: Final = "BROWSERID-AES128"
CHUNK: Final = bytes(1_048_576)

Talk = Callable[["Talking"], None]


class Talking:
    """One connection of a client.

    :param server: whose.
    """

    def __init__(self, server: MailboxServer, connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        self._file = connection.makefile("rb")

    def say(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> str:
        line = self._file.readline()
        if not line:
            raise EOFError
        return line.decode().rstrip("\r\n")

    def take(self, count: int) -> None:
        """Take so many octets, and forget them."""
        while count:
            taken = self._file.read1(min(count, len(CHUNK)))
            if not taken:
                raise EOFError
            count -= len(taken)

    def give(self, count: int) -> None:
        """Send so many octets."""
        while count:
            self.socket.sendall(CHUNK[:count])
            count -= min(count, len(CHUNK))
            self.server.given += min(count, len(CHUNK))


def imap(talking: Talking) -> None:
    """An IMAP server that is well-behaved."""
    talking.say("* OK ready")
    while True:
        tag, command, *words = talking.line().split(" ")
        talking.server.commands.append(command.upper())
        match command.upper():
            case "CAPABILITY":
                talking.say(
                    f"* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR AUTH={MECHANISM}"
                    f" AUTH={MECHANISM}-PLUS IDLE COMPRESS=DEFLATE",
                    f"{tag} OK done",
                )
            case "AUTHENTICATE":
                _authenticate(talking, tag, words)
            case "FETCH":
                talking.say(f"* 1 FETCH (BODY[] {{{words[0]}}}")
                talking.give(int(words[0]))
                talking.say(")", f"{tag} OK done")
            case "APPEND":
                count = re.search(r"\{(\d+)\+?\}$", words[-1])
                assert count is not None
                talking.say("+ go on")
                talking.take(int(count[1]) + 2)
                talking.say(f"{tag} OK done")
            case "LOGOUT":
                talking.say("* BYE", f"{tag} OK done")
                return
            case "LOGIN":
                talking.say(f"{tag} NO never")
            case _:
                talking.say(f"{tag} OK done")


def _authenticate(talking: Talking, tag: str, words: list[str]) -> None:
    assert isinstance(talking.socket, ssl.SSLSocket)
    bindings = {each.type: each.data for each in bindings_of(talking.socket)}
    login = talking.server.service.start(words[0], channel_bindings=bindings)
    if not words[1:]:
        talking.say("+ ")
        words.append(talking.line())
    try:
        challenge = login.step(base64.b64decode(words[1]))
        while challenge is not None:
            talking.say(f"+ {base64.b64encode(challenge).decode()}")
            challenge = login.step(base64.b64decode(talking.line()))
    except BrowserIDError as error:
        talking.say(f"{tag} NO [AUTHENTICATIONFAILED] {error.code.text}")
    else:
        talking.say(f"{tag} OK [CAPABILITY IMAP4rev1 IDLE MOVE] welcome")


class MailboxServer:
    """The server.

    :param folder: for its certificate's authority, `ca.pem`.
    :param service: judges the logins.
    :param talk: what it does with a connection.
    :param implicit: whether TLS begins at once.
    """

    def __init__(
        self, folder: Path, service: Server, talk: Talk = imap, *, implicit: bool = True
    ) -> None:
        self.service = service
        self.talk = talk
        self.implicit = implicit
        self.port = free_port()
        self.given = 0
        self.commands: list[str] = []
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST).configure_cert(self.tls)
        self._connections: set[socket.socket] = set()

    @contextmanager
    def running(self) -> Iterator[MailboxServer]:
        """The server until the end of the block."""
        with socket.create_server(("127.0.0.1", self.port), backlog=512) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            try:
                yield self
            finally:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                self.cut()

    def cut(self) -> None:
        """End all connections, as a network does that is gone."""
        for each in list(self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        connection.settimeout(PATIENCE)
        with suppress(OSError, EOFError, ValueError), connection:
            if self.implicit:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._connections.add(connection)
            with connection:
                self.talk(Talking(self, connection))
