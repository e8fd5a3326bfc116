"""Three acceptors at one Redis under load, and beside it what the model says of them.

All of that is on this machine, with the program that asks, and so the model has them share its
processors. What it is told is what logins of one kind cost, one at a time at one host, and as many
as can be at all of them. What it says is of another mixture, and of loads between these: how many
logins there can be, and how long each takes.
"""

from __future__ import annotations

import base64
import gc
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Self

from bench.sizing.figures import Comparison, Trial
from bench.sizing.kinds import ASSERTION, TICKET
from bench.sizing.logins import WARM_UP, assertions, tickets
from bench.sizing.meters import Meter, Reading, redis_pids, redis_traffic, thread_times
from bench.sizing.model import Outcome, Seen, Services, Site, poisson, saturate, simulate
from bench.sizing.stores import AS_DOCUMENTED
from browserid_sasl.jose.keys import PrivateKey
from tests.support.acceptor import Host, Program
from tests.support.redis_server import redis_server
from tests.support.services import AES128
from tests.support.several_hosts import several_hosts

HOSTS: Final = 3
SHARES: Final = (0.3, 0.6, 0.85)
"""Of what all of them admit at the most."""

KINDS: Final = {ASSERTION: 0.2, TICKET: 0.8}
SECONDS: Final = 10.0
CONNECTIONS: Final = 8
"""To each host."""
IN_FLIGHT: Final = 16
"""Logins under way at each host, to find what they admit at the most."""
IGNORED: Final = 0.1
"""The share of a load, at its beginning, that does not count."""
SEED: Final = 20
ROUNDS: Final = 3
MOST: Final = 3_000
"""Logins by which it is found how many there can be."""

_ALONE: Final = 6
"""The share of these that is taken one at a time, in each round: one in so many."""
_PAUSE: Final = 12.0
"""ms from one of these to the next."""

_FEW: Final = 0.1
"""Processors that others use without being in the way."""

_PATIENCE: Final = 30.0


def measured(
    seconds: float = SECONDS,
    most: int = MOST,
    shares: Sequence[float] = SHARES,
    rounds: int = ROUNDS,
) -> Trial:
    """Measure, and compare.

    :param seconds: of each load.
    :param most: logins of which what is admitted at the most is found.
    :param shares: the loads, as shares of that.
    :param rounds: how often it is measured what logins of one kind cost.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(*AS_DOCUMENTED))
        key = PrivateKey.generate("ES256")
        hosts = stack.enter_context(several_hosts(redis.url, key, count=HOSTS))
        client = stack.enter_context(redis.client)
        workers = [pid for daemon in hosts.daemons for pid in daemon.workers()]
        ours = [os.getpid(), *redis_pids([client]), *workers]
        stack.enter_context(_without_pauses())
        crowd = stack.enter_context(closing(Crowd([host.socket for host in hosts.hosts])))
        pids = redis_pids([client])
        meter = Meter(workers, lambda: pids, partial(redis_traffic, [client]))
        make = partial(_messages, hosts.hosts[0])
        services = _services(crowd, meter, make, most, rounds)
        kinds = [kind for _, kind in poisson(1, most, KINDS, SEED)]
        processors = os.cpu_count() or 1
        most_of_all, others, loads = [], [], []
        for share in shares:
            # Just before each: a machine that others use is not as quick at one time as at another.
            before = _Spent.now(ours)
            found = crowd.closed(make(kinds), IN_FLIGHT)
            site = Site(HOSTS, machine=processors, others=before.are_others(_Spent.now(ours)))
            expected = saturate(site, services, kinds, HOSTS * IN_FLIGHT)
            most_of_all.append((found.rate, expected.rate))
            rate = share * found.rate
            arrivals = poisson(rate, max(1, int(rate * seconds)), KINDS, SEED)
            messages = make([kind for _, kind in arrivals])
            before = _Spent.now(ours)
            seen = crowd.offered([due for due, _ in arrivals], messages)
            after = _Spent.now(ours)
            others.append(after.others_since(before))
            site = replace(site, others=before.are_others(after))
            loads.append(_compared(share, rate, seen, simulate(site, services, arrivals)))
    middle = [median(each) for each in zip(*most_of_all, strict=True)]
    return Trial(middle, services, loads, processors, max(others))


def _compared(share: float, rate: float, seen: Outcome, expected: Outcome) -> Comparison:
    ignored = int(IGNORED * len(seen.waits))
    both = seen.without_first(ignored), expected.without_first(ignored)
    p50, p99 = ([each.quantile(part) for each in both] for part in (0.5, 0.99))
    return Comparison(share, rate, (p50[0], p50[1]), (p99[0], p99[1]))


def _messages(host: Host, kinds: Sequence[str]) -> list[bytes]:
    made = {
        kind: iter(make(host, kinds.count(kind)))
        for kind, make in ((ASSERTION, assertions), (TICKET, tickets))
    }
    return [next(made[kind]) for kind in kinds]


def _services(
    crowd: Crowd,
    meter: Meter,
    make: Callable[[Sequence[str]], list[bytes]],
    most: int,
    rounds: int,
) -> Services:
    seen: dict[tuple[str, str], list[Seen]] = {}
    for kind in KINDS:
        crowd.closed(make([kind] * WARM_UP), IN_FLIGHT)
    # In turns, so that a machine that is busy is so for all of them.
    for _ in range(rounds):
        for kind in KINDS:
            few, many = [kind] * (most // _ALONE), [kind] * (most // 2)
            due = [number * _PAUSE for number in range(len(few))]
            alone = partial(crowd.offered, due, make(few))
            full = partial(crowd.closed, make(many), IN_FLIGHT)
            for name, action, those in (("alone", alone, few), ("full", full, many)):
                seen.setdefault((kind, name), []).append(_seen(meter, action, len(those)))
    return Services.of(
        *({kind: _median(seen[kind, name]) for kind in KINDS} for name in ("alone", "full"))
    )


def _seen(meter: Meter, action: Callable[[], Outcome], count: int) -> Seen:
    before, spent = meter.read(), time.process_time()
    outcome = action()
    client = (time.process_time() - spent) / count * 1000
    return Seen((meter.read() - before).over(count), client, outcome.quantile(0.5))


def _median(those: Sequence[Seen]) -> Seen:
    return Seen(
        Reading.median([each.used for each in those]),
        median(each.client for each in those),
        median(each.wait for each in those),
    )


@dataclass(frozen=True, slots=True)
class _Spent:
    """CPU s that were spent so far.

    :param all: by everybody.
    :param ours: by some processes.
    :param time: s on the clock.
    """

    all: float
    ours: float
    time: float

    @classmethod
    def now(cls, ours: Sequence[int]) -> Self:
        """By now."""
        line = Path("/proc/stat").read_text().splitlines()[0]
        user, nice, system, _, _, *interrupts = map(int, line.split()[1:9])
        ticks = user + nice + system + sum(interrupts)
        spent = sum(thread_times(ours).values()) / 1000
        return cls(ticks / os.sysconf("SC_CLK_TCK"), spent, time.monotonic())

    def others_since(self, before: _Spent) -> float:
        """How many processors others have used since."""
        spent = self.all - before.all - (self.ours - before.ours)
        return max(0.0, spent / (self.time - before.time))

    def are_others(self, after: _Spent) -> bool:
        """Whether others had work to do all the time until then."""
        return after.others_since(self) > _FEW


@contextmanager
def _without_pauses() -> Iterator[None]:
    """Have this process not stop to look for garbage: it has a lot to look through."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Crowd:
    """Programs that log people in at hosts, one thread for all of them.

    :param sockets: of the hosts' acceptors.
    """

    def __init__(self, sockets: Sequence[Path]) -> None:
        self._hosts = [[Program(path) for _ in range(CONNECTIONS)] for path in sockets]
        self._rests = {each.socket: b"" for host in self._hosts for each in host}
        self._waits: dict[int, float] = {}
        self._begun: dict[int, float] = {}
        self._number = 0

    def close(self) -> None:
        """Hang up."""
        for each in self._rests:
            each.close()

    def closed(self, messages: Sequence[bytes], in_flight: int) -> Outcome:
        """Have so many logins under way at each host until there are no more messages."""
        first = self._number
        requests = deque(self._request(message) for message in messages)
        start = time.perf_counter()
        for _ in range(min(in_flight * HOSTS, len(requests))):
            self._ask(*requests.popleft(), time.perf_counter())
        while self._begun:
            for at in self._hear(_PATIENCE):
                if requests:
                    self._ask_at(at, *requests.popleft(), time.perf_counter())
        return self._outcome(first, start)

    def offered(self, due: Sequence[float], messages: Sequence[bytes]) -> Outcome:
        """Have logins begin at these times (ms), however many are under way."""
        first = self._number
        requests = deque(
            (at / 1000, *self._request(message)) for at, message in zip(due, messages, strict=True)
        )
        start = time.perf_counter()
        while requests or self._begun:
            while requests and time.perf_counter() - start >= requests[0][0]:
                at, number, request = requests.popleft()
                self._ask(number, request, start + at)
            left = start + requests[0][0] - time.perf_counter() if requests else _PATIENCE
            for _ in self._hear(max(0.0, left)):
                pass
        return self._outcome(first, start)

    def _outcome(self, first: int, start: float) -> Outcome:
        took = time.perf_counter() - start
        waits = [self._waits.pop(number) * 1000 for number in range(first, self._number)]
        return Outcome(waits, len(waits) / took)

    def _request(self, message: bytes) -> tuple[int, bytes]:
        number, self._number = self._number, self._number + 1
        resp = base64.b64encode(message).decode()
        line = f"AUTH\t{number + 1}\t{AES128}\tservice=imap\tbid=1\tresp={resp}\n"
        return number, line.encode()

    def _ask(self, number: int, request: bytes, due: float) -> None:
        programs = self._hosts[number % len(self._hosts)]
        program = programs[number // len(self._hosts) % len(programs)]
        self._ask_at(program.socket, number, request, due)

    def _ask_at(self, at: socket.socket, number: int, request: bytes, due: float) -> None:
        self._begun[number] = due
        at.sendall(request)

    def _hear(self, patience: float) -> Iterator[socket.socket]:
        """Where a login has ended, once for each; none of them if nothing is heard in time.

        :raises RuntimeError: a login failed, or nothing is heard any more.
        """
        # Not a selector, whose patience is in whole ms.
        ready, _, _ = select.select(list(self._rests), [], [], patience)
        if not ready and patience >= _PATIENCE:
            raise RuntimeError("the acceptors do not answer")
        for each in ready:
            *lines, self._rests[each] = (self._rests[each] + each.recv(65_536)).split(b"\n")
            now = time.perf_counter()
            for line in lines:
                verb, number, *_ = line.split(b"\t", 2)
                if verb != b"OK":
                    raise RuntimeError(line.decode())
                self._waits[int(number) - 1] = now - self._begun.pop(int(number) - 1)
                yield each
