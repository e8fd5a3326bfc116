"""Mail servers that say what they offer, and let nobody in."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from browserid_sasl.proxy.accounts import Kind
from tests.support.patience import PATIENCE

OURS: Final = ("BROWSERID-AES128-PLUS", "BROWSERID-AES128", "PLAIN")


class OfferingServer:
    """A server on loopback, with TLS from the first octet.

    :param kind: the protocol it speaks.
    :param certificate: PEM file with it and its key.
    :param mechanisms: those it lists; may be changed at any time.
    """

    def __init__(self, kind: Kind, certificate: Path, mechanisms: Sequence[str] = OURS) -> None:
        self.mechanisms = mechanisms
        self._kind = kind
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def serve(self) -> None:
        """Answer clients until `close`."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            # Whoever says nothing keeps nobody else waiting.
            threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection, suppress(OSError):
            with self._context.wrap_socket(connection, server_side=True) as secured:
                self._talk(secured.makefile("rwb", buffering=0))  # type: ignore[arg-type]

    def _talk(self, file: BinaryIO) -> None:
        greeting, answers = self._words
        file.write(greeting.encode())
        while line := file.readline(8192).decode(errors="replace"):
            tag, _, rest = line.strip().partition(" ")
            verb = (rest if self._kind is Kind.IMAP else tag).partition(" ")[0].upper()
            answer = answers.get(verb, answers[""])
            file.write(answer.replace("{tag}", tag).encode())

    @property
    def _words(self) -> tuple[str, Mapping[str, str]]:
        listed = " ".join(self.mechanisms)
        if self._kind is Kind.IMAP:
            offer = f"CAPABILITY IMAP4rev1 {' '.join(f'AUTH={each}' for each in self.mechanisms)}"
            return f"* OK [{offer}] ready\r\n", {
                "CAPABILITY": f"* {offer}\r\n{{tag}} OK done\r\n",
                "": "{tag} NO no\r\n",
            }
        if self._kind is Kind.POP:
            return "+OK ready\r\n", {"CAPA": f"+OK\r\nSASL {listed}\r\n.\r\n", "": "-ERR no\r\n"}
        if self._kind is Kind.SUBMISSION:
            offer = f"250-here\r\n250 AUTH {listed}\r\n"
            return "220 ready\r\n", {"EHLO": offer, "": "535 no\r\n"}
        offer = f'"IMPLEMENTATION" "test"\r\n"SASL" "{listed}"\r\n"VERSION" "1.0"\r\nOK\r\n'
        return offer, {"CAPABILITY": offer, "": "NO\r\n"}

    def close(self) -> None:
        """Have `serve` return."""
        self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def offering(certificate: Path) -> Iterator[Mapping[Kind, OfferingServer]]:
    """A server of each kind, until the end of the block."""
    servers = {kind: OfferingServer(kind, certificate) for kind in Kind}
    with ExitStack() as stack:
        for server in servers.values():
            thread = threading.Thread(target=server.serve, daemon=True)
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(server.close)
        yield servers
