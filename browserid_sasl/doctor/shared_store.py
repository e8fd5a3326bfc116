"""A store that several hosts share: whether it answers, and how far back it can be relied on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from browserid_sasl.api.caches import SharedCache
from browserid_sasl.doctor.findings import Finding, doubtful, good
from browserid_sasl.store.base import system_clock

_SHOWS_FOR: Final = 20 * 60_000
"""How long (ms) it shows to those who log in."""


def shared(check: str, cache: SharedCache) -> Iterator[Finding]:
    """What is known of it; what is wrong with it is raised."""
    stores = cache.look()
    shards = range(stores.engine.shards)
    since = [stores.memory.reliable_since(shard) for shard in shards]
    stores.close()
    known = [each for each in since if each is not None]
    if len(known) < len(since):
        yield doubtful(
            check,
            f"{cache.path} answers, and is new, was started again or replaced since the last login",
            "nothing has to be done: with the next login it is relied on from then on",
        )
    elif (latest := max(known)) > system_clock() - _SHOWS_FOR:
        yield doubtful(
            check,
            f"{cache.path} may have lost what it had before {_moment(latest)}",
            "nothing has to be done: for twenty minutes, logins may take an extra round trip",
        )
    else:
        yield good(check, f"{cache.path} answers, and has lost nothing since {_moment(latest)}")


def _moment(when: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when // 1000))
