"""What runs the mechanism for the sample client: a SASL library, this package's own by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from browserid_sasl.api import Client
from browserid_sasl.attributes.claims import jwt_attributes
from browserid_sasl.cli.sample.outcome import describe, describe_attributes, members
from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the command line wants of a login.

    :param mechanism: the only one to use, None for the best that the server offers.
    :param authzid: who to act for, empty for oneself.
    :param binding: channel binding data, None without any.
    :param critical: whether the login has to be bound.
    """

    mechanism: str | None
    authzid: str
    binding: ChannelBinding | None
    critical: bool


class ClientExchange(Protocol):
    """One login, from the initial response on."""

    @property
    def name(self) -> str:
        """The mechanism's name as the server gets it."""

    @property
    def complete(self) -> bool:
        """Whether the server's part is verified; what is left is its word of success."""

    def step(self, challenge: bytes) -> bytes:
        """Take a challenge; the response, which may be empty.

        :raises BrowserIDError: the login has failed.
        """

    def describe(self) -> list[str]:
        """What is known of a login that is complete, in lines."""

    def members(self) -> dict[str, object]:
        """The same for programs."""


class SaslLibrary(Protocol):
    """Logs in to one service."""

    def start(self, offered: Sequence[str], wishes: Wishes) -> tuple[ClientExchange, bytes]:
        """Begin a login; it and the initial response.

        :param offered: the mechanisms the server lists.
        :raises BrowserIDError: there is nothing to begin with.
        """


class LibraryError(BrowserIDError):
    """A failure in the words of another library, which knows nothing of our reasons.

    :param kind: what SASL calls the kind of this failure.
    """

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(Code.UNKNOWN_ERROR_CODE, message, remedy)
        self.kind = kind


class NativeLibrary:
    """This package.

    :param client: for the service.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def start(self, offered: Sequence[str], wishes: Wishes) -> tuple[ClientExchange, bytes]:
        """See `SaslLibrary.start`."""
        start = partial(self._client.start, list(offered))
        if wishes.mechanism is not None:
            start = partial(self._client.start_with, wishes.mechanism)
        mechanism = start(
            authzid=wishes.authzid,
            channel_binding=wishes.binding,
            binding_critical=wishes.critical,
        )
        return _NativeExchange(mechanism), mechanism.step(None)


@dataclass(frozen=True, slots=True)
class _NativeExchange:
    mechanism: ClientMechanism

    @property
    def name(self) -> str:
        return self.mechanism.name

    @property
    def complete(self) -> bool:
        return self.mechanism.complete

    def step(self, challenge: bytes) -> bytes:
        return self.mechanism.step(challenge)

    def describe(self) -> list[str]:
        result = self.mechanism.result
        return [*describe(result), *describe_attributes(jwt_attributes(result.context))]

    def members(self) -> dict[str, object]:
        return members(self.mechanism.result)
