"""What programs use: a server and a client made from the configuration.

Everything below this package is handed its files, sockets, clock and randomness; here they are
opened. A `Server` or `Client` is made once and shared by threads; each login is a mechanism
object of its own.

What most logins do without (HTTP, X.509, SAML), or what is the other side's, is imported when it is
needed: a service that forks a process for each connection feels every import in its first login.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from browserid_sasl.api.client import CLIENT_DATABASE, Client, initiator_stores
    from browserid_sasl.api.environment import SYSTEM, now_ms
    from browserid_sasl.api.server import SERVER_DATABASE, Server, acceptor_stores

__all__ = [
    "CLIENT_DATABASE",
    "SERVER_DATABASE",
    "SYSTEM",
    "Client",
    "Server",
    "acceptor_stores",
    "initiator_stores",
    "now_ms",
]

_HOMES: Final = {
    "CLIENT_DATABASE": "browserid_sasl.api.client",
    "Client": "browserid_sasl.api.client",
    "SERVER_DATABASE": "browserid_sasl.api.server",
    "SYSTEM": "browserid_sasl.api.environment",
    "Server": "browserid_sasl.api.server",
    "acceptor_stores": "browserid_sasl.api.server",
    "initiator_stores": "browserid_sasl.api.client",
    "now_ms": "browserid_sasl.api.environment",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
