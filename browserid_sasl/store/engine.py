"""What a shared store needs of a database: to keep octets under names until a time.

The database is trusted with nothing but to say truly whether a name is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from browserid_sasl.database_url import DatabaseUrl
from browserid_sasl.errors import Code, StoreError


class Table(Enum):
    """What is kept."""

    ASSERTION = "a"
    TICKET = "t"


@dataclass(frozen=True, slots=True)
class Item:
    """An entry.

    :param name: 16 octets.
    :param until: ms of the database's clock after which it is forgotten.
    :param value: octets.
    """

    name: bytes
    until: int
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a database says of assertions that were to be recorded.

    :param now: the time of its clock, ms.
    :param run: what changes whenever it may have lost something: it was started again, or another
        took its place.
    :param mark: what is in its mark, None if there is none.
    :param new: of each assertion, whether it was not there.
    """

    now: int
    run: str
    mark: bytes | None
    new: Sequence[bool]


class Gone(StoreError):
    """The connection broke while something was asked; it may have been done or not."""

    def __init__(self, what: str) -> None:
        super().__init__(
            Code.UNAVAILABLE,
            what,
            "logins work again when it runs and can be reached: see `browserid doctor`",
        )


def untrusted(url: DatabaseUrl) -> StoreError:
    """The error that a database's certificate is not what it has to be."""
    return StoreError(
        Code.UNAVAILABLE,
        f"the certificate of {url} is not one for its name, or not of an authority that is trusted"
        " here",
        "see its certificate, and `ca_file` in [store]",
    )


class Engine(Protocol):
    """A database. Safe for threads. Every method may raise `StoreError`.

    :param shards: parts that are each recorded in by themselves, and have a mark each.
    """

    @property
    def shards(self) -> int:
        """Parts that are each recorded in by themselves, and have a mark each."""

    def admit(self, shard: int, items: Sequence[Item]) -> Admitted:
        """Record assertions unless they are there, each at once on all hosts.

        What is recorded is as durable as the configuration asks when this returns.
        """

    def set_mark(self, shard: int, mark: bytes) -> None:
        """Put a part's mark in place."""

    def look(self, shard: int) -> Admitted:
        """Like `admit` of nothing, and at once."""

    def add(self, table: Table, items: Sequence[Item]) -> Sequence[bool]:
        """Keep entries unless their names are there; which were not."""

    def get(self, table: Table, name: bytes) -> bytes | None:
        """The value of a name, None if there is none."""

    def delete(self, table: Table, name: bytes) -> bool:
        """Forget an entry; whether it was there."""

    def all(self, table: Table) -> Iterator[Item]:
        """Every entry."""

    def purge(self, table: Table, before: int) -> int:
        """Forget what need not be kept until `before` (ms); how many went."""

    def drop_marks(self) -> None:
        """Have nobody rely on what is recorded so far."""

    def clear(self) -> None:
        """Forget everything, the marks too."""

    def close(self) -> None:
        """Let go of connections; they are opened again when they are needed."""
