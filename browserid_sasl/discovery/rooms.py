"""How much is under way at once. Who finds no room is told so and does not wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.forks import PerProcess
from browserid_sasl.identity.fairness import party_of

PARTY_SHARE: Final = 4
"""A room for strangers is for this many parties at the least: one has no more than its share."""


class _Inside:
    """Who is in the room, by party."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.parties: Counter[str] = Counter()

    def leave(self, party: str) -> None:
        with self.lock:
            self.parties[party] -= 1
            if not self.parties[party]:
                del self.parties[party]


class Room:
    """Room for so many in this process. Safe for threads.

    :param most: in all.
    :param share: of one party, see `identity.fairness.party_of`.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._inside = PerProcess(_Inside)

    def enter(self, host: str) -> Callable[[], None]:
        """Take a place.

        :param host: whose party it counts for.
        :returns: gives it back; to be called once.
        :raises DiscoveryError: unavailable when there is none.
        """
        inside = self._inside.get()
        party = party_of(host)
        with inside.lock:
            full = inside.parties.total() >= self._most
            if full or inside.parties[party] >= self._share:
                raise no_room(host)
            inside.parties[party] += 1
        return lambda: inside.leave(party)


@dataclass(frozen=True, slots=True)
class Rooms:
    """Room for what looking up a document takes.

    :param documents: for fetching them.
    :param names: for resolving names, which goes on when nobody waits for the answer any more.
    """

    documents: Room
    names: Room


@cache
def rooms_for_strangers(most: int) -> Rooms:
    """This process's room for providers whose names come from tokens.

    :param most: look-ups at once.
    """
    share = max(1, most // PARTY_SHARE)
    return Rooms(Room(most, share), Room(most, share))


@cache
def rooms_for_configured(most: int) -> Rooms:
    """This process's room for providers that the configuration names: no stranger takes it."""
    return Rooms(Room(most, most), Room(most, most))


def no_room(host: str) -> DiscoveryError:
    """What is raised when too much is under way to ask a host."""
    return DiscoveryError(
        Code.UNAVAILABLE,
        f"{host} is not asked for its document now: too many others are being asked",
        "try again later; `max_lookups` in the configuration's [discovery] section is the limit",
    )
