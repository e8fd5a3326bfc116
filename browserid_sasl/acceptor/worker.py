"""A process that accepts logins: one thread, one loop, any number of connections."""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from browserid_sasl.acceptor.balance import Balance
from browserid_sasl.acceptor.batch import Batch, answer_to
from browserid_sasl.acceptor.conversation import Conversation
from browserid_sasl.acceptor.errands import Errands
from browserid_sasl.acceptor.greeting import greeting
from browserid_sasl.acceptor.journal import Journal
from browserid_sasl.acceptor.listeners import Listener
from browserid_sasl.acceptor.log import Log, Priority
from browserid_sasl.acceptor.lookups import Lookups
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.discovery.arrivals import DocumentName
from browserid_sasl.errors import BrowserIDError, Code, StoreError
from browserid_sasl.gss.ports import Outcome
from browserid_sasl.gss.steps import Errand, Recording
from browserid_sasl.sasl.results import describe_surprise
from browserid_sasl.wire.peer import Peer, peer_of

MAX_LOGINS: Final = 10_000
"""Logins under way in one worker."""

MAX_BATCH: Final = 64
"""So many logins are written down at once. Other workers wait meanwhile, and so do the first."""

TICK: Final = 1.0
"""Seconds between two looks at what has waited for too long; the parent hears from us as often."""

ACCEPTED_AT_ONCE: Final = 16
HELD_BACK: Final = 0.002
"""Seconds that a worker which has more connections than another leaves new ones to that."""

_READ_SIZE: Final = 65_536
_HIGH_WATER: Final = 262_144
"""Octets that wait to be sent, from which on nothing more is read."""

_WRITE_PATIENCE: Final = 30.0
"""Seconds for which a program may take nothing of what is sent to it."""

_FULL_PERIOD: Final = 10.0
"""Seconds between two complaints about the number of connections."""

_MAX_DESCRIPTORS: Final = 253
READY: Final = b"ready"
ALIVE: Final = b"alive"


class Link:
    """A connection, and what is still to be sent on it.

    :param worker: whose it is.
    :param connection: its socket.
    :param listener: the options of the socket that it came through.
    :param peer: the program.
    """

    def __init__(
        self, worker: Worker, connection: socket.socket, listener: ListenerConfig, peer: Peer
    ) -> None:
        self._worker = worker
        self.socket = connection
        self.conversation = Conversation(self, listener, peer)
        self.peer = peer
        self.output = bytearray()
        self.stuck_since = 0.0
        self.events = selectors.EVENT_READ

    # What a conversation needs of its host.

    @property
    def servers(self) -> Servers:
        """Those of the configuration that is in force."""
        return self._worker.servers

    @property
    def journal(self) -> Journal:
        """Where outcomes are written down."""
        return self._worker.journal

    def clock(self) -> float:
        """Seconds of a clock that is never set."""
        return time.monotonic()

    def has_room(self) -> bool:
        """Whether another login may begin."""
        return self._worker.has_room()

    def count(self, change: int) -> None:
        """Logins have begun, or ended if it is less than 0."""
        self._worker.logins += change

    def stepped(self, servers: Servers) -> None:
        """See `Host.stepped`."""
        self._worker.stepped(servers)

    def wait_for(self, servers: Servers, name: DocumentName, proceed: Callable[[], None]) -> bool:
        """See `Host.wait_for`."""
        return self._worker.wait_for(servers, name, lambda: self.guarded(proceed))

    def record(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        """See `Host.record`."""
        self._worker.record(recording, lambda outcome: self.guarded(partial(proceed, outcome)))

    def ask(self, errand: Errand, proceed: Callable[[object], None]) -> None:
        """See `Host.ask`."""
        self._worker.ask(errand, lambda answer: self.guarded(partial(proceed, answer)))

    def send(self, data: bytes) -> None:
        """Send octets with the end of this turn of the loop."""
        self.output += data
        self._worker.to_flush.append(self)

    def handle(self, events: int) -> None:
        """Do what the socket is ready for."""
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE:
            self._worker.to_flush.append(self)

    def _read(self) -> None:
        try:
            data = self.socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.guarded(lambda: self.conversation.receive(data))
        else:
            self.guarded(self.conversation.close)

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something whose mistakes end this connection, and no other."""
        try:
            action()
        except Exception as error:
            self._worker.complain(describe_surprise(error)[1])
            self.output.clear()
            self.conversation.close()
        if self.conversation.over:
            self._worker.to_flush.append(self)

    def flush(self) -> None:
        """Send what can be sent, and close what is over."""
        try:
            while self.output and (sent := self.socket.send(self.output)):
                del self.output[:sent]
                self.stuck_since = 0.0
        except BlockingIOError:
            self.stuck_since = self.stuck_since or time.monotonic()
        except OSError:
            self.output.clear()
            self.conversation.close()
        if self.conversation.over:
            self._worker.drop(self)

    def wanted_events(self) -> int:
        """What to wait for. A program that takes nothing is not listened to either."""
        reading = selectors.EVENT_READ if len(self.output) < _HIGH_WATER else 0
        return reading | (selectors.EVENT_WRITE if self.output else 0)

    def expire(self, now: float) -> None:
        """Fail what has waited for too long."""
        if self.conversation.logins:
            self.guarded(self.conversation.expire)
        if self.stuck_since and now - self.stuck_since > _WRITE_PATIENCE:
            self.output.clear()
            self.conversation.close()
            self._worker.drop(self)


class Worker:
    """Accepts logins until it is told to end, or its parent is gone.

    :param listeners: the sockets.
    :param control: connects it to its parent.
    :param load: reads the configuration.
    :param servers: those of the configuration that is in force now.
    :param machine: the host's own name.
    :param log: where its words go.
    :param balance: the number of connections of all workers.
    """

    def __init__(
        self,
        listeners: Iterable[Listener],
        control: socket.socket,
        load: Callable[[], Config],
        servers: Servers,
        machine: str,
        log: Log,
        balance: Balance,
    ) -> None:
        self.servers = servers
        self.journal = Journal(log)
        self.to_flush: list[Link] = []
        self.logins = 0
        self._stepped: set[Servers] = set()
        self._batch = Batch(self._record_elsewhere)
        self._errands = Errands()
        self._load = load
        self._machine = machine
        self._log = log
        self._balance = balance
        self._control = control
        self._links: set[Link] = set()
        self._listeners = list(listeners)
        self._held_back: list[Listener] = []
        self._paused = False
        self._said_full = -_FULL_PERIOD
        self._connections = 0
        # Apart, so that no stranger's provider keeps those waiting whom the configuration names.
        self._lookups = {known: Lookups(servers.config.acceptor.lookups) for known in (True, False)}
        self._waiting: dict[DocumentName, list[tuple[Servers, Callable[[], None]]]] = {}
        self._selector = selectors.DefaultSelector()
        self._drain_until: float | None = None

    def run(self) -> None:
        """Work."""
        self._control.setblocking(False)
        self._register(self._control, self._hear_parent)
        for lookups in self._lookups.values():
            self._register(lookups.signal, partial(self._take_documents, lookups))
        self._register(self._errands.signal, self._take_answers)
        for listener in self._listeners:
            self._listen(listener)
        self._tell_parent(READY)
        next_tick = time.monotonic() + TICK
        while not self._is_done():
            patience = HELD_BACK if self._held_back else max(0.0, next_tick - time.monotonic())
            ready = self._selector.select(patience)
            held_back, self._held_back = self._held_back, []
            for key, events in ready:
                key.data(events)
                if len(self._batch) >= MAX_BATCH:
                    self._flush()
            for listener in held_back:
                self._accept(listener)
                self._listen(listener)
            self._flush()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self._tick()

    # What links need

    def has_room(self) -> bool:
        """Whether another login may begin."""
        return self.logins < MAX_LOGINS

    def wait_for(self, servers: Servers, name: DocumentName, proceed: Callable[[], None]) -> bool:
        """See `Host.wait_for`."""
        if not self._lookups[servers.knows(name)].ask(name, servers.fetch):
            return False
        self._waiting.setdefault(name, []).append((servers, proceed))
        return True

    def stepped(self, servers: Servers) -> None:
        """See `Host.stepped`."""
        self._stepped.add(servers)

    def record(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        """See `Host.record`."""
        self._batch.add(recording, proceed)

    def ask(self, errand: Errand, proceed: Callable[[object], None]) -> None:
        """See `Host.ask`."""
        ask = partial(answer_to, errand)
        if errand.waits:
            self._errands.run(ask, _too_late, proceed, self._store_patience)
        else:
            proceed(ask())

    def complain(self, text: str) -> None:
        """Log what is for somebody to see to."""
        self._log(Priority.ERROR, text)

    def drop(self, link: Link) -> None:
        """Close a connection."""
        if link not in self._links:
            return
        self._links.discard(link)
        self._selector.unregister(link.socket)
        link.socket.close()
        self._balance.set(len(self._links))
        self._resume()

    # The loop's parts

    def _register(self, source: socket.socket, handle: Callable[[int], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, handle)

    def _listen(self, listener: Listener) -> None:
        if self._drain_until is None and not self._paused and listener in self._listeners:
            self._register(listener.socket, lambda _: self._incoming(listener))

    def _incoming(self, listener: Listener) -> None:
        """Accept, or leave it to a worker that has less to do."""
        if self._balance.has_less_elsewhere():
            self._selector.unregister(listener.socket)
            self._held_back.append(listener)
        else:
            self._accept(listener)

    def _accept(self, listener: Listener) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self._drain_until is not None or self._paused:
                return
            try:
                connection, _ = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            self._connected(connection, listener)
            if self._balance.has_less_elsewhere():
                return

    def _accept_failed(self, error: OSError) -> None:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            self._log(Priority.ERROR, f"no further connection is accepted: {error.strerror}")
            self._pause()

    def _connected(self, connection: socket.socket, listener: Listener) -> None:
        connection.setblocking(False)
        try:
            peer = peer_of(connection)
        except OSError:
            connection.close()
            return
        link = Link(self, connection, listener.options, peer)
        self._connections += 1
        self._links.add(link)
        self._balance.set(len(self._links))
        self._selector.register(connection, selectors.EVENT_READ, link.handle)
        link.send(greeting(self.servers.mechanisms, self._connections))
        if len(self._links) >= self.servers.config.acceptor.connections:
            self._say_full()
            self._pause()

    def _say_full(self) -> None:
        now = time.monotonic()
        if now - self._said_full > _FULL_PERIOD:
            self._said_full = now
            self._log(Priority.WARNING, f"{len(self._links)} connections: further ones wait")

    def _pause(self) -> None:
        """Accept nothing until the next tick, or until a connection has ended."""
        self._paused = True
        for listener in self._listeners:
            with suppress(KeyError):
                self._selector.unregister(listener.socket)

    def _resume(self) -> None:
        if self._paused and len(self._links) < self.servers.config.acceptor.connections:
            self._paused = False
            for listener in self._listeners:
                if listener not in self._held_back:
                    self._listen(listener)

    def _flush(self) -> None:
        # In this order: what is answered is in the stores, and on the disk if that is asked for.
        while self._batch:
            self._batch.record()
        if self._stepped:
            self._wait_for_disk()
        while self.to_flush:
            links, self.to_flush = dict.fromkeys(self.to_flush), []
            for link in links:
                link.flush()
                if link in self._links:
                    self._adjust(link)

    def _wait_for_disk(self) -> None:
        """Nobody hears of what is not on the disk, where that is asked for."""
        stepped, self._stepped = self._stepped, set()
        try:
            for servers in stepped:
                servers.wait_for_disk()
        except StoreError as error:
            self._log(Priority.ERROR, f"what has been decided is not told: {error}")
            for link in self.to_flush:
                link.output.clear()
                link.conversation.close()

    def _adjust(self, link: Link) -> None:
        if self._drain_until is not None and not link.conversation.logins and not link.output:
            self.drop(link)
            return
        events = link.wanted_events()
        if events != link.events:
            link.events = events
            self._selector.modify(link.socket, events, link.handle)

    def _tick(self) -> None:
        now = time.monotonic()
        for link in list(self._links):
            link.expire(now)
        self._resume()
        self._flush()
        self._tell_parent(ALIVE)

    def _take_documents(self, lookups: Lookups, _: int) -> None:
        for name, arrival in lookups.take():
            for servers, proceed in self._waiting.pop(name, ()):
                with servers.documents.handing(name, arrival):
                    proceed()

    @property
    def _store_patience(self) -> float:
        return self.servers.config.store.timeout_ms / 1000

    def _record_elsewhere(
        self,
        record: Callable[[], Sequence[Outcome]],
        size: int,
        proceed: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._errands.run(record, lambda: [_too_late()] * size, proceed, self._store_patience)

    def _take_answers(self, _: int) -> None:
        for proceed in self._errands.take():
            proceed()

    # The parent

    def _tell_parent(self, message: bytes) -> None:
        with suppress(OSError):
            self._control.send(message)

    def _hear_parent(self, _: int) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(
                self._control, _READ_SIZE, _MAX_DESCRIPTORS
            )
        except BlockingIOError:
            return
        except ConnectionResetError:
            # It is gone, and had not read all that it was told.
            message, descriptors = b"", []
        if not message:
            self._selector.unregister(self._control)
            self._log(Priority.ERROR, "the parent process is gone")
            self._drain()
            return
        order = json.loads(message)
        if order["do"] == "drain":
            self._drain()
        elif self._drain_until is None:
            self._reload(dict(zip(order["paths"], descriptors, strict=True)))

    def _reload(self, descriptors: Mapping[str, int]) -> None:
        try:
            self.servers = Servers(self._load(), self._machine, self.servers, log=self._log)
        except BrowserIDError as error:
            # The parent could read it just now. What it starts in place of this one knows more.
            self._log(Priority.ERROR, f"a worker ends: {error}")
            self._drain()
        else:
            for lookups in self._lookups.values():
                lookups.permit(self.servers.config.acceptor.lookups)
            self._replace_listeners(descriptors)
            self._tell_parent(READY)

    def _replace_listeners(self, descriptors: Mapping[str, int]) -> None:
        for listener in self._listeners:
            with suppress(KeyError):
                self._selector.unregister(listener.socket)
            listener.socket.close()
        named = self.servers.config.listeners
        self._held_back = []
        self._listeners = [
            Listener(path, socket.socket(fileno=descriptor), named.get(path, ListenerConfig()))
            for path, descriptor in descriptors.items()
        ]
        for listener in self._listeners:
            listener.socket.setblocking(False)
            self._listen(listener)

    def _drain(self) -> None:
        """Accept no connection more, and end with the last login under way."""
        if self._drain_until is not None:
            return
        self._pause()
        for listener in self._listeners:
            listener.socket.close()
        self._drain_until = time.monotonic() + self.servers.config.acceptor.drain_ms / 1000
        # Nobody has their request read and not answered. What comes later is not read any more:
        # how their connection ends tells those who ask, and they ask the acceptor that comes next.
        for link in list(self._links):
            link.handle(selectors.EVENT_READ)
            self._adjust(link)

    def _is_done(self) -> bool:
        if self._drain_until is None:
            return False
        return not self._links or time.monotonic() > self._drain_until


def _too_late() -> StoreError:
    return StoreError(
        Code.UNAVAILABLE,
        "the shared store has not answered in time to those who came before",
        "see whether it runs, and whether it is what all hosts together need: browserid doctor",
    )


def work(worker: Worker) -> None:
    """Run a worker as all that its process does."""
    worker.run()
    os._exit(0)
