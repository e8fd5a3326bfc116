"""The package ldap3 (RFC 4513 section 5.2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from browserid_sasl.adapters.login import Login, logins
from browserid_sasl.api import Client
from browserid_sasl.sasl.result import Result

if TYPE_CHECKING:
    import ldap3

_SUCCESS: Final = 0
_IN_PROGRESS: Final = 14
_LISTED: Final = "supportedSASLMechanisms"


def ldap3_login(
    connection: ldap3.Connection,
    client: Client,
    *,
    authzid: str = "",
    binding_critical: bool = False,
) -> Result:
    """Bind to an LDAP server.

    :param connection: open, and with TLS begun where it is wanted; not bound.
    :param client: who logs in, and where.
    :param authzid: the identity to act as; empty for one's own.
    :param binding_critical: whether to insist on binding to the channel.
    :raises BrowserIDError: nobody is signed in, or the server refuses.
    """
    if connection.closed:
        connection.open(read_server_info=False)
    offered = _mechanisms(connection)
    for login in logins(
        client, offered, connection.socket, authzid=authzid, binding_critical=binding_critical
    ):
        _bind(connection, login)
    result = login.result
    connection.bound = True
    connection.refresh_server_info()
    return result


def _mechanisms(connection: ldap3.Connection) -> list[str]:
    """What the server lists on this connection: it may change with TLS."""
    answer = connection.search("", "(objectClass=*)", "BASE", attributes=[_LISTED])
    if isinstance(answer, tuple):  # a strategy that is safe for threads
        entries = answer[2]
    elif connection.strategy.sync:
        entries = connection.response
    else:
        entries, _ = connection.get_response(answer)
    return [
        value if isinstance(value, str) else value.decode("ascii", "replace")
        for entry in entries or []
        for value in _values(entry)
    ]


def _values(entry: Mapping[str, Any]) -> list[str | bytes]:
    attributes: Mapping[str, Any] = entry.get("attributes", {})
    values = attributes.get(_LISTED, [])
    return values if isinstance(values, list) else [values]


def _bind(connection: ldap3.Connection, login: Login) -> None:
    connection.sasl_mechanism = login.name
    reply = _send(connection, login.initial)
    while reply["result"] == _IN_PROGRESS:
        response = login.answer(reply.get("saslCreds") or b"")
        if response is None:
            break
        reply = _send(connection, response)
    accepted = reply["result"] == _SUCCESS
    if accepted and reply.get("saslCreds"):
        login.answer(reply["saslCreds"])
    login.end(accepted=accepted, words=f"{reply['description']} {reply['message']}")


def _send(connection: ldap3.Connection, credentials: bytes) -> Mapping[str, Any]:
    # ldap3 is an extra's package: there if the caller has a connection of it.
    from ldap3.core.exceptions import LDAPOperationResult  # noqa: PLC0415
    from ldap3.protocol.sasl.sasl import send_sasl_negotiation  # noqa: PLC0415

    try:
        reply: Mapping[str, Any] = send_sasl_negotiation(  # type: ignore[no-untyped-call]
            connection, None, credentials
        )
    except LDAPOperationResult as error:  # with raise_exceptions=True
        return {
            "result": error.result,
            "description": error.description,
            "message": error.message,
            "saslCreds": None,
        }
    return reply
