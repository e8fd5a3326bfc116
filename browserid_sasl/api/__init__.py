"""What programs use: a server and a client made from the configuration.

Everything below this package is handed its files, sockets, clock and randomness; here they are
opened. A `Server` or `Client` is made once and shared by threads; each login is a mechanism
object of its own.
"""

from __future__ import annotations

from browserid_sasl.api.client import CLIENT_DATABASE, Client, initiator_stores
from browserid_sasl.api.environment import SYSTEM
from browserid_sasl.api.server import SERVER_DATABASE, Server, acceptor_stores

__all__ = [
    "CLIENT_DATABASE",
    "SERVER_DATABASE",
    "SYSTEM",
    "Client",
    "Server",
    "acceptor_stores",
    "initiator_stores",
]
