"""Databases with a replica that takes over when the primary is killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.support.postgresql import postgresql_server, postgresql_standby
from tests.support.redis_server import watched_redis

PROMOTED_AFTER: Final = 1.0
"""s after which PostgreSQL's standby is told that it is the primary."""


@dataclass(frozen=True)
class Replicated:
    """A primary and its replica.

    :param url: of both.
    :param kill: kills the primary, and returns when the replica has been told, if one has to.
    :param silence: the same, but that the primary takes connections and never answers any more, as
        one does that is cut off.
    :param caught_up: whether the replica has all of it.
    """

    url: str
    kill: Callable[[], None]
    silence: Callable[[], None]
    caught_up: Callable[[], bool]


@contextmanager
def replicated_redis() -> Iterator[Replicated]:
    """Redis, whose sentinel sees to it."""
    with watched_redis() as watched:
        yield Replicated(
            watched.url,
            watched.primary.kill,
            partial(watched.primary.signal, signal.SIGSTOP),
            watched.caught_up,
        )


@contextmanager
def replicated_postgresql() -> Iterator[Replicated]:
    """PostgreSQL, of whose standby somebody makes a primary."""
    with (
        postgresql_server("fsync=on") as primary,
        postgresql_standby(primary, "fsync=on") as standby,
    ):

        def promote_after(end: Callable[[], None]) -> None:
            end()
            time.sleep(PROMOTED_AFTER)
            standby.promote()

        places = ",".join(f"127.0.0.1:{each.port}" for each in (primary, standby))
        url = f"postgresql://postgres@{places}/postgres"
        yield Replicated(
            url,
            partial(promote_after, primary.stop),
            partial(promote_after, primary.pause),
            partial(standby.has_caught_up_with, primary),
        )
