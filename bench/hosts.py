"""Three hosts in front of one store: every assertion presented to all of them at the same time.

One host is killed on the way, and then the store, which comes back with nothing (Redis) or all
(PostgreSQL). That no replay is admitted is asserted. LOGINS says how many presentations.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from browserid_sasl.jose.keys import PrivateKey
from tests.support.postgresql import postgresql_server
from tests.support.redis_server import redis_server
from tests.support.several_hosts import SeveralHosts, several_hosts

_PRESENTATIONS: Final = 15_000
_REPLAYED: Final = "replayed-assertion"
_TEMPORARY: Final = {"unavailable", "cache-error"}


def run() -> list[str]:
    """Tell the story with each database, and give what came of it as lines of text."""
    count = int(os.environ.get("LOGINS", _PRESENTATIONS)) // 3
    with redis_server() as redis:
        lines = [*_story("Redis", redis.url, count, redis.kill, redis.start)]
    with postgresql_server("fsync=on") as postgresql:
        end, begin = postgresql.stop, postgresql.start
        return [*lines, *_story("PostgreSQL", postgresql.uri(), count, end, begin)]


def _story(
    name: str, url: str, count: int, end: Callable[[], None], begin: Callable[[], None]
) -> Iterator[str]:
    with several_hosts(url, PrivateKey.generate("ES256")) as hosts:
        messages = hosts.messages(count)
        quiet, alone, hard = (
            messages[: count // 2],
            messages[count // 2 : count * 3 // 4],
            messages[count * 3 // 4 :],
        )
        started = time.perf_counter()
        for answers in hosts.present_everywhere(quiet):
            _see(sorted(answers) == ["OK", _REPLAYED, _REPLAYED], answers)
        rate = 3 * len(quiet) / (time.perf_counter() - started)
        yield f"{name}: {3 * len(quiet):,} presentations at 3 hosts, {rate:,.0f} a second:"
        yield f"  {len(quiet):,} admitted, {2 * len(quiet):,} refused as replays"
        hosts.daemons[0].kill()
        for answers in hosts.present_everywhere(alone, (1, 2)):
            _see(sorted(answers) == ["OK", _REPLAYED], answers)
        yield f"  one host killed: {len(alone):,} admitted by the others, each once"
        yield from _without_store(hosts, quiet + alone, hard, end, begin)


def _without_store(
    hosts: SeveralHosts,
    before: Sequence[bytes],
    hard: Sequence[bytes],
    end: Callable[[], None],
    begin: Callable[[], None],
) -> Iterator[str]:
    def die() -> None:
        time.sleep(0.5)
        end()
        time.sleep(1)
        begin()

    killer = threading.Thread(target=die)
    killer.start()
    kinds: Counter[str] = Counter()
    for answers in hosts.present_everywhere(hard, (1, 2)):
        _see(answers.count("OK") <= 1, answers)
        kinds.update(answers)
    killer.join()
    _see(set(kinds) <= {"OK", "CONT", _REPLAYED} | _TEMPORARY, kinds)
    failed = sum(kinds[each] for each in _TEMPORARY)
    yield f"  the store killed meanwhile: {kinds['OK']:,} admitted, {failed:,} failed for a while,"
    yield f"  {kinds['CONT']:,} asked to prove that they are fresh, {kinds[_REPLAYED]:,} refused"
    started = time.perf_counter()
    while hosts.log_in(1, hosts.mechanism()).verb != "OK":
        time.sleep(0.05)
    yield f"  logins work again {time.perf_counter() - started:.2f} s later, with no restart"
    later = hosts.present_everywhere(before, (1, 2))
    again = Counter(each for all_of_one in later for each in all_of_one)
    _see(not again["OK"], again)
    yield f"  presented again afterwards: {len(before):,}, admitted: {again['OK']}"


def _see(true: bool, otherwise: object) -> None:
    if not true:
        raise RuntimeError(f"that was not to be: {otherwise}")
