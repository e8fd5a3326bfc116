"""What the proxy needs of the person's agent."""

from __future__ import annotations

import ssl
from typing import Protocol

from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.api import Client
from browserid_sasl.proxy.accounts import Accounts, Kind


class Person(Protocol):
    """Whose mail it is."""

    @property
    def accounts(self) -> Accounts:
        """Their accounts.

        :raises ConfigurationError: the configuration does not say where they are.
        """

    def client(self, kind: Kind, host: str, identity: str) -> Client:
        """What logs in to a server.

        :raises BrowserIDError: the configuration or a store cannot be used.
        """

    def tls(self) -> ssl.SSLContext:
        """What verifies servers.

        :raises BrowserIDError: the trust anchors cannot be read.
        """

    async def sign_in(self, error: SignInRequiredError) -> None:
        """Get a certificate for somebody: renew it, or have them sign in, once for all who wait.

        :raises BrowserIDError: what to tell the program: `error`, or what has come of it.
        """

    async def tell(self, about: str, text: str) -> None:
        """Tell the person, once in a while for each thing that it is about."""
