"""The proxy: all services of all accounts, and the connections to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl.agent.apart import apart
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.proxy.accounts import Account, Kind, Service
from browserid_sasl.proxy.answer import Answer
from browserid_sasl.proxy.end import End, hold_little, keep_alive
from browserid_sasl.proxy.gate import Gate, is_own
from browserid_sasl.proxy.listeners import Listeners
from browserid_sasl.proxy.ports import Person
from browserid_sasl.proxy.session import Place, Session, run_within
from browserid_sasl.proxy.speech import SPEECH
from browserid_sasl.proxy.upstream import Upstream

MOST_CONNECTIONS: Final = 256
MOST_STRANGERS: Final = 224
"""Connections of clients that have not logged in yet."""
MOST_OF_SERVICE: Final = 208
"""Connections to one service: a program that does not get through leaves room for the others."""

_LOOK_S: Final = 30.0
FOLDER: Final = "mail"


@dataclass(frozen=True, slots=True)
class State:
    """How a service of an account is.

    :param socket: its Unix socket, None where its path would be too long.
    :param reason: why it does not listen; empty if it does.
    :param connections: of clients, just now.
    :param last_error: of its last login; empty if that succeeded.
    """

    account: Account
    service: Service
    socket: Path | None
    reason: str
    connections: int
    last_error: str


class _Open:
    """A service that is kept open."""

    def __init__(self, account: Account, service: Service) -> None:
        self.account = account
        self.service = service
        self.listeners: Listeners | None = None
        self.reason = ""
        self.last_error = ""
        self.tasks: set[asyncio.Task[None]] = set()

    def failed(self, error: BrowserIDError | None) -> None:
        self.last_error = "" if error is None else str(error)

    def place(self, *, trusted: bool) -> Place:
        return Place(self.account, self.service, trusted, self.failed)

    @property
    def state(self) -> State:
        path = self.listeners.path if self.listeners is not None else None
        connections = len(self.tasks)
        return State(self.account, self.service, path, self.reason, connections, self.last_error)

    def close(self) -> None:
        if self.listeners is not None:
            self.listeners.close()
        for task in self.tasks:
            task.cancel()


class Proxy:
    """All of one person's. For the event loop's thread.

    :param person: whose.
    :param folder: where the agent's socket is.
    :param changed: called when there are accounts, or none any more.
    """

    def __init__(self, person: Person, folder: Path, changed: Callable[[], None]) -> None:
        self._person = person
        self._folder = folder / FOLDER
        self._changed = changed
        self._gate = Gate(lambda: asyncio.get_running_loop().time())
        self._open: dict[tuple[Account, Service], _Open] = {}
        self._strangers: set[Session] = set()
        self._changing = asyncio.Lock()
        self._answer = Answer()
        self.answer_reason = ""
        hold_little()

    @property
    def has_accounts(self) -> bool:
        """Whether mail programs may come at any time."""
        return bool(self._open)

    async def run(self) -> None:
        """Keep all services open, for ever; what cannot be opened now is tried again."""
        while True:
            with suppress(BrowserIDError):
                await self.refresh()
            await asyncio.sleep(_LOOK_S)

    async def refresh(self) -> Sequence[State]:
        """Read the accounts again, and listen accordingly; how each service is.

        :raises BrowserIDError: the accounts cannot be read. Then all stays as it was.
        """
        async with self._changing:
            accounts = await apart(self._person.accounts.read)
            wanted = [(account, service) for account in accounts for service in account.services]
            for key in [key for key in self._open if key not in wanted]:
                self._open.pop(key).close()
            for account, service in wanted:
                await self._keep_open(account, service)
            await self._keep_answering(accounts)
        self._changed()
        return [each.state for each in self._open.values()]

    async def _keep_open(self, account: Account, service: Service) -> None:
        kept = self._open.setdefault((account, service), _Open(account, service))
        if kept.listeners is not None:
            return
        listeners = Listeners(
            service.local_port,
            self._folder / account.socket_name(service.kind),
            lambda end: self._meet(end, kept),
            lambda end: self._begin(end, kept, trusted=True),
        )
        try:
            await listeners.open()
        except OSError as error:
            kept.reason = f"port {service.local_port} cannot be had: {error.strerror}"
            # Whoever has it is told the passwords that mail programs send there.
            await self._person.tell(kept.reason, f"{account.name}, {service.kind}: {kept.reason}")
        else:
            kept.listeners, kept.reason = listeners, ""

    async def _keep_answering(self, accounts: Sequence[Account]) -> None:
        self._answer.accounts = accounts
        if not accounts:
            self._answer.close()
        elif self._answer.port is None:
            await self._begin_to_answer()

    async def _begin_to_answer(self) -> None:
        kept = await apart(lambda: self._person.accounts.answer_port)
        try:
            port = await self._answer.open(kept)
            if kept is None:
                await apart(self._person.accounts.keep_answer_port, port)
        except OSError as error:
            why = f"port {kept} cannot be had: {error.strerror}" if kept else str(error)
            self.answer_reason = why
            # Whoever has it can tell mail programs to send their passwords elsewhere.
            await self._person.tell(why, f"what mail programs ask for settings: {why}")
        except BrowserIDError as error:
            self._answer.close()
            self.answer_reason = str(error)
        else:
            self.answer_reason = ""

    @property
    def answer_port(self) -> int | None:
        """Where mail programs are told of the accounts; None for nowhere, see `answer_reason`."""
        return self._answer.port

    def _meet(self, end: End, kept: _Open) -> None:
        connection = end.transport.get_extra_info("socket")
        if not is_own(connection):
            end.transport.abort()
            return
        keep_alive(connection)
        self._begin(end, kept, trusted=False)

    def _begin(self, end: End, kept: _Open, *, trusted: bool) -> None:
        # Who comes by the Unix socket is no stranger.
        stranger = not trusted and len(self._strangers) >= MOST_STRANGERS
        if stranger or self._is_full or len(kept.tasks) >= MOST_OF_SERVICE:
            end.transport.write(SPEECH[kept.service.kind].goodbye("too many connections"))
            end.transport.close()
            return
        # Counted before anybody else is accepted: many may be in one turn of the loop.
        session = self._session(kept.place(trusted=trusted))
        task = asyncio.create_task(self._serve(session, end))
        kept.tasks.add(task)
        task.add_done_callback(kept.tasks.discard)

    @property
    def _is_full(self) -> bool:
        connections = sum(len(each.tasks) for each in self._open.values())
        return connections >= MOST_CONNECTIONS

    def _session(self, place: Place) -> Session:
        session = Session(place, self._person, self._gate, self._strangers.discard)
        if not place.trusted:
            self._strangers.add(session)
        return session

    async def _serve(self, session: Session, end: End) -> None:
        try:
            await run_within(session, end)
        finally:
            self._strangers.discard(session)

    async def pipe(self, end: End, identity: str, service: Service) -> None:
        """Serve a program that has asked the agent for a server.

        :param end: its connection.
        """
        account = Account(identity, identity, "", (service,))
        place = Place(account, service, trusted=True, failed=lambda _: None)
        await self._serve(self._session(place), end)

    async def attempt(self, name: str, kind: Kind) -> None:
        """Log in to a server, and out again.

        :raises BrowserIDError: what is in the way.
        """
        account = await apart(lambda: self._person.accounts.get(name))
        service = account.service(kind)
        if service is None:
            kinds = ", ".join(each.kind for each in account.services)
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"the account {account.name} has no service {kind}",
                f"it has {kinds}",
            )
        upstream = Upstream(account, service, self._person)
        try:
            await upstream.log_in()
            with suppress(RemoteProtocolError):  # it has let us in: that is what was asked
                await upstream.log_out()
        finally:
            upstream.close()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        for each in self._open.values():
            each.close()
        self._open.clear()
        self._answer.close()
