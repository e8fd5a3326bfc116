"""HTTPS servers on loopback that do exactly what a test says, good or bad."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme

Respond = Callable[[ssl.SSLSocket], None]
"""Writes whatever the server answers once it has read a request."""


@dataclass
class ScriptedServer:
    """A server that answers every request alike and remembers what it was asked.

    :param port: TCP port on loopback.
    :param requests: request lines, headers and bodies as they came.
    :param server_names: names that clients asked for by SNI.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)


def answer(
    body: bytes = b"{}",
    *,
    status: str = "200 OK",
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Respond:
    """A complete and correct answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    octets = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection: connection.sendall(octets)


@contextmanager
def scripted_server(
    certificate: trustme.LeafCert | None, respond: Respond
) -> Iterator[ScriptedServer]:
    """Serve on a free port of loopback until the block ends.

    :param certificate: None to speak no TLS at all.
    """
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        server = ScriptedServer(listening.getsockname()[1])
        context = _context(certificate, server) if certificate else None
        thread = threading.Thread(
            target=_accept, args=(listening, context, server, respond, stopping)
        )
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            thread.join()


def write_ca(authority: trustme.CA, folder: Path) -> Path:
    """The authority's certificate as a file."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's, with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _context(certificate: trustme.LeafCert, server: ScriptedServer) -> ssl.SSLContext:
    context = context_of(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def note(_connection: object, name: str | None, _context: object) -> None:
        server.server_names.append(name)

    context.sni_callback = note
    return context


def _accept(
    listening: socket.socket,
    context: ssl.SSLContext | None,
    server: ScriptedServer,
    respond: Respond,
    stopping: threading.Event,
) -> None:
    while not stopping.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        # A client that is right to hang up makes the server's writes fail.
        with connection, suppress(OSError):
            connection.settimeout(5)
            if context is None:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                continue
            with context.wrap_socket(connection, server_side=True) as secure:
                server.requests.append(_read_request(secure))
                respond(secure)


def _read_request(connection: ssl.SSLSocket) -> bytes:
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += connection.recv(65_536) or b"\r\n\r\n"
    head, _, body = octets.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value) and (more := connection.recv(65_536)):
                body += more
    return head + b"\r\n\r\n" + body
