"""A mail server that keeps what it gets: as much of SMTP (RFC 5321) as one sender needs."""

from __future__ import annotations

import queue
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Final

from demo.stage import PATIENCE, StepFailedError

_ANSWERS: Final = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}


class Postbox(socketserver.ThreadingTCPServer):
    """Takes mail on a port of loopback that is free."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Sender)
        self.mails: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    @property
    def port(self) -> int:
        """Where it is."""
        port: int = self.server_address[1]
        return port

    def wait(self) -> EmailMessage:
        """The next mail.

        :raises StepFailedError: none comes.
        """
        try:
            octets = self.mails.get(timeout=PATIENCE)
        except queue.Empty:
            raise StepFailedError("no mail has come") from None
        message = message_from_bytes(octets.replace(b"\r\n", b"\n"), policy=default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - that policy makes no other
        return message


class _Sender(socketserver.StreamRequestHandler):
    """A connection to it."""

    server: Postbox

    def handle(self) -> None:
        self.wfile.write(b"220 postbox\r\n")
        for line in self.rfile:
            command = line[:4].upper()
            self.wfile.write(_ANSWERS.get(command, b"250 fine") + b"\r\n")
            if command == b"DATA":
                self.server.mails.put(b"".join(iter(self.rfile.readline, b".\r\n")))
                self.wfile.write(b"250 taken\r\n")
            elif command == b"QUIT":
                return


@contextmanager
def postbox() -> Iterator[Postbox]:
    """A mail server until the end of the block."""
    with Postbox() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
