"""What programs use: a server and a client made from the configuration.

Everything below this package is handed its files, sockets, clock and randomness; here they are
opened. A `Server` or `Client` is made once and shared by threads; each login is a mechanism
object of its own.

What most logins do without (HTTP, X.509, SAML), or what is the other side's, is imported when it is
needed: a service that forks a process for each connection feels every import in its first login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from browserid_sasl.on_demand import names_of

if TYPE_CHECKING:
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

__getattr__ = names_of(
    __name__,
    {
        "browserid_sasl.api.client": ("CLIENT_DATABASE", "Client", "initiator_stores"),
        "browserid_sasl.api.environment": ("SYSTEM",),
        "browserid_sasl.api.server": ("SERVER_DATABASE", "Server", "acceptor_stores"),
    },
)
