"""Work that is done once, however many threads ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.identity.flights import Flights
from tests.support.forks import in_child
from tests.support.refusal import refused

THREADS = 50


@dataclass
class Work:
    """Takes until it is released, and counts how often it was begun."""

    outcome: Callable[[], int] = lambda: 7
    begun: int = 0
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> int:
        self.begun += 1
        self.started.set()
        assert self.released.wait(10)
        return self.outcome()


def fail() -> int:
    raise DiscoveryError(Code.HTTP_ERROR, "nobody answers", "wait")


def break_off() -> int:
    raise KeyboardInterrupt


def together(flights: Flights[int], work: Work) -> list[int | BaseException]:
    """What many threads get that ask while the first one is at it."""

    def ask() -> int | BaseException:
        try:
            return flights.join("a", work)
        except (DiscoveryError, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(ask) for _ in range(THREADS)]
        assert work.started.wait(10)
        work.released.set()
        return [each.result(10) for each in asked]


def test_all_get_the_result_of_one() -> None:
    work = Work()
    assert together(Flights(10), work) == [7] * THREADS
    # A thread that the system was slow to start may have come after the others had landed.
    assert work.begun < THREADS


def test_all_fail_as_one_fails_with_an_exception_of_their_own() -> None:
    work = Work(fail)
    failures = together(Flights(10), work)
    assert {str(failure) for failure in failures} == {"nobody answers: wait"}
    assert len({id(failure) for failure in failures}) == THREADS


def test_a_thread_that_is_stopped_leaves_nobody_waiting() -> None:
    outcomes = together(Flights(10), Work(break_off))
    kinds = {type(outcome) for outcome in outcomes}
    assert kinds <= {KeyboardInterrupt, DiscoveryError}
    assert KeyboardInterrupt in kinds


def test_nobody_waits_for_ever() -> None:
    flights: Flights[int] = Flights(0.1)
    work = Work()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.join, "a", work)
        assert work.started.wait(10)
        with refused(Code.UNAVAILABLE, "within 0.1 s", kind=DiscoveryError):
            flights.join("a", work)
        work.released.set()
        assert first.result(10) == 7


def test_what_has_landed_is_done_again() -> None:
    flights: Flights[int] = Flights(10)
    results = iter(range(3))
    assert [flights.join("a", lambda: next(results)) for _ in range(3)] == [0, 1, 2]


def test_others_do_not_wait() -> None:
    flights: Flights[int] = Flights(10)
    work = Work()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.join, "a", work)
        assert work.started.wait(10)
        assert flights.join("b", lambda: 8) == 8
        work.released.set()
        first.result(10)


def test_what_may_not_be_started_can_be_joined() -> None:
    flights: Flights[int] = Flights(10)
    work = Work()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.join, "a", work)
        assert work.started.wait(10)
        second = pool.submit(flights.join_or_start_if, lambda: False, "a", work)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        work.released.set()
        first.result(10)
        second.result(10)
    flights.join_or_start_if(lambda: False, "a", work)
    assert work.begun == 1


def test_a_forked_child_does_not_wait_for_threads_it_has_not() -> None:
    flights: Flights[int] = Flights(5)
    work = Work()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.join, "a", work)
        assert work.started.wait(10)
        assert in_child(lambda: str(flights.join("a", lambda: 9))) == "9"
        work.released.set()
        first.result(10)
