"""Log in to IMAP, SMTP, LDAP, XMPP and anything that speaks SASL with an e-mail identity.

    from browserid_sasl import Client, Server

`Server` and `Client` are all that most programs need; README.md shows each in twenty lines.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from browserid_sasl.api import Client, Server
    from browserid_sasl.config import Config, load
    from browserid_sasl.errors import BrowserIDError
    from browserid_sasl.gss.attributes import NameAttribute
    from browserid_sasl.sasl.channel_binding import ChannelBinding
    from browserid_sasl.sasl.result import Result

__all__ = [
    "BrowserIDError",
    "ChannelBinding",
    "Client",
    "Config",
    "NameAttribute",
    "Result",
    "Server",
    "load",
]

_HOMES: Final = {
    "BrowserIDError": "browserid_sasl.errors",
    "ChannelBinding": "browserid_sasl.sasl.channel_binding",
    "Client": "browserid_sasl.api",
    "Config": "browserid_sasl.config",
    "NameAttribute": "browserid_sasl.gss.attributes",
    "Result": "browserid_sasl.sasl.result",
    "Server": "browserid_sasl.api",
    "load": "browserid_sasl.config",
}


def __getattr__(name: str) -> object:
    # Loaded on demand: a service that only needs a part, or is slow to start, pays for no more.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
