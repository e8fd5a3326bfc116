"""Work that is done once, however many threads ask for it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError
from browserid_sasl.forks import PerProcess

_Result = TypeVar("_Result")


class _Flight(Generic[_Result]):
    """A piece of work under way, and then what came of it."""

    def __init__(self) -> None:
        self._landed = threading.Event()
        self._result: _Result | None = None
        self._error = DiscoveryError(
            Code.UNAVAILABLE, "another login waited for the same document and broke off"
        )

    def fly(self, work: Callable[[], _Result]) -> _Result:
        try:
            self._result = work()
            return self._result
        except BrowserIDError as error:
            self._error = DiscoveryError.again(error)
            raise
        finally:
            self._landed.set()

    def result(self, wait: float) -> _Result:
        if not self._landed.wait(wait):
            raise DiscoveryError(
                Code.UNAVAILABLE,
                f"the document that others wait for too did not come within {wait:g} s",
                "try again later",
            )
        if self._result is None:
            raise DiscoveryError.again(self._error)
        return self._result


class _Sky(Generic[_Result]):
    """What is under way in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flights: dict[str, _Flight[_Result]] = {}


class Flights(Generic[_Result]):
    """Pieces of work by key. Safe for threads.

    :param wait: s for which to wait for work that another thread does.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._sky: PerProcess[_Sky[_Result]] = PerProcess(_Sky)

    def join(self, key: str, work: Callable[[], _Result]) -> _Result:
        """Do the work, or wait for the thread that is at it.

        :param work: has a time limit of its own. It fails for all as it fails for one.
        :raises DiscoveryError: what the work raised, or unavailable when it takes too long.
        """
        sky = self._sky.get()
        with sky.lock:
            flight = sky.flights.get(key)
            if flight is None:
                own = sky.flights[key] = _Flight()
        return self._lead(sky, key, own, work) if flight is None else flight.result(self._wait)

    def join_or_start_if(
        self, permitted: Callable[[], bool], key: str, work: Callable[[], _Result]
    ) -> None:
        """Like `join`, but do nothing where nobody is at it and it is not permitted to start.

        :param permitted: called by one thread at a time, and only when nobody is at it.
        """
        sky = self._sky.get()
        with sky.lock:
            flight = sky.flights.get(key)
            if flight is None:
                if not permitted():
                    return
                own = sky.flights[key] = _Flight()
        if flight is None:
            self._lead(sky, key, own, work)
        else:
            flight.result(self._wait)

    @staticmethod
    def _lead(
        sky: _Sky[_Result], key: str, flight: _Flight[_Result], work: Callable[[], _Result]
    ) -> _Result:
        try:
            return flight.fly(work)
        finally:
            with sky.lock:
                del sky.flights[key]
