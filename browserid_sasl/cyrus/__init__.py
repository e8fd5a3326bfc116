"""What the Cyrus SASL plugin calls.

The C half (plugin/browserid.c) makes a `ServerExchange` or a `ClientExchange` for each connection
and passes each message to its `take`, which never raises: whatever happens becomes an `Outcome`
with a SASL code, a line for the log and a sentence for `sasl_errdetail`.
"""

from __future__ import annotations

from typing import Any

from browserid_sasl.cyrus.exchange import ClientExchange, ServerExchange
from browserid_sasl.cyrus.facades import OPTIONS
from browserid_sasl.cyrus.interface import Connection, Outcome

__all__ = [
    "OPTIONS",
    "ClientExchange",
    "Connection",
    "Outcome",
    "ServerExchange",
    "client",
    "server",
]


def server(*connection: Any) -> ServerExchange:
    """A new exchange on a server. The arguments are those of `Connection`."""
    return ServerExchange(Connection(*connection))


def client(*connection: Any) -> ClientExchange:
    """A new exchange on a client. The arguments are those of `Connection`."""
    return ClientExchange(Connection(*connection))
