"""A mail server, as far as the four protocols are alike until the login."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from browserid_sasl.proxy.accounts import Security
from browserid_sasl.proxy.exchange import Exchange, Verdict
from browserid_sasl.proxy.stream import ServerStream

MOST_LINES: Final = 64
"""Lines of a reply."""

_LIBSASL_UNAVAILABLE: Final = b"REMOTE AUTHENTICATION SERVER UNAVAILABLE"
"""What libsasl2 calls SASL_UNAVAIL, and Cyrus's servers say without a code that tells it apart."""


def may_pass(refusal: bytes, codes: Sequence[bytes]) -> bool:
    """Whether a login may succeed later that a server has refused.

    :param refusal: its words.
    :param codes: of its protocol for that, in upper case.
    """
    return any(each in refusal.upper() for each in (*codes, _LIBSASL_UNAVAILABLE))


class MailServer(ABC):
    """Speaks one protocol with one server. What it raises besides is what `Stream` does.

    :param stream: the connection to it.
    :param security: how TLS begins there.
    """

    def __init__(self, stream: ServerStream, security: Security) -> None:
        self._stream = stream
        self._security = security
        self.offer: Sequence[str] = ()

    @property
    @abstractmethod
    def mechanisms(self) -> Sequence[str]:
        """The SASL mechanisms in what it offers."""

    @abstractmethod
    async def greet(self) -> None:
        """Take its greeting, have TLS begin, and ask what it offers.

        :raises MailServerError: it does not let anybody in, or not in this way.
        """

    async def introduce(self, name: str) -> None:  # noqa: B027 - most protocols have no such thing
        """Tell it the name that the client gives itself, where the protocol has that."""

    @abstractmethod
    async def authenticate(self, exchange: Exchange) -> Verdict:
        """One exchange."""

    async def after(self, verdict: Verdict) -> Sequence[str]:
        """What it offers to who is logged in, as far as the client is to be told it.

        :param verdict: of the login.
        """
        return ()

    @abstractmethod
    async def log_out(self) -> None:
        """Take leave."""
