"""Log in to IMAP, SMTP, LDAP, XMPP and anything that speaks SASL with an e-mail identity.

    from browserid_sasl import Client, Server

`Server` and `Client` are all that most programs need; README.md shows each in twenty lines. What is
promised to stay has a table at the end of docs/library.md; the rest of the package is our own.
"""

from __future__ import annotations

from browserid_sasl.api import Client, Server
from browserid_sasl.api.assertions import AssertionVerifier, VerifiedAssertion, get_assertion
from browserid_sasl.api.remote_verifier import RemoteVerifier
from browserid_sasl.attributes.claims import NameAttribute
from browserid_sasl.config import Config, load
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.result import Result

__version__ = "0.2.0"

__all__ = [
    "AssertionVerifier",
    "BrowserIDError",
    "ChannelBinding",
    "Client",
    "Config",
    "NameAttribute",
    "RemoteVerifier",
    "Result",
    "Server",
    "VerifiedAssertion",
    "get_assertion",
    "load",
]
