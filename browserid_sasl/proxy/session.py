"""One client: greeted, let in, and then a pipe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from browserid_sasl.agent.apart import apart
from browserid_sasl.errors import BrowserIDError, CredentialError, RemoteProtocolError
from browserid_sasl.proxy.accounts import Account, Kind, Service
from browserid_sasl.proxy.conversation import Conversation
from browserid_sasl.proxy.credentials import Credentials
from browserid_sasl.proxy.door import Door
from browserid_sasl.proxy.end import End
from browserid_sasl.proxy.failures import WrongPasswordError, passes
from browserid_sasl.proxy.gate import Gate
from browserid_sasl.proxy.imap import ImapConversation
from browserid_sasl.proxy.pipe import Pipe
from browserid_sasl.proxy.pop import PopConversation
from browserid_sasl.proxy.ports import Person
from browserid_sasl.proxy.sieve import SieveConversation
from browserid_sasl.proxy.smtp import SmtpConversation
from browserid_sasl.proxy.speech import SPEECH
from browserid_sasl.proxy.stream import EndedError, Stream
from browserid_sasl.proxy.upstream import Upstream

CONVERSATIONS: Final[Mapping[Kind, Callable[[Stream, Door], Conversation]]] = {
    Kind.IMAP: ImapConversation,
    Kind.POP: PopConversation,
    Kind.SUBMISSION: SmtpConversation,
    Kind.SIEVE: SieveConversation,
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a client has come for, and how.

    :param trusted: whether it has proven to be the person's own.
    :param failed: told of each failure that is the server's or the network's.
    """

    account: Account
    service: Service
    trusted: bool
    failed: Callable[[BrowserIDError | None], None]


class Session:
    """The way of one client to its server; a `Door` for its conversation.

    :param logged_in: called when it is.
    """

    def __init__(
        self, place: Place, person: Person, gate: Gate, logged_in: Callable[[Session], None]
    ) -> None:
        self._place = place
        self._person = person
        self._gate = gate
        self._logged_in = logged_in
        self._upstream = Upstream(place.account, place.service, person)

    @property
    def host(self) -> str:
        """The server's name."""
        return self._place.service.host

    @property
    def trusted(self) -> bool:
        """Whether the client has proven itself already."""
        return self._place.trusted

    @property
    def offer(self) -> Sequence[str]:
        """What the server offers before the login; empty if it is not there."""
        return self._upstream.offer

    async def run(self, client: End) -> None:
        """Serve a client until it goes."""
        try:
            # Who comes while the server is away is greeted all the same, and told at the login.
            with suppress(BrowserIDError):
                await self._upstream.connect()
            if await self._talk(client):
                self._logged_in(self)
                await Pipe(client, self._upstream.end).run()
        finally:
            self._upstream.close()

    async def _talk(self, client: End) -> bool:
        kind = self._place.service.kind
        try:
            return await CONVERSATIONS[kind](client, self).run()
        except EndedError:
            return False
        except RemoteProtocolError as error:
            with suppress(RemoteProtocolError):
                await client.write(SPEECH[kind].goodbye(str(error)))
            return False

    async def introduce(self, name: str) -> Sequence[str]:
        """Tell the server a client's name; see `Door.introduce`."""
        with suppress(BrowserIDError):
            return await self._upstream.introduce(name)
        return ()

    async def admit(self, credentials: Credentials) -> Sequence[str]:
        """Log in; see `Door.admit`."""
        account = self._place.account
        # Nothing is asked of the server, the provider or the person for whoever has not got it.
        if not self._place.trusted:
            password = await apart(self._person.accounts.password, account.name)
            await self._gate.check(account, password, credentials)
        try:
            offered = await self._upstream.log_in()
        except BrowserIDError as error:
            self._place.failed(error)
            await self._tell(error)
            raise
        self._place.failed(None)
        return offered

    async def _tell(self, error: BrowserIDError) -> None:
        """Tell the person what only they can mend; of a sign-in the agent has told already."""
        if not passes(error) and not isinstance(error, CredentialError | WrongPasswordError):
            place = self._place
            about = f"{place.account.name} {place.service.kind}"
            await self._person.tell(about, f"{place.account.name} at {self.host}: {error}")


async def run_within(session: Session, client: End) -> None:
    """Run a session to its end, and close the client's connection in order."""
    try:
        await session.run(client)
    finally:
        client.transport.close()
        asyncio.get_running_loop().call_later(1.0, client.transport.abort)
