"""Logs in to PostgreSQL by a mechanism that it chooses; it runs on Debian's python3-gssapi.

Its arguments are the host, the port, the mechanism's object identifier and the role.
"""

from __future__ import annotations

import socket
import struct
import sys

import gssapi

VERSION = 3 << 16
OK, GSS_CONTINUE = 0, 8


def message(connection: socket.socket) -> tuple[bytes, bytes]:
    """Its type and its body (chapter "Message Formats" of PostgreSQL's manual)."""
    kind, length = struct.unpack("!cI", connection.recv(5, socket.MSG_WAITALL))
    return kind, connection.recv(length - 4, socket.MSG_WAITALL)


def main(host: str, port: int, identifier: str, role: str) -> None:
    name = gssapi.Name(f"postgres@{host}", gssapi.NameType.hostbased_service)
    mechanism = gssapi.OID.from_int_seq(identifier)
    context = gssapi.SecurityContext(name=name, mech=mechanism, usage="initiate")
    with socket.create_connection((host, port)) as connection:
        start = struct.pack("!I", VERSION) + f"user\0{role}\0database\0postgres\0\0".encode()
        connection.sendall(struct.pack("!I", len(start) + 4) + start)
        while True:
            kind, body = message(connection)
            if kind != b"R":
                sys.exit(f"refused: {body!r}")
            [code] = struct.unpack("!I", body[:4])
            if code == OK:
                break
            token = context.step(body[4:] if code == GSS_CONTINUE else None)
            if token:
                connection.sendall(b"p" + struct.pack("!I", len(token) + 4) + token)
    print(f"logged in as {role}, by a context: {context.complete}")


main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
