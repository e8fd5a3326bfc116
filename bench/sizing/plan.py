"""What so many people take, worked out from what was measured.

Everything is for the busiest moments. Nothing is taken off for what batches save, or for what fails
to happen at the same time: that is the reserve.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from math import ceil
from typing import Final

from bench.sizing.figures import Figures
from bench.sizing.kinds import ASSERTION, DOUBT, TICKET, TOGETHER
from bench.sizing.meters import Reading
from browserid_sasl.config.sections import ClientConfig
from browserid_sasl.store.base import REPLAY_GRACE
from browserid_sasl.store.redis_engine import SHARDS_OF_CLUSTER
from browserid_sasl.store.shared import CLOCKS_AGREE

DAY: Final = 86_400
GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What people do, and how much is put on a machine.

    :param people: how many there are.
    :param logins: of each in a day.
    :param first: the share of them that is by a new assertion, and not by ticket.
    :param machines: of each that have a certificate.
    :param sign_ins: of each in a day, with a password.
    :param peak: logins in the busiest minute, times those of an average one.
    :param within: the share of a day's logins that come within a ticket's life.
    :param load: the share of its processors that a host is to use.
    :param cores: of a host.
    :param memory: octets of entries in one Redis.
    """

    people: int
    logins: float = 20.0
    first: float = 0.1
    machines: float = 2.0
    sign_ins: float = 1 / 90
    peak: float = 3.0
    within: float = 0.7
    load: float = 0.6
    cores: int = 8
    memory: float = 32 * GIB


@dataclass(frozen=True, slots=True)
class Plan:
    """What they take.

    :param average: logins a second.
    :param peak: likewise in the busiest minute.
    :param acceptor_cores: that acceptors keep busy in that minute.
    :param hosts: with an acceptor, one of which may die.
    :param assertions: entries of that kind in the store at the most.
    :param tickets: likewise.
    :param memory: octets of both.
    :param store: which of the stores that were measured it is.
    :param store_cores: that the store keeps busy in that minute.
    :param primaries: of Redis; each has a replica besides.
    :param fullest: of 64 parts, how many the primary has that has the most.
    :param names: how many it would be with a Redis for each name, and people divided among names.
    :param round_trips: to the store in a second of that minute.
    :param network: octets between hosts and store in such a second.
    :param certificates: a second in that minute.
    :param provider_cores: that providers keep busy then.
    :param databases: of providers, each with domains of its own.
    :param provider_disk: octets of their databases.
    :param log: octets of their audit logs in a year.
    """

    average: float
    peak: float
    acceptor_cores: float
    hosts: int
    assertions: float
    tickets: float
    memory: float
    store: str
    store_cores: float
    primaries: int
    fullest: int
    names: int
    round_trips: float
    network: float
    certificates: float
    provider_cores: float
    databases: int
    provider_disk: float
    log: float


@dataclass(frozen=True, slots=True)
class Failover:
    """What the loss of a store's primary costs.

    :param minutes: for which logins take an extra round trip.
    :param cores: that acceptors keep busy in the busiest minute of these.
    :param storm_cores: likewise if all tickets are lost with it.
    :param storm_certificates: a second, if those are lost.
    :param storm_databases: of providers that it would take for all these at once.
    """

    minutes: float
    cores: float
    storm_cores: float
    storm_certificates: float
    storm_databases: int


def assertion_kept() -> float:
    """Seconds for which an assertion is kept."""
    return (ClientConfig().assertion_lifetime_ms + REPLAY_GRACE + CLOCKS_AGREE) / 1000


def plan(assumed: Assumptions, figures: Figures) -> Plan:
    """What it takes, on one Redis if that is enough, else on a cluster."""
    average = assumed.people * assumed.logins / DAY
    peak = average * assumed.peak
    octets = {kind: sizes[-1] for kind, sizes in figures.entries.octets["Redis"].items()}
    assertions = peak * assertion_kept()
    tickets = assumed.people * assumed.logins * assumed.within
    memory = assertions * octets[ASSERTION] + tickets * octets[TICKET]
    store, primaries = _store(assumed, figures, memory)
    login = mixed(figures.logins[store], assumed.first)
    hosts = ceil(peak * login.acceptor / 1000 / (assumed.load * assumed.cores)) + 1
    renewals = assumed.people * assumed.logins * assumed.first
    certificates = renewals / DAY * assumed.peak
    request = figures.provider.requests["PostgreSQL"]["renewal"]
    passwords = assumed.people * assumed.sign_ins / DAY * assumed.peak * figures.provider.password
    disk = figures.provider.account + assumed.machines * figures.provider.machine
    return Plan(
        average=average,
        peak=peak,
        acceptor_cores=peak * login.acceptor / 1000,
        hosts=hosts,
        assertions=assertions,
        tickets=tickets,
        memory=memory,
        store=store,
        store_cores=_store_cores(assumed, figures, store),
        primaries=primaries,
        fullest=fullest(primaries),
        names=_names(assumed, figures, memory),
        round_trips=peak * login.round_trips,
        network=peak * login.octets,
        certificates=certificates,
        provider_cores=(certificates * request.cpu + passwords) / 1000,
        databases=_databases(assumed, figures, certificates),
        provider_disk=assumed.people * disk,
        log=renewals * 365 * request.log,
    )


def failover(assumed: Assumptions, figures: Figures) -> Failover:
    """What it costs if the store's primary dies, or all primaries do, in the busiest minute."""
    made = plan(assumed, figures)
    logins = figures.logins[made.store]
    # What the extra round trip adds to a first login it adds to one by ticket.
    extra = logins[DOUBT].acceptor - logins[ASSERTION].acceptor
    usual = mixed(logins, assumed.first).acceptor
    storm = logins[DOUBT].acceptor + logins[TICKET].acceptor
    # Each login, and not only a first one, asks for a certificate that is still good.
    certificates = min(made.peak, assumed.people * assumed.machines / 3600)
    return Failover(
        minutes=(REPLAY_GRACE + 2 * CLOCKS_AGREE) / 60_000,
        cores=made.peak * (usual + extra) / 1000,
        storm_cores=made.peak * storm / 1000,
        storm_certificates=certificates,
        storm_databases=_databases(assumed, figures, certificates),
    )


def mixed(logins: Mapping[str, Reading], first: float, together: str = "") -> Reading:
    """What a login costs if so many of them are first ones.

    :param together: how many come at once, as the figures have it; empty for one.
    """
    return logins[ASSERTION + together].times(first) + logins[TICKET + together].times(1 - first)


def _store(assumed: Assumptions, figures: Figures, memory: float) -> tuple[str, int]:
    """Which store, and how many primaries: enough for the one that has the most."""
    for primaries in count(1):
        share = fullest(primaries) / SHARDS_OF_CLUSTER
        store = "Redis" if primaries == 1 else "Redis cluster"
        busy = _store_cores(assumed, figures, store) * share
        if busy <= assumed.load and memory * share <= assumed.memory:
            return store, primaries
        if share == _LEAST:
            raise ValueError(f"{assumed.people:,} people are too many for one store")
    raise AssertionError


_LEAST: Final = 1 / SHARDS_OF_CLUSTER


def _store_cores(assumed: Assumptions, figures: Figures, store: str) -> float:
    """Those that a store keeps busy; it is never without work when that matters."""
    login = mixed(figures.logins[store], assumed.first, f"x{TOGETHER}")
    return assumed.people * assumed.logins / DAY * assumed.peak * login.store / 1000


def _names(assumed: Assumptions, figures: Figures, memory: float) -> int:
    busy = _store_cores(assumed, figures, "Redis") / assumed.load
    return ceil(max(busy, memory / assumed.memory))


def one_redis(assumed: Assumptions, figures: Figures) -> int:
    """For how many people one Redis is enough."""
    few = plan(replace(assumed, people=1_000), figures)
    return int(1_000 * min(assumed.memory / few.memory, assumed.load / few.store_cores))


def _databases(assumed: Assumptions, figures: Figures, certificates: float) -> int:
    """One change after the other: how many databases it takes for so many a second."""
    held = figures.provider.requests["PostgreSQL"]["renewal"].held
    return max(1, ceil(certificates * held / 1000 / assumed.load))


# Which part of a cluster is where


@cache
def fullest(primaries: int, realm: str = "browserid") -> int:
    """How many of the 64 parts a cluster's primary has that has the most.

    Its slots are dealt to so many as `redis-cli --cluster create` deals them, in their order.
    """
    if primaries == 1:
        return SHARDS_OF_CLUSTER
    tags = (f"browserid:{realm}:{part}".encode() for part in range(SHARDS_OF_CLUSTER))
    return max(Counter(slot(tag) * primaries // SLOTS for tag in tags).values())


SLOTS: Final = 16_384


def slot(tag: bytes) -> int:
    """The slot of what is between braces in a key: CRC-16 as XMODEM has it (Redis Cluster)."""
    value = 0
    for octet in tag:
        value ^= octet << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value % SLOTS
