"""Three hosts in front of one store, of which one dies on the way, and then the store's primary.

Half of the logins are presented to one host, the others to all of them at the same time, as by
somebody who has recorded them. The replica takes over: Redis's by its sentinel, PostgreSQL's by
`pg_promote`, a second after the primary died, or fell silent. Nothing else is started or stopped
for that. Afterwards all assertions of that time are presented again, and there are hosts whose
clocks are wrong. That no assertion is admitted twice is seen to, or this fails.

LOGINS says how many there are.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from statistics import median
from typing import Final

from browserid_sasl.jose.keys import PrivateKey
from tests.support.patience import wait_until
from tests.support.replicated import Replicated, replicated_postgresql, replicated_redis
from tests.support.services import AES128
from tests.support.several_hosts import GONE, Presented, SeveralHosts, several_hosts

LOGINS: Final = 10_000
TIMEOUT: Final = 3
"""The store's, s: the one it has by default."""

_WITHOUT_PRIMARY: Final = 20.0
"""s that logins are spread over while the primary dies: they come during the whole of it."""

_REPLAYED: Final = "replayed-assertion"
_TEMPORARY: Final = frozenset({"unavailable", "cache-error"})
_ALL: Final = (0, 1, 2)
_LEFT: Final = (1, 2)


def run() -> Iterator[str]:
    """Tell the story with each database, and give what came of it as lines of text."""
    count = int(os.environ.get("LOGINS", LOGINS))
    databases = {"Redis": replicated_redis, "PostgreSQL": replicated_postgresql}
    for name, make in databases.items():
        yield f"{name}: {count:,} logins"
        yield from _with(make, count)


def _with(make: Callable[[], AbstractContextManager[Replicated]], count: int) -> Iterator[str]:
    key = PrivateKey.generate("ES256")
    with make() as database:
        with several_hosts(database.url, key, timeout=TIMEOUT) as hosts:
            yield from _quiet(hosts, count // 2)
            yield from _without_a_host(hosts, count // 5)
            yield f"  the primary killed in the middle of {count // 5:,}:"
            yield from _without_the_primary(hosts, count // 5, database, database.kill)
        yield from _clocks(database, key, count // 50)
    with make() as database, several_hosts(database.url, key, timeout=TIMEOUT) as hosts:
        yield f"  another primary falls silent in the middle of {count // 10:,}:"
        yield from _without_the_primary(hosts, count // 10, database, database.silence)


def _quiet(hosts: SeveralHosts, count: int) -> Iterator[str]:
    seen = [*hosts.present_all(_plan(hosts, count, _ALL))]
    _each_once(seen)
    took = seen[-1].since + seen[-1].took - seen[0].since
    asked = sum(len(each.hosts) for each in seen)
    apart = sorted(each.apart * 1000 for each in seen if len(each.hosts) > 1)
    yield f"  three hosts: {asked:,} presentations, {asked / took:,.0f} a second: {_counted(seen)}"
    yield (
        f"  between the first host and the last: {median(apart):.2f} ms,"
        f" {apart[len(apart) * 99 // 100]:.2f} ms for 99 of 100"
    )


def _without_a_host(hosts: SeveralHosts, count: int) -> Iterator[str]:
    plan = _plan(hosts, count, _ALL)
    first, *_ = hosts.daemons
    seen = [*_with_half(hosts, plan, first.kill)]
    _each_once(seen)
    yield f"  one host killed in the middle of {count:,}: {_counted(seen)}"


def _without_the_primary(
    hosts: SeveralHosts, count: int, database: Replicated, end: Callable[[], None]
) -> Iterator[str]:
    client, died = hosts.client(), list[float]()
    _see(hosts.log_in(1, client.start_with(AES128)).verb == "OK", "somebody who gets a ticket")
    wait_until(database.caught_up, "the replica has all of it")

    def die() -> None:
        died.append(time.monotonic())
        end()

    plan = _plan(hosts, count, _LEFT)
    seen = [*_with_half(hosts, plan, die, lasting=_WITHOUT_PRIMARY)]
    for each in seen:
        _see([*each.answers.values()].count("OK") <= 1, each.answers)
    kinds = Counter(chain.from_iterable(each.answers.values() for each in seen))
    _see(set(kinds) <= {"OK", "CONT", _REPLAYED} | _TEMPORARY, kinds)
    yield f"    {_counted(seen)}"
    began = time.monotonic()
    while hosts.log_in(1, hosts.mechanism()).verb != "OK":
        _see(time.monotonic() - began < 60, "no login any more")
    failed = [each for each in seen if _TEMPORARY & {*each.answers.values()}]
    _see(bool(failed), "nobody noticed that the primary was killed")
    back = max(each.since + each.took for each in failed) - died[0]
    yield (
        f"    no answer took more than {max(each.took for each in seen):.1f} s,"
        f" the last failure was told {back:.1f} s after that; no host was restarted"
    )
    for at in _LEFT:
        by_ticket = client.start_with(AES128)
        _see(hosts.log_in(at, by_ticket).verb == "OK" and by_ticket.result.ticket_used, "ticket")
    again = [*hosts.present_all([(each.message, _LEFT) for each in seen])]
    kinds = Counter(chain.from_iterable(each.answers.values() for each in again))
    _see(not kinds["OK"], kinds)
    yield f"    all of these presented again: {_counted(again)}; a ticket from before works at both"


def _clocks(database: Replicated, key: PrivateKey, count: int) -> Iterator[str]:
    with several_hosts(database.url, key, clocks=["+4m", "-4m", ""], timeout=TIMEOUT) as hosts:
        seen = [*hosts.present_all([(each, _ALL) for each in hosts.messages(count)])]
        _each_once(seen)
        yield f"  clocks four minutes fast, four slow, right: {_counted(seen)}"
    with several_hosts(database.url, key, clocks=["+10m", "-10m", ""], timeout=TIMEOUT) as hosts:
        seen = [*hosts.present_all([(each, _ALL) for each in hosts.messages(count)])]
        _see(all(each.answers[2] in {"OK"} | _TEMPORARY for each in seen), "where it is right")
        wrong = {each.answers[at] for each in seen for at in (0, 1)}
        _see(not wrong & {"OK", "CONT"}, wrong)
        yield f"  ten minutes fast, ten slow, right: {_counted(seen)}"


def _plan(
    hosts: SeveralHosts, count: int, at: Sequence[int]
) -> Sequence[tuple[bytes, Sequence[int]]]:
    """Every second one at all hosts, the others at one after the other of them."""
    messages = hosts.messages(count)
    alone = [(at[number // 2 % len(at)],) for number in range(count)]
    return [
        (message, at if number % 2 else alone[number]) for number, message in enumerate(messages)
    ]


def _with_half(
    hosts: SeveralHosts,
    plan: Sequence[tuple[bytes, Sequence[int]]],
    event: Callable[[], None],
    lasting: float = 0,
) -> Iterator[Presented]:
    """Present messages, and let something happen when half of them have been answered."""
    happening = threading.Thread(target=event)
    for number, each in enumerate(hosts.present_all(plan, lasting=lasting)):
        if number == len(plan) // 2:
            happening.start()
        yield each
    happening.join()


def _each_once(seen: Sequence[Presented]) -> None:
    for each in seen:
        answers = [*each.answers.values()]
        _see(set(answers) <= {"OK", _REPLAYED, GONE} | _TEMPORARY, each.answers)
        # Whether one that died has admitted it, or one that the store kept waiting, nobody can say.
        unsure = bool(set(answers) & ({GONE} | _TEMPORARY))
        _see(answers.count("OK") == 1 or (unsure and "OK" not in answers), each.answers)


def _counted(seen: Sequence[Presented]) -> str:
    kinds = Counter(chain.from_iterable(each.answers.values() for each in seen))
    failed = sum(kinds[each] for each in _TEMPORARY)
    words = (
        (kinds["OK"], "admitted"),
        (kinds[_REPLAYED], "refused as replays"),
        (kinds["CONT"], "asked for a proof"),
        (failed, "failed for a while"),
        (kinds[GONE], "at the dead host"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in words if number)


def _see(true: bool, otherwise: object) -> None:
    if not true:
        raise RuntimeError(f"that was not to be: {otherwise}")
