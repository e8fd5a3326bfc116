"""Renews certificates: before they expire as long as the agent runs, else when one is needed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.credential import MARGIN_MS
from browserid_sasl.agent.service import people
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord

_LOOK_S: Final = 30.0
_EARLY: Final = (0.15, 0.3)
"""What part of a certificate's life is left when it is renewed: not the same for everybody, so that
those who signed in together do not come back together."""

_FIRST_PAUSE_MS: Final = 30_000
_LONGEST_PAUSE_MS: Final = 900_000


@dataclass(slots=True)
class _Pause:
    """When an identity is tried again whose renewal has failed.

    :param until: ms.
    :param length: ms, of the pause.
    """

    until: int
    length: int


class Renewals:
    """One person's. For the event loop's thread.

    :param clients: have their keys.
    :param clock: ms since the epoch.
    """

    def __init__(self, clients: Clients, clock: Callable[[], int]) -> None:
        self._clients = clients
        self._clock = clock
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._pauses: dict[str, _Pause] = {}
        self._early = random.uniform(*_EARLY)  # noqa: S311 - no secret

    async def renew(self, identity: str) -> bool:
        """See that there is a good certificate, without asking anybody.

        :returns: whether there is one now; False if it cannot be renewed.
        :raises RenewalOverError: it is renewed no more.
        :raises BrowserIDError: it cannot be renewed just now.
        """
        return await self._once(identity, self._clock() + MARGIN_MS)

    async def run(self) -> None:
        """Renew ahead of expiry, for ever."""
        while True:
            await self.look()
            # A clock of the wall's, looked at often: machines sleep, and are set right.
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Renew what is due. What fails is tried again later, less and less often."""
        try:
            stores = self._clients.stores
            records = await apart(lambda: list(stores.identities.all()))
        except BrowserIDError:
            return  # whoever wants to log in is told
        for record in records:
            # One that cannot be read is told of at the next login, and keeps no other from this.
            with suppress(BrowserIDError):
                if self._is_due(record, self._clock()):
                    await self._try(record)

    async def _try(self, record: IdentityRecord) -> None:
        try:
            await self._once(record.identity, record.expires)
        except BrowserIDError:
            last = self._pauses.get(record.identity)
            length = min(last.length * 2, _LONGEST_PAUSE_MS) if last else _FIRST_PAUSE_MS
            wait = int(length * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            self._pauses[record.identity] = _Pause(self._clock() + wait, length)
        else:
            self._pauses.pop(record.identity, None)

    def _is_due(self, record: IdentityRecord, now: int) -> bool:
        # The secret itself may be in the keyring.
        if not record.renewal_expires:
            return False
        pause = self._pauses.get(record.identity)
        if pause is not None and now < pause.until <= now + 2 * _LONGEST_PAUSE_MS:
            return False
        issued = Certificate.parse(record.certificate).issued_at
        return now >= record.expires - int((record.expires - issued) * self._early)

    async def _once(self, identity: str, before: int) -> bool:
        running = self._running.get(identity)
        if running is None:
            config, stores = self._clients.config, self._clients.stores
            running = asyncio.create_task(apart(people.renew, config, stores, identity, before))
            self._running[identity] = running
            running.add_done_callback(lambda task: self._end(identity, task))
        return await asyncio.shield(running)

    def _end(self, identity: str, task: asyncio.Task[bool]) -> None:
        del self._running[identity]
        # Whoever has waited for it may be gone.
        _ = task.cancelled() or task.exception()
