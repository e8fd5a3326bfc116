"""A model of acceptors at a shared store: what one login waits for on its way through them.

Each worker has one loop. It takes what has arrived, verifies it, and hands what is to be written
down to a thread, all that it has verified in one turn together. That thread asks the store twice,
for the assertions and for the tickets, and the loop answers. For a login by ticket a thread has to
get the ticket before. Loop and threads share an interpreter: a thread whose answer has come waits
until the loop has nothing to do, or for `SWITCH`. The store does one thing after the other.

All of that takes a processor: each host has its own, or, on a machine that plays all hosts,
everybody shares them. To wake one that had nothing to do takes time, which is why logins are
cheaper when there are many.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from bench.sizing.kinds import ASSERTION, TICKET
from bench.sizing.meters import Reading
from bench.sizing.queues import Cores, Lock, Server, Simulation, Then
from browserid_sasl.acceptor.errands import THREADS
from browserid_sasl.acceptor.worker import MAX_BATCH

_SECOND: Final = 1000.0
SWITCH: Final = 5.0
"""ms, of Python's `sys.getswitchinterval`."""

OTHERS: Final = 50.0
"""ms of each second that a processor is other programs', if they want it, whoever is to run before
them (the fair server of Linux's scheduler)."""

WAKES: Final = 8
"""How often somebody is woken on the way of a login by assertion."""

_BEFORE: Final = 0.8
"""The share of the loop's work on a login that comes before the store has it: all signatures."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one of those who take part does, in ms of CPU time.

    :param work: when there is no lack of it.
    :param woken: besides, if a processor that had nothing to do has to be woken for it.
    """

    work: float
    woken: float

    def times(self, share: float) -> Part:
        """A share of it."""
        return Part(self.work * share, self.woken * share)


@dataclass(frozen=True, slots=True)
class Services:
    """How long each part of a login takes.

    :param loop: what a worker's loop does for a login, by its kind, and each time it is woken.
    :param trip: what a thread does for a round trip, whatever is asked.
    :param entry: ms of a thread for each login that is written down.
    :param question: what the store does for a round trip.
    :param stored: ms of the store for each login that is written down.
    :param client: what the program that asks does, for a question or an answer; nothing where it is
        on another machine.
    :param wake: ms that pass until who is woken runs, or the network has brought something.
    """

    loop: Mapping[str, Part]
    trip: Part
    entry: float
    question: Part
    stored: float
    client: Part = Part(0.0, 0.0)
    wake: float = 0.0

    @classmethod
    def of(cls, alone: Mapping[str, Seen], full: Mapping[str, Seen]) -> Services:
        """From what logins cost of which there is one at a time, and of as many as can be.

        :param alone: by their kind.
        :param full: likewise.
        """
        few = full[ASSERTION]
        loop = {
            kind: _part(full[kind].used.loop, alone[kind].used.loop, visits)
            for kind, visits in _VISITS.items()
        }
        trip, entry = _by_trips(alone, full, "threads")
        question, stored = _by_trips(alone, full, "store")
        # The program that asks is woken to ask, and to hear.
        client = Part(few.client / 2, max(0.0, alone[ASSERTION].client - few.client) / 2)
        used = alone[ASSERTION].used
        unused = alone[ASSERTION].wait - used.acceptor - used.store - alone[ASSERTION].client
        return cls(loop, trip, entry, question, stored, client, max(0.0, unused / WAKES))


_VISITS: Final = {ASSERTION: 2, TICKET: 3}
"""How often a worker's loop is woken for a login."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of logins of one kind, each.

    :param used: of them.
    :param client: CPU ms of the program that asks.
    :param wait: ms until half of them had their answer.
    """

    used: Reading
    client: float
    wait: float


def _part(full: float, alone: float, visits: int) -> Part:
    """What is done in all, and besides each time somebody is woken."""
    return Part(full, max(0.0, alone - full) / visits)


def _by_trips(alone: Mapping[str, Seen], full: Mapping[str, Seen], who: str) -> tuple[Part, float]:
    """What somebody does for each round trip, and what for each login besides."""
    trips, took = (
        [getattr(full[kind].used, what) for kind in (ASSERTION, TICKET)]
        for what in ("round_trips", who)
    )
    work = max(0.0, (took[1] - took[0]) / (trips[1] - trips[0]))
    entry = max(0.0, took[0] - trips[0] * work)
    used = alone[ASSERTION].used
    each = (getattr(used, who) - entry) / used.round_trips
    return Part(work, max(0.0, each - work)), entry


class Store:
    """What all workers ask.

    :param server: it.
    """

    def __init__(self, simulation: Simulation, server: Server, services: Services) -> None:
        self._simulation = simulation
        self._server = server
        self._services = services

    def ask(self, entries: float, then: Then) -> None:
        """Have it do something for so many logins, and the answer come back."""
        question = self._services.question
        answer = partial(self._simulation.after, self._services.wake, then)
        work = question.work + entries * self._services.stored
        serve = partial(self._server.serve, work, answer, woken=question.woken)
        self._simulation.after(self._services.wake, serve)


class Worker:
    """An acceptor's process.

    :param cores: of its host.
    """

    def __init__(
        self, simulation: Simulation, cores: Cores, store: Store, services: Services
    ) -> None:
        self._simulation = simulation
        self._cores = cores
        self._store = store
        self._services = services
        self._lock = Lock(simulation, SWITCH)
        self._arrived: deque[tuple[float, Then]] = deque()
        self._woken = 0.0
        self._awake = False
        self._verified: list[Then] = []
        self._answers: list[Then] = []
        self._idle = THREADS
        self._errands: deque[tuple[int, int, Then]] = deque()

    def log_in(self, kind: str, then: Then) -> None:
        """Take a first message; go on with its answer."""
        loop = self._services.loop[kind]
        hear = partial(self._hear, loop)
        verify = partial(hear, _BEFORE, partial(self._verify, partial(self._finish, loop, then)))
        if kind == TICKET:
            # It is read before anything is known of it; that is little.
            hear(0.0, partial(self._send, 1, 0, verify))
        else:
            verify()

    def _verify(self, then: Then) -> None:
        self._verified.append(then)

    def _finish(self, loop: Part, then: Then) -> None:
        self._hear(loop, 1 - _BEFORE, partial(self._answer, then))

    def _answer(self, then: Then) -> None:
        self._answers.append(then)

    # The loop

    def _hear(self, loop: Part, share: float, then: Then) -> None:
        self._simulation.after(self._services.wake, partial(self._arrive, loop, share, then))

    def _arrive(self, loop: Part, share: float, then: Then) -> None:
        self._arrived.append((share * loop.work, then))
        if not self._awake:
            self._awake = True
            self._woken = loop.woken
            self._lock.acquire(self._turn)

    def _turn(self) -> None:
        self._next(len(self._arrived))

    def _next(self, left: int) -> None:
        """Do what is ready, one after the other, and let a thread run that has waited for long."""
        if self._lock.is_demanded():
            self._lock.acquire(partial(self._next, left))
            self._lock.release()
        elif left and len(self._verified) < MAX_BATCH:
            work, then = self._arrived.popleft()
            woken, self._woken = self._woken, 0.0
            self._cores.run(work, partial(self._did, then, left - 1), woken=woken)
        else:
            self._flush()

    def _did(self, then: Then, left: int) -> None:
        then()
        self._next(left)

    def _flush(self) -> None:
        if self._verified:
            batch, self._verified = self._verified, []
            self._send(2, len(batch), partial(_all, batch))
        answers, self._answers = self._answers, []
        for each in answers:
            self._simulation.after(self._services.wake, each)
        if self._arrived:
            self._turn()
        else:
            self._awake = False
            self._lock.release()

    # Its threads

    def _send(self, trips: int, entries: int, then: Then) -> None:
        """Have a thread ask the store so often, about so many logins."""
        self._errands.append((trips, entries, then))
        self._begin()

    def _begin(self) -> None:
        if self._idle and self._errands:
            self._idle -= 1
            trips, entries, then = self._errands.popleft()
            # Before, between and behind its questions.
            each = self._services.trip.times(trips / (trips + 1))
            work = each.work + entries * self._services.entry / (trips + 1)
            compute = partial(self._compute, Part(work, each.woken), entries / trips, trips, then)
            self._simulation.after(self._services.wake, compute)

    def _compute(self, part: Part, entries: float, trips: int, then: Then) -> None:
        asks = partial(self._ask, part, entries, trips, then)
        self._lock.acquire(partial(self._cores.run, part.work, asks, woken=part.woken))

    def _ask(self, part: Part, entries: float, trips: int, then: Then) -> None:
        self._lock.release()
        if trips:
            self._store.ask(entries, partial(self._compute, part, entries, trips - 1, then))
        else:
            self._idle += 1
            self._begin()
            then()


def _all(those: Sequence[Then]) -> None:
    for each in those:
        each()


@dataclass(frozen=True, slots=True)
class Site:
    """Hosts at a store.

    :param hosts: how many.
    :param workers: of each.
    :param cores: of each, and of the store; 0 if all of them are on `machine`.
    :param machine: processors that everybody shares, the program that asks among them.
    :param others: whether other programs want that machine, too.
    """

    hosts: int
    workers: int = 1
    cores: int = 0
    machine: int = 0
    others: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of logins.

    :param waits: ms of each from when it was due to its answer, in the order in which they came.
    :param rate: logins a second.
    """

    waits: Sequence[float]
    rate: float

    def quantile(self, share: float) -> float:
        """The ms in which so many have their answer."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(share * len(self.waits)))]

    def without_first(self, count: int) -> Outcome:
        """What came of those that were not among the first."""
        return Outcome(self.waits[count:], self.rate)


class _Run:
    """A simulation of a site's hosts, its store, and the program that asks them.

    :param logins: that there are to be.
    """

    def __init__(self, site: Site, services: Services, logins: int) -> None:
        self.simulation = Simulation()
        self._services = services
        shared = Cores(self.simulation, site.machine) if site.machine else None
        store = Store(self.simulation, Server(shared or self._cores(site)), services)
        self._client = Server(shared or self._cores(site))
        self._workers = [
            Worker(self.simulation, cores, store, services)
            for cores in [shared or self._cores(site) for _ in range(site.hosts)]
            for _ in range(site.workers)
        ]
        self._left = logins
        self._waits: dict[int, float] = {}
        self._last = 0.0
        if shared and site.others:
            for number in range(site.machine):
                first = (number + 0.5) / site.machine * _SECOND
                self.simulation.at(first, partial(self._give_to_others, shared))

    def _give_to_others(self, cores: Cores) -> None:
        if self._left:
            cores.take(OTHERS)
            self.simulation.after(_SECOND, partial(self._give_to_others, cores))

    def _cores(self, site: Site) -> Cores:
        return Cores(self.simulation, site.cores)

    def log_in(self, number: int, kind: str, then: Then = lambda: None) -> None:
        """Have a login begin; go on when it has its answer."""
        worker = self._workers[number % len(self._workers)]
        due, client = self.simulation.now, self._services.client
        serve = partial(self._client.serve, client.work, woken=client.woken)

        def end() -> None:
            self._last = self.simulation.now
            self._left -= 1
            self._waits[number] = self._last - due
            then()

        serve(partial(worker.log_in, kind, partial(serve, end)))

    def outcome(self) -> Outcome:
        """Run it."""
        self.simulation.run()
        waits = [self._waits[number] for number in sorted(self._waits)]
        return Outcome(waits, len(waits) / self._last * 1000)


def simulate(site: Site, services: Services, arrivals: Sequence[tuple[float, str]]) -> Outcome:
    """Have logins come, and see how long each takes.

    :param arrivals: ms, in rising order, and the kind of each.
    """
    run = _Run(site, services, len(arrivals))
    for number, (due, kind) in enumerate(arrivals):
        run.simulation.at(due, partial(run.log_in, number, kind))
    return run.outcome()


def saturate(site: Site, services: Services, kinds: Sequence[str], in_flight: int) -> Outcome:
    """Have a login come whenever another has ended, so that so many are always under way."""
    run = _Run(site, services, len(kinds))
    left = iter(enumerate(kinds))

    def come() -> None:
        for number, kind in itertools.islice(left, 1):
            run.log_in(number, kind, come)

    for _ in range(in_flight):
        come()
    return run.outcome()


def poisson(
    rate: float, count: int, kinds: Mapping[str, float], seed: int
) -> list[tuple[float, str]]:
    """Arrivals (ms, kind) of people who know nothing of each other.

    :param rate: logins a second.
    :param kinds: the share of each kind.
    """
    random = Random(seed)  # noqa: S311
    now, found = 0.0, []
    names, weights = list(kinds), list(kinds.values())
    for _ in range(count):
        now += random.expovariate(rate / 1000)
        found.append((now, random.choices(names, weights)[0]))
    return found
