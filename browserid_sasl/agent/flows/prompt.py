"""What a person is shown when they are to sign in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity.ports import IdentityRecord


@dataclass(frozen=True, slots=True)
class Prompt:
    """Where to sign in.

    :param link: the page to open.
    :param expires_in: seconds for which it is good.
    :param code: to be compared or typed on the page of a device; empty where a browser on this
        machine brings the answer.
    :param entry: the page where the code is typed, without it; empty without a code.
    :param heard: whether the browser's answer gets here by itself, if it is on this machine.
    """

    link: str
    expires_in: int
    code: str = ""
    entry: str = ""
    heard: bool = True


Show = Callable[[Prompt], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock that waits.

    :param now: the time in s, from any beginning.
    :param sleep: waits for so many seconds.
    """

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def real(cls) -> Pace:
        """The running event loop's."""
        return cls(asyncio.get_running_loop().time)


class Flow(Protocol):
    """A sign-in under way."""

    async def run(self, show: Show) -> IdentityRecord:
        """See it through to its end. What waits can be cancelled.

        :param show: is called once it is known where to sign in.
        :returns: what is to be kept.
        :raises CredentialError: it was refused or cancelled, or nobody answered in time.
        :raises DiscoveryError: the provider cannot be reached, or its answer makes no sense.
        """

    def paste(self, address: str) -> None:
        """Take the address that the browser shows in the end.

        :raises LocalProtocolError: it is not the one that is waited for.
        """


def not_that_address(why: str) -> LocalProtocolError:
    """The error to raise for what somebody pasted."""
    return LocalProtocolError(
        Code.INVALID_PARAMETER,
        f"that is not the address that is waited for: {why}",
        "copy all that is in the browser's address bar after signing in",
    )
