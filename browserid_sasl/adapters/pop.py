"""Python's poplib, which has no command for it (RFC 5034)."""

from __future__ import annotations

import poplib
from typing import Final

from browserid_sasl.adapters.login import Login, logins
from browserid_sasl.api import Client
from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.sasl.result import Result

_LONGEST_LINE: Final = 12_288
"""Octets of a challenge (RFC 5034 section 4)."""


def poplib_login(
    connection: poplib.POP3,
    client: Client,
    *,
    authzid: str = "",
    binding_critical: bool = False,
) -> Result:
    """Log in to a POP3 server.

    :param connection: to the server, best over TLS.
    :param client: who logs in, and where.
    :param authzid: the identity to act as; empty for one's own.
    :param binding_critical: whether to insist on binding to the channel.
    :raises BrowserIDError: nobody is signed in, or the server refuses.
    """
    offered = connection.capa().get("SASL", [])
    for login in logins(
        client, offered, connection.sock, authzid=authzid, binding_critical=binding_critical
    ):
        _authenticate(connection, login)
    return login.result


def _authenticate(connection: poplib.POP3, login: Login) -> None:
    """One exchange. Hardly a message would fit into the command's line of 255 octets."""
    reply = _ask(connection, b"AUTH " + login.name.encode("ascii"))
    if reply == b"+":
        reply = _ask(connection, login.initial_base64)
    while reply.startswith(b"+ ") or reply == b"+":
        reply = _ask(connection, login.answer_base64(reply[2:]))
    login.end(accepted=reply.startswith(b"+OK"), words=reply.decode(errors="replace"))


def _ask(connection: poplib.POP3, line: bytes) -> bytes:
    connection.sock.sendall(line + b"\r\n")
    reply = connection.file.readline(_LONGEST_LINE + 1)
    if not reply:
        raise poplib.error_proto("-ERR EOF")
    if len(reply) > _LONGEST_LINE:
        raise RemoteProtocolError(Code.BUFFER_TOO_LONG, "the server's line is too long")
    return reply.rstrip()
