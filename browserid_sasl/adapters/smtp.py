"""Python's smtplib, and aiosmtplib (RFC 4954)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from browserid_sasl.adapters.login import Login, logins
from browserid_sasl.api import Client
from browserid_sasl.sasl.result import Result

if TYPE_CHECKING:
    import smtplib

    import aiosmtplib

_ACCEPTED: Final = 235
_CHALLENGE: Final = 334
_LONGEST_COMMAND: Final = 510
"""Octets before the end of a line (RFC 5321 section 4.5.3.1.4)."""

_Exchange = Generator[bytes, tuple[int, bytes], None]


def smtplib_login(
    connection: smtplib.SMTP,
    client: Client,
    *,
    authzid: str = "",
    binding_critical: bool = False,
) -> Result:
    """Log in to an SMTP server.

    :param connection: to the server, best over TLS.
    :param client: who logs in, and where.
    :param authzid: the identity to act as; empty for one's own.
    :param binding_critical: whether to insist on binding to the channel.
    :raises BrowserIDError: nobody is signed in, or the server refuses.
    """
    connection.ehlo_or_helo_if_needed()
    offered = connection.esmtp_features.get("auth", "").split()
    for login in logins(
        client, offered, connection.sock, authzid=authzid, binding_critical=binding_critical
    ):
        exchange = _exchange(login)
        line = next(exchange, None)
        while line is not None:
            line = _send(exchange, *connection.docmd(line.decode("ascii")))
    return login.result


async def aiosmtplib_login(
    connection: aiosmtplib.SMTP,
    client: Client,
    *,
    authzid: str = "",
    binding_critical: bool = False,
) -> Result:
    """Log in to an SMTP server; the arguments and exceptions are those of `smtplib_login`."""
    if connection.is_ehlo_or_helo_needed:
        await connection.ehlo()
    offered = connection.server_auth_methods
    channel = connection.get_transport_info("ssl_object")
    for login in logins(
        client, offered, channel, authzid=authzid, binding_critical=binding_critical
    ):
        exchange = _exchange(login)
        line = next(exchange, None)
        while line is not None:
            reply = await connection.execute_command(line)
            line = _send(exchange, reply.code, reply.message.encode())
    return login.result


def _exchange(login: Login) -> _Exchange:
    """The lines of one exchange: yields what to send, and is sent what the server replies."""
    name, initial = login.name.encode("ascii"), login.initial_base64
    whole = b"AUTH " + name + b" " + initial
    if len(whole) <= _LONGEST_COMMAND:
        code, text = yield whole
    else:
        code, text = yield b"AUTH " + name
        if code == _CHALLENGE:
            code, text = yield initial
    while code == _CHALLENGE:
        code, text = yield login.answer_base64(text)
    login.end(accepted=code == _ACCEPTED, words=f"{code} {text.decode(errors='replace')}")


def _send(exchange: _Exchange, code: int, text: bytes) -> bytes | None:
    try:
        return exchange.send((code, text))
    except StopIteration:
        return None
