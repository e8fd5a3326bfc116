"""What is kept of passwords: argon2id hashes (RFC 9106), their cost, and what stands in for one.

The usual cost is the least that OWASP's Password Storage Cheat Sheet recommends. Each sign-in pays
it, whoever tries one included, and a provider has to bear a crowd in the morning.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from argon2 import PasswordHasher
from argon2.low_level import ARGON2_VERSION
from sqlalchemy import func, select

from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.server_secret import ServerSecret

LEAST_MEMORY_MIB: Final = 19
LEAST_PASSES: Final = 2
"""Below these two nobody recommends to go (OWASP, Password Storage Cheat Sheet)."""

NO_PASSWORD: Final = ""
"""In place of a hash."""

_TALLY_MS: Final = 60_000
"""How long it is known which costs there are: to count them all accounts are read."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one hash.

    :param memory: MiB.
    :param passes: over that.
    """

    memory: int = LEAST_MEMORY_MIB
    passes: int = LEAST_PASSES

    def hasher(self) -> PasswordHasher:
        """What makes and checks hashes of this cost.

        In one lane: several people sign in at once, and there are no more processors for that.
        """
        return PasswordHasher(time_cost=self.passes, memory_cost=self.memory * 1024, parallelism=1)


class StandIns:
    """Hashes of no known password, for addresses that have none. Safe for threads.

    A password is compared with one for as long as with somebody's. Where accounts have hashes of
    different costs, as long after the cost was changed, each address without a password has one of
    these, always the same, and as many have each as accounts do: the time says nothing.

    :param database: with the accounts.
    :param hasher: makes the hashes of today, where no account has one.
    """

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._secret = ServerSecret(database)
        self._salt, self._digest = map(_random, (hasher.salt_len, hasher.hash_len))
        costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        self._today = f"$argon2id$v={ARGON2_VERSION}${costs}"
        self._tally: tuple[int, list[tuple[str, int]]] = (-_TALLY_MS, [])

    def hash(self, address: str, now: int) -> str:
        """What stands in for the hash of an address.

        :param now: ms.
        """
        costs = self._costs(now)
        place = self._share(address) * sum(accounts for _, accounts in costs) >> 64
        for cost, accounts in costs:
            place -= accounts
            if place < 0:
                return self._complete(cost)
        return self._complete(self._today)

    def _complete(self, cost: str) -> str:
        return f"{cost}${self._salt}${self._digest}"

    def _share(self, address: str) -> int:
        """Of 2**64: where an address is among all."""
        return int.from_bytes(hmac.digest(self._key, address.encode(), hashlib.sha256)[:8])

    @cached_property
    def _key(self) -> bytes:
        return self._secret.key("what stands in for a password")

    def _costs(self, now: int) -> list[tuple[str, int]]:
        """How many accounts have which cost, as their hashes begin with it."""
        counted, costs = self._tally
        if not 0 <= now - counted < _TALLY_MS:
            costs = self._count()
            self._tally = (now, costs)
        return costs

    def _count(self) -> list[tuple[str, int]]:
        rest = len(self._complete(""))
        cost = func.substr(Account.password, 1, func.length(Account.password) - rest)
        asked = select(cost, func.count()).where(Account.password != NO_PASSWORD)
        with self._database.reading() as session:
            return [(cost, many) for cost, many in session.execute(asked.group_by(cost))]


def _random(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode("ascii").rstrip("=")
