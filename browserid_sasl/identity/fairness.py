"""Bounded memories that strangers share with everybody else.

Whoever has a domain can make up as many names below it as they like, each with a document of its
own or a failure of its own. So room is shared between parties, and not between names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

# Second-level labels under which the registries of countries give domains away.
_SHARED: Final = frozenset(
    ("ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "nom", "or", "org")
)
_COUNTRY_LENGTH: Final = 2

_Value = TypeVar("_Value")
_Key = TypeVar("_Key", bound=Hashable)


def party_of(domain: str) -> str:
    """What was registered of a domain: two labels of it, or three as in ``example.co.uk``.

    This is no list of all registries' habits. Where it takes different people for one party, they
    have the room of one.
    """
    labels = domain.rsplit(".", 3)
    shared = len(labels) > 2 and len(labels[-1]) == _COUNTRY_LENGTH and labels[-2] in _SHARED
    return ".".join(labels[-3 if shared else -2 :])


def surplus(kept: Iterable[tuple[_Key, str]], most: int) -> list[_Key]:
    """What has to go for there to be no more than `most`: always of the party that has the most.

    :param kept: keys with the domain each is of, those that may go first at the front.
    """
    of_party: dict[str, list[_Key]] = {}
    entries = 0
    for key, domain in kept:
        of_party.setdefault(party_of(domain), []).append(key)
        entries += 1
    going: list[_Key] = []
    while entries - len(going) > most:
        going.append(max(of_party.values(), key=len).pop(0))
    return going


class FairTable(Generic[_Value]):
    """Remembers values for a time. Nobody can push out what others have in it.

    When it is full, the party that has the most in it loses its oldest entry. Where none has more
    than the newcomer, the newcomer is not remembered. Its user does the locking.

    :param most: entries.
    :param life: ms for which an entry is remembered.
    """

    def __init__(self, most: int, life: int) -> None:
        self._most = most
        self._life = life
        self._entries: dict[str, tuple[str, int, _Value]] = {}
        self._parties: dict[str, dict[str, None]] = {}

    def get(self, key: str, now: int) -> _Value | None:
        """What is remembered, None if nothing is. A clock that was set back forgets (now: ms)."""
        entry = self._entries.get(key)
        return entry[2] if entry is not None and self._lives(entry[1], now) else None

    def put(self, key: str, domain: str, value: _Value, now: int) -> None:
        """Remember a value in place of the one of the same key, if there is room.

        :param domain: whose party it counts for.
        :param now: ms.
        """
        self.delete(key)
        party = party_of(domain)
        if len(self._entries) < self._most or self._make_room(party, now):
            self._entries[key] = (party, now, value)
            self._parties.setdefault(party, {})[key] = None

    def delete(self, key: str) -> None:
        """Forget a value, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            del self._parties[entry[0]][key]
            if not self._parties[entry[0]]:
                del self._parties[entry[0]]

    def _make_room(self, newcomer: str, now: int) -> bool:
        oldest, (_, since, _) = next(iter(self._entries.items()))
        if not self._lives(since, now):
            self.delete(oldest)
            return True
        largest = max(self._parties, key=lambda party: len(self._parties[party]))
        own = len(self._parties.get(newcomer, ()))
        if newcomer != largest and len(self._parties[largest]) <= own + 1:
            return False
        self.delete(next(iter(self._parties[largest])))
        return True

    def _lives(self, since: int, now: int) -> bool:
        return since <= now < since + self._life
