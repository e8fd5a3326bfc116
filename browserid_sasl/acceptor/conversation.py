"""What is said on one connection: octets in, octets out, and the logins under way on it.

No socket is touched here. What cannot be answered at once is left to the host, which lets the
conversation go on when it can.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from browserid_sasl.acceptor.answers import (
    Answer,
    Refusal,
    Success,
    farewell,
    line,
)
from browserid_sasl.acceptor.contexts import ContextLogin, with_service
from browserid_sasl.acceptor.failures import Attempt, failure_of
from browserid_sasl.acceptor.greeting import BINDING_VERSION
from browserid_sasl.acceptor.journal import Journal
from browserid_sasl.acceptor.login import Login
from browserid_sasl.acceptor.programs import permitted
from browserid_sasl.acceptor.repeatable import Repeatable
from browserid_sasl.acceptor.requests import (
    Begin,
    Cancel,
    Continue,
    Malformed,
    Request,
    Version,
    parse,
)
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.config import ListenerConfig
from browserid_sasl.discovery.arrivals import DocumentName, DocumentNeeded
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError, StoreError
from browserid_sasl.gss.ports import Outcome
from browserid_sasl.gss.steps import Errand, Recording, Steps
from browserid_sasl.wire.lines import LineBuffer
from browserid_sasl.wire.peer import Peer

MAX_LOGINS: Final = 256
"""Logins under way on one connection."""

LOGIN_PATIENCE: Final = 150.0
"""Seconds that a person's program may take for one message."""

LOOKUP_PATIENCE: Final = 25.0
"""Seconds that a login waits for documents: less than programs wait for an answer."""


class Host(Protocol):
    """What a conversation needs of the worker that it is held in."""

    @property
    def servers(self) -> Servers:
        """Those of the configuration that is in force."""

    @property
    def journal(self) -> Journal:
        """Where outcomes are written down."""

    def clock(self) -> float:
        """Seconds of a clock that is never set."""

    def has_room(self) -> bool:
        """Whether another login may begin."""

    def count(self, change: int) -> None:
        """Logins have begun, or ended if it is less than 0."""

    def stepped(self, servers: Servers) -> None:
        """A login has made a step, and may have written to the stores of these servers."""

    def wait_for(self, servers: Servers, name: DocumentName, proceed: Callable[[], None]) -> bool:
        """Have a document fetched, then call `proceed` with it at hand; False if that is too much.

        :param servers: those whose document it is.
        """

    def record(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        """Have an assertion recorded along with others, then call `proceed` with the outcome."""

    def ask(self, errand: Errand, proceed: Callable[[object], None]) -> None:
        """Have something asked of the ticket store, then call `proceed` with the answer."""

    def send(self, data: bytes) -> None:
        """Send octets on the conversation's connection."""


class _Running:
    """A login under way.

    :param begin: what it began with.
    :param servers: of the configuration that it began with.
    :param since: when it began to wait for what it waits for.
    """

    def __init__(self, begin: Begin, servers: Servers, since: float) -> None:
        self.begin = begin
        self.servers = servers
        self.since = since
        self.login: Attempt | None = None
        self.waits_for_document = False
        self.waits_for_store = False
        self.logged = False


class Conversation:
    """One connection's conversation.

    :param host: the worker.
    :param listener: the options of the socket that it came through.
    :param peer: the program.
    """

    def __init__(self, host: Host, listener: ListenerConfig, peer: Peer) -> None:
        self._host = host
        self._listener = listener
        self._peer = peer
        self._lines = LineBuffer()
        self._minor: int | None = None
        self._logins: dict[int, _Running] = {}
        self.over = False

    @property
    def logins(self) -> int:
        """How many logins are under way."""
        return len(self._logins)

    def receive(self, data: bytes) -> None:
        """Take what the program has sent."""
        try:
            for text in self._lines.feed(data):
                request = parse(text)
                if request is not None:
                    self._handle(request)
                if self.over:
                    return
        except RemoteProtocolError as error:
            self._end(str(error))

    def close(self) -> None:
        """The connection is gone."""
        self.over = True
        for running in list(self._logins.values()):
            self._abandon(running, "the program is gone")

    def expire(self) -> None:
        """Fail the logins that have waited for too long."""
        now = self._host.clock()
        for running in list(self._logins.values()):
            waited = now - running.since
            if running.waits_for_document and waited > LOOKUP_PATIENCE:
                self._refuse(running, _busy("the identity provider has not answered in time"))
            elif waited > LOGIN_PATIENCE:
                # In silence: there are programs that take each line for the answer they wait for.
                self._abandon(running, "no answer came from the person's program")

    def _end(self, reason: str) -> None:
        self._host.journal.misunderstood(self._peer, reason)
        self._host.send(farewell(reason))
        self.close()

    def _handle(self, request: Request) -> None:
        match request:
            case Version(minor):
                self._minor = minor
            case _ if self._minor is None:
                self._end("the program has to say VERSION first")
            case Begin():
                self._begin(request)
            case Continue():
                self._continue(request)
            case Cancel(id):
                if id in self._logins:
                    self._abandon(self._logins[id], "the program has cancelled it")
            case Malformed(id, reason):
                self._malformed(id, reason)

    def _begin(self, begin: Begin) -> None:
        if begin.id in self._logins:
            self._end(f"the login {begin.id} is there already")
            return
        running = _Running(begin, self._host.servers, self._host.clock())
        full = len(self._logins) >= MAX_LOGINS or not self._host.has_room()
        # Counted before it is refused, so that each end of a login takes one away.
        self._logins[begin.id] = running
        self._host.count(1)
        if full:
            self._refuse(running, _busy("no further login can begin now"))
        elif begin.problem is not None:
            self._refuse(running, begin.problem)
        else:
            self._run(running, Repeatable(lambda: self._start(running)))

    def _start(self, running: _Running) -> Steps[Answer]:
        # Before the login may need a document, and so begin again.
        running.login = self._new_login(running)
        return (yield from running.login.start())

    def _new_login(self, running: _Running) -> Attempt:
        if running.begin.is_context:
            return self._new_context(running)
        begin = running.begin
        served = running.servers.find(begin, self._listener)
        return Login(begin, served, asks_for_bindings=self._asks_for_bindings)

    def _new_context(self, running: _Running) -> Attempt:
        begin = running.begin = with_service(running.begin)
        # First, so that what may not be asked costs nothing.
        section = permitted(running.servers.config, self._peer, begin.service)
        return ContextLogin(begin, running.servers.find(begin, self._listener), section)

    @property
    def _asks_for_bindings(self) -> bool:
        return (self._minor or 0) >= BINDING_VERSION

    def _continue(self, request: Continue) -> None:
        running = self._logins.get(request.id)
        if running is None:
            # It was given up, and the program does not know yet.
            self._host.send(line(request.id, _refusal_of(_late()), extended=False))
            return
        login = running.login
        # A step that is under way is not disturbed by the next message: it would be made twice.
        if running.waits_for_document or running.waits_for_store or login is None:
            self._refuse(running, _out_of_turn())
            return
        running.since = self._host.clock()
        self._run(running, Repeatable(lambda: login.proceed(request)))

    def _malformed(self, id: int, reason: BrowserIDError) -> None:
        if id in self._logins:
            self._refuse(self._logins[id], reason)
        else:
            self._host.journal.misunderstood(self._peer, str(reason))
            self._host.send(line(id, _refusal_of(reason), extended=False))

    def _run(self, running: _Running, step: Repeatable[Answer]) -> None:
        """Make a step, or have it made when the document that it needs is there."""
        running.waits_for_document = False
        self._host.stepped(running.servers)
        steps = step.steps()
        self._advance(running, step, steps, partial(next, steps))

    def _run_again(self, running: _Running, step: Repeatable[Answer]) -> None:
        if self._is_under_way(running):
            self._run(running, step)

    def _wait_for(self, running: _Running, name: DocumentName, step: Repeatable[Answer]) -> None:
        running.waits_for_document = True
        asked = self._host.wait_for(running.servers, name, lambda: self._run_again(running, step))
        if not asked:
            self._refuse(running, _busy("there are too many documents to fetch"))

    def _advance(
        self,
        running: _Running,
        step: Repeatable[Answer],
        steps: Steps[Answer],
        advance: Callable[[], Recording | Errand],
    ) -> None:
        """Go on with a step, as far as what the stores have to do before the rest of it."""
        try:
            needed = advance()
        except StopIteration as end:
            self._answer(running, end.value)
        except DocumentNeeded as document:
            self._wait_for(running, document.name, step)
        except BrowserIDError as error:
            self._refuse(running, error)
        else:
            running.waits_for_store = True
            go_on = partial(self._go_on_with, running, step, steps)
            if isinstance(needed, Recording):
                self._host.record(needed, go_on)
            else:
                self._host.ask(needed, go_on)

    def _go_on_with(
        self, running: _Running, step: Repeatable[Answer], steps: Steps[Answer], answer: object
    ) -> None:
        if self._is_under_way(running):
            running.waits_for_store = False
            self._advance(running, step, steps, partial(steps.send, answer))

    def _is_under_way(self, running: _Running) -> bool:
        """Whether nobody has given it up meanwhile."""
        return self._logins.get(running.begin.id) is running

    def _refuse(self, running: _Running, error: BrowserIDError) -> None:
        login = running.login
        if login is not None:
            login.failure = login.failure or failure_of(error)
        self._answer(running, _refusal_of(error))

    def _answer(self, running: _Running, answer: Answer) -> None:
        begin, login = running.begin, running.login
        journal = self._host.journal
        if isinstance(answer, Success | Refusal):
            self._forget(running)
        if isinstance(answer, Success) and login is not None:
            journal.succeeded(begin, login, self._peer)
        failure = answer.failure if isinstance(answer, Refusal) else login and login.failure
        if failure and not running.logged:
            running.logged = True
            claimed = login.claimed if login else b""
            journal.failed(begin, failure, claimed, self._peer)
        self._send(begin, answer)

    def _send(self, begin: Begin, answer: Answer) -> None:
        if self._knows_no_temporary_failure(answer):
            self.close()
            return
        self._host.send(line(begin.id, answer, extended=begin.extended))

    def _knows_no_temporary_failure(self, answer: Answer) -> bool:
        """Whether silence is the only way to say that nothing is wrong with the person.

        Postfix and Exim, which speak version 1.0, make a refusal of every ``FAIL``; of a
        connection that closes they make SMTP's 454 and 435. They ask one thing at a time.
        """
        temporary = isinstance(answer, Refusal) and answer.failure.temporary
        return temporary and self._minor == 0 and not self._logins

    def _abandon(self, running: _Running, why: str) -> None:
        self._forget(running)
        if not running.logged:
            self._host.journal.abandoned(running.begin, self._peer, why)

    def _forget(self, running: _Running) -> None:
        del self._logins[running.begin.id]
        self._host.count(-1)


def _refusal_of(error: BrowserIDError) -> Refusal:
    return Refusal(failure_of(error))


def _busy(what: str) -> StoreError:
    return StoreError(Code.UNAVAILABLE, what, "try again later")


def _late() -> RemoteProtocolError:
    return RemoteProtocolError(Code.NO_CONTEXT, "this login is over, or has taken too long")


def _out_of_turn() -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, "the client has spoken out of turn")
