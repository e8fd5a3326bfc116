"""Python's imaplib (RFC 9051 section 6.2.2)."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from browserid_sasl.adapters.login import Login, logins
from browserid_sasl.api import Client
from browserid_sasl.sasl.result import Result

if TYPE_CHECKING:
    import imaplib

_LISTED: Final = "AUTH="


def imaplib_login(
    connection: imaplib.IMAP4,
    client: Client,
    *,
    authzid: str = "",
    binding_critical: bool = False,
) -> Result:
    """Log in to an IMAP server.

    :param connection: to the server, best over TLS.
    :param client: who logs in, and where.
    :param authzid: the identity to act as; empty for one's own.
    :param binding_critical: whether to insist on binding to the channel.
    :raises BrowserIDError: nobody is signed in, or the server refuses.
    """
    offered = [
        capability.removeprefix(_LISTED)
        for capability in connection.capabilities
        if capability.startswith(_LISTED)
    ]
    channel = connection.socket()
    for login in logins(
        client, offered, channel, authzid=authzid, binding_critical=binding_critical
    ):
        _authenticate(connection, login)
    return login.result


def _authenticate(connection: imaplib.IMAP4, login: Login) -> None:
    """One exchange. imaplib has no initial response: the first challenge is empty."""
    begun = False

    def answer(challenge: bytes) -> bytes | None:
        nonlocal begun
        if begun or challenge:
            return login.answer(challenge)
        begun = True
        return login.initial

    try:
        connection.authenticate(login.name, answer)
    except connection.abort:
        raise
    except (connection.error, binascii.Error) as error:
        login.end(accepted=False, words=str(error))
    else:
        login.end(accepted=True, words="OK")
