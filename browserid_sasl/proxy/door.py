"""What a conversation asks for: that a client be let in, and what the server offers. A port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from browserid_sasl.proxy.credentials import Credentials


class Door(Protocol):
    """The way to one account's server, for one client."""

    @property
    def host(self) -> str:
        """The server's name."""

    @property
    def trusted(self) -> bool:
        """Whether the client has proven itself already, and any login is as good as another."""

    @property
    def offer(self) -> Sequence[str]:
        """What the server offers before the login, in its own words; empty if it is not there."""

    async def introduce(self, name: str) -> Sequence[str]:
        """Tell the server the name that a client gives itself (SMTP's EHLO).

        :returns: what it offers then.
        """

    async def admit(self, credentials: Credentials) -> Sequence[str]:
        """Log in.

        :returns: what the server offers from then on, as far as the protocol says it.
        :raises BrowserIDError: why not, for the person to read.
        """
