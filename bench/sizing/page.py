"""The tables of docs/capacity.md: what was measured, what the model says, and the plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from bench.sizing.figures import Comparison, Figures
from bench.sizing.kinds import ASSERTION, DOUBT, TICKET, TOGETHER
from bench.sizing.plan import (
    DAY,
    GIB,
    Assumptions,
    Failover,
    Plan,
    assertion_kept,
    failover,
    fullest,
    one_redis,
    plan,
)

SIZES: Final = (100_000, 100_000_000)
"""How many people there are plans for."""

_KINDS: Final = {
    ASSERTION: "by assertion",
    TICKET: "by ticket",
    f"{ASSERTION}x{TOGETHER}": f"by assertion, {TOGETHER} at once",
    f"{TICKET}x{TOGETHER}": f"by ticket, {TOGETHER} at once",
    DOUBT: "by assertion, after a failover",
}
_REQUESTS: Final = {"code": "first certificate", "renewal": "renewal"}
_CLUSTERS: Final = (3, 6, 12, 24, 48)
_SECOND: Final = 1000.0


@cache
def _figures() -> Figures:
    return Figures.load()


def _table(*heads: str) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> Iterator[str]:
    """What it was measured on."""
    figures = _figures()
    yield f"Measured on a machine with {figures.machine}, of which other programs used"
    yield f"{figures.trial.others:.2f} while the three hosts were under load. Times are those of"
    yield "such a machine; a quiet one is quicker, and more alike from one time to the next."


def logins() -> Iterator[str]:
    """What logins cost."""
    yield from _table("store", "login", "acceptor, ms", "store, ms", "round trips", "octets")
    for store, kinds in _figures().logins.items():
        for kind, words in _KINDS.items():
            if kind in kinds:
                cost = kinds[kind]
                asked = f"{cost.round_trips:.2f}", f"{cost.octets:,.0f}"
                yield _row(store, words, f"{cost.acceptor:.2f}", f"{cost.store:.2f}", *asked)


def entries() -> Iterator[str]:
    """How large entries are."""
    found = _figures().entries
    yield from _table("store", "entry", *(f"of {count:,}" for count in found.counts))
    for store, kinds in found.octets.items():
        for kind, sizes in kinds.items():
            yield _row(store, kind, *(f"{size:,.0f}" for size in sizes))


def provider() -> Iterator[str]:
    """What certificates cost."""
    heads = "process, ms", "statements", "round trips", "all others wait, ms", "log, octets"
    yield from _table("database", "request", *heads)
    for database, kinds in _figures().provider.requests.items():
        for kind, words in _REQUESTS.items():
            cost = kinds[kind]
            yield _row(
                database,
                words,
                f"{cost.cpu:.1f}",
                f"{cost.statements:.0f}",
                f"{cost.round_trips:.0f}",
                f"{cost.held:.1f}",
                f"{cost.log:.0f}",
            )


def people() -> Iterator[str]:
    """What people cost a provider whether or not they ask for anything."""
    found = _figures().provider
    yield f"An account takes {found.account:,.0f} octets of PostgreSQL, a machine with a"
    yield f"certificate {found.machine:,.0f}, and a sign-in with a password"
    yield f"{found.password:.0f} ms of a processor. There were {found.people:,} accounts with a"
    yield "machine each. A first certificate looks through all machines for those that can be"
    yield "forgotten, so it takes longer the more there are."


def comparison() -> Iterator[str]:
    """The model beside what was measured."""
    trial = _figures().trial
    yield from _table("load", "", "measured", "model", "error")
    measured, expected = trial.most
    at_most = f"{measured:,.0f} /s", f"{expected:,.0f} /s", _error(measured, expected)
    yield _row("all they admit", "logins", *at_most)
    for load in trial.loads:
        yield from _loads(load)


def _loads(load: Comparison) -> Iterator[str]:
    name = f"{load.share:.0%}, {load.rate:,.0f} /s"
    for words, (measured, expected) in (("half within", load.p50), ("99 % within", load.p99)):
        yield _row(
            name, words, f"{measured:.1f} ms", f"{expected:.1f} ms", _error(measured, expected)
        )


def _error(measured: float, expected: float) -> str:
    return f"{expected / measured - 1:+.0%}"


def assumptions() -> Iterator[str]:
    """What is assumed of people."""
    assumed = Assumptions(0)
    yield f"* Each person logs in {assumed.logins:.0f} times a day, with {assumed.machines:.0f}"
    yield "  machines: programs log in again whenever they were asleep or changed networks."
    yield f"* {assumed.first:.0%} of these logins are first ones, by a new assertion, as each"
    yield "  machine's first of a day is; the others are by ticket."
    yield f"* The busiest minute has {assumed.peak:.0f} times the logins of an average one, and"
    yield f"  {assumed.within:.0%} of a day's logins come within the life of a ticket."
    yield "* Each first login takes a renewal, since certificates live an hour. Somebody signs in"
    yield f"  with a password once in {1 / assumed.sign_ins:.0f} days."
    yield f"* Hosts have {assumed.cores} processors and use {assumed.load:.0%} of them in that"
    yield f"  minute, Redis {assumed.load:.0%} of its one; a Redis has"
    yield f"  {assumed.memory / GIB:.0f} GiB of entries, on a machine with twice the memory, which"
    yield "  a copy of it takes."
    yield f"* The store has an assertion for {assertion_kept() / 60:.0f} minutes, and a ticket for"
    yield "  the ten hours of its life. Acceptors are reckoned at what a login costs by itself, and"
    yield f"  the store at what {TOGETHER} at once cost it."


_PLAN: Final[tuple[tuple[str, Callable[[Plan], str]], ...]] = (
    ("logins a second, average", lambda made: f"{made.average:,.1f}"),
    ("logins a second, busiest minute", lambda made: f"{made.peak:,.0f}"),
    ("acceptors: processors busy", lambda made: f"{made.acceptor_cores:,.1f}"),
    ("acceptors: hosts, one of which may die", lambda made: f"{made.hosts:,}"),
    ("store: assertions", lambda made: f"{made.assertions:,.0f}"),
    ("store: tickets", lambda made: f"{made.tickets:,.0f}"),
    ("store: memory for entries", lambda made: _octets(made.memory)),
    ("store: primaries, with a replica each", lambda made: f"{made.store}, {made.primaries}"),
    ("store: parts of 64 in the fullest", lambda made: f"{made.fullest}"),
    ("store: or one Redis for each name, names", lambda made: f"{made.names}"),
    ("store: processors busy, all primaries", lambda made: f"{made.store_cores:,.2f}"),
    ("store: round trips a second", lambda made: f"{made.round_trips:,.0f}"),
    ("store: network, octets a second", lambda made: _octets(made.network)),
    ("provider: certificates a second", lambda made: f"{made.certificates:,.1f}"),
    ("provider: processors busy", lambda made: f"{made.provider_cores:,.1f}"),
    ("provider: databases", lambda made: f"{made.databases:,}"),
    ("provider: disk for people", lambda made: _octets(made.provider_disk)),
    ("provider: audit log of a year", lambda made: _octets(made.log)),
)
_FAILOVER: Final[tuple[tuple[str, Callable[[Failover], str]], ...]] = (
    ("minutes with an extra round trip", lambda made: f"{made.minutes:.0f}"),
    ("acceptors: processors busy then", lambda made: f"{made.cores:,.1f}"),
    ("if all tickets are lost: acceptors", lambda made: f"{made.storm_cores:,.1f}"),
    ("if lost: certificates a second", lambda made: f"{made.storm_certificates:,.1f}"),
    ("if lost: databases for all of them", lambda made: f"{made.storm_databases:,}"),
)


def _octets(octets: float) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = next(at for at in range(len(units)) if octets < 1024 ** (at + 1) or at == 4)
    return f"{octets / 1024**power:,.1f} {units[power]}"


def plans() -> Iterator[str]:
    """What so many people take."""
    made = [plan(Assumptions(people), _figures()) for people in SIZES]
    yield from _table("", *(f"{people:,} people" for people in SIZES))
    for words, tell in _PLAN:
        yield _row(words, *map(tell, made))


def failovers() -> Iterator[str]:
    """What the loss of the store's primary costs them."""
    made = [failover(Assumptions(people), _figures()) for people in SIZES]
    yield from _table("", *(f"{people:,} people" for people in SIZES))
    for words, tell in _FAILOVER:
        yield _row(words, *map(tell, made))


def limits() -> Iterator[str]:
    """How far one of each goes."""
    assumed, figures = Assumptions(0), _figures()
    redis = one_redis(assumed, figures)
    held = figures.provider.requests["PostgreSQL"]["renewal"].held
    renewals = assumed.load * _SECOND / held
    asked = assumed.logins * assumed.first / DAY * assumed.peak
    yield f"* One Redis is enough for {redis:,} people."
    yield f"* One database of a provider makes {renewals:,.0f} changes a second, at"
    yield f"  {assumed.load:.0%} of what it can: enough for {renewals / asked:,.0f} people."


def shards() -> Iterator[str]:
    """How the parts of a cluster are dealt."""
    yield from _table("primaries", "parts in the fullest", "if they were dealt evenly")
    for primaries in _CLUSTERS:
        yield _row(f"{primaries}", f"{fullest(primaries)}", f"{64 / primaries:.1f}")


BLOCKS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "capacity-machine": machine,
    "capacity-logins": logins,
    "capacity-entries": entries,
    "capacity-provider": provider,
    "capacity-people": people,
    "capacity-comparison": comparison,
    "capacity-assumptions": assumptions,
    "capacity-plans": plans,
    "capacity-limits": limits,
    "capacity-shards": shards,
    "capacity-failovers": failovers,
}
"""What makes the parts of the page, for `tools.doc_blocks`."""
