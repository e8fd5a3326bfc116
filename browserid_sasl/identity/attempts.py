"""When a document was last asked for in vain, or asked for again: nobody can make us flood one."""

from __future__ import annotations

import threading
from typing import Final

from browserid_sasl.errors import BrowserIDError, DiscoveryError, NoProviderError
from browserid_sasl.forks import PerProcess
from browserid_sasl.identity.fairness import FairTable

RETRY_MS: Final = 30_000
"""For how long a failure to fetch is remembered, and how far apart forced fetches are."""

NONE_MS: Final = 300_000
"""For how long it is remembered that a domain has no provider, where that lets another one in."""

MAX_REMEMBERED: Final = 4096


class _Memory:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.failures: FairTable[BrowserIDError] = FairTable(MAX_REMEMBERED, RETRY_MS)
        self.forced: FairTable[bool] = FairTable(MAX_REMEMBERED, RETRY_MS)
        self.none: FairTable[bool] = FairTable(MAX_REMEMBERED, NONE_MS)


class Attempts:
    """Failures and forced fetches of documents by key. Safe for threads."""

    def __init__(self) -> None:
        self._memory = PerProcess(_Memory)

    def failed(self, key: str, domain: str, now: int, error: BrowserIDError) -> None:
        """Remember a failure.

        :param domain: of the person for whom it was asked, whose party it counts for.
        :param now: ms.
        """
        memory = self._memory.get()
        with memory.lock:
            memory.failures.put(key, domain, error, now)
            if isinstance(error, NoProviderError):
                memory.none.put(key, domain, True, now)
            else:
                # It may have been out of reach ever since it has one.
                memory.none.delete(key)

    def arrived(self, key: str) -> None:
        """There is a document."""
        memory = self._memory.get()
        with memory.lock:
            memory.none.delete(key)

    def knows_of_none(self, key: str, now: int) -> bool:
        """Whether there was none when it was last asked for, and that was not long ago."""
        memory = self._memory.get()
        with memory.lock:
            return memory.none.get(key, now) is not None

    def refuse_after_failure(self, key: str, now: int) -> None:
        """Fail as it did when it was last tried, if that was just now.

        :raises DiscoveryError: what it failed with.
        """
        memory = self._memory.get()
        with memory.lock:
            error = memory.failures.get(key, now)
        if error is not None:
            raise DiscoveryError.again(error)

    def claim(self, key: str, domain: str, now: int) -> bool:
        """Whether a forced fetch is due; if so it counts as made."""
        memory = self._memory.get()
        with memory.lock:
            if memory.forced.get(key, now):
                return False
            memory.forced.put(key, domain, True, now)
            return True

    def give_back(self, key: str) -> None:
        """A claim came to nothing: the next one may be made at once."""
        memory = self._memory.get()
        with memory.lock:
            memory.forced.delete(key)
