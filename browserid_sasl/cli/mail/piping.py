"""`browserid mail pipe`: a server that is logged in to, on standard input and output."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Final

import click

from browserid_sasl.agent.service.caller import Caller
from browserid_sasl.proxy.accounts import Security
from browserid_sasl.proxy.finding.candidates import Candidate, read_option
from browserid_sasl.proxy.programs.settings import KINDS

_CHUNK: Final = 65_536


@click.command()
@click.option(
    "--as", "address", metavar="ADDRESS", default="", help="Who logs in, if not the default."
)
@click.argument("kind", type=click.Choice([*KINDS]))
@click.argument("server", metavar="HOST[:PORT][/tls|/starttls]")
def pipe(address: str, kind: str, server: str) -> None:
    """Be a connection to HOST that is logged in, for programs that take a command in place of one.

    IMAP begins with PREAUTH; the others take any login.
    """
    candidate = _first(kind, server)
    with Caller() as agent:
        connection = agent.pipe(
            candidate.kind,
            host=candidate.host,
            port=str(candidate.port),
            security=candidate.security,
            name=address,
        )
        sys.stdout.flush()
        threading.Thread(target=_send, args=(connection,), name="send", daemon=True).start()
        _receive(connection)


def _first(kind: str, server: str) -> Candidate:
    """The server that is meant; TLS from the first octet where nothing else is said."""
    named = read_option(server, KINDS[kind])
    return next((each for each in named if each.security is Security.TLS), named[0])


def _send(connection: socket.socket) -> None:
    with suppress(OSError):
        while octets := os.read(0, _CHUNK):
            connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)


def _receive(connection: socket.socket) -> None:
    # The other end of either may have gone: then all is said.
    with suppress(ConnectionError):
        while octets := connection.recv(_CHUNK):
            _write(octets)


def _write(octets: bytes) -> None:
    while octets:
        octets = octets[os.write(1, octets) :]
