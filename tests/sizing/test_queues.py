"""The parts that the model of capacity is made of, beside what is known of queues."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import factorial
from random import Random

import pytest

from bench.sizing.queues import Cores, Lock, Server, Simulation

CUSTOMERS = 20_000
Work = Callable[[], float]


def waits(simulation: Simulation, server: Server, rate: float, work: Work) -> list[float]:
    """What each of many customers waits and is served for, if they come at this rate, in ms."""
    random, due, found = Random(7), 0.0, []

    def come(now: float) -> None:
        server.serve(work(), lambda: found.append(simulation.now - now))

    for _ in range(CUSTOMERS):
        due += random.expovariate(rate)
        simulation.at(due, partial(come, due))
    simulation.run()
    assert len(found) == CUSTOMERS
    return found


def mean_wait(count: int, rate: float, work: Work) -> float:
    simulation = Simulation()
    server = Server(Cores(simulation, count), count)
    return sum(waits(simulation, server, rate, work)) / CUSTOMERS


def exponential(mean: float) -> Work:
    return partial(Random(11).expovariate, 1 / mean)


def erlang_c(count: int, offered: float) -> float:
    """How likely it is that all are busy (Erlang's C formula)."""
    busy = offered**count / factorial(count) * count / (count - offered)
    return busy / (sum(offered**each / factorial(each) for each in range(count)) + busy)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_and_chance(load: float) -> None:
    # M/M/1: a mean of 1 / (mu - lambda).
    assert mean_wait(1, load, exponential(1.0)) == pytest.approx(1 / (1 - load), rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_and_the_same_work_each_time(load: float) -> None:
    # M/D/1 (Pollaczek and Khinchine): half the wait of M/M/1.
    expected = 1 + load / (2 * (1 - load))
    assert mean_wait(1, load, lambda: 1.0) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_several_servers(count: int, load: float) -> None:
    # M/M/c: Erlang's C, divided by what is left of all of them.
    offered = load * count
    expected = 1 + erlang_c(count, offered) / (count - offered)
    assert mean_wait(count, offered, exponential(1.0)) == pytest.approx(expected, rel=0.1)


def test_the_same_happens_each_time() -> None:
    simulations = Simulation(), Simulation()
    one, other = (
        waits(each, Server(Cores(each, 1)), 0.7, exponential(1.0)) for each in simulations
    )
    assert one == other


def test_waking_a_processor_takes_longer_than_going_on() -> None:
    simulation = Simulation()
    cores = Cores(simulation, 1)
    ends: list[float] = []
    for _ in range(3):
        cores.run(1.0, lambda: ends.append(simulation.now), woken=0.5)
    simulation.run()
    assert ends == [1.5, 2.5, 3.5]


def test_what_follows_at_once_finds_its_processor_awake() -> None:
    simulation = Simulation()
    cores = Cores(simulation, 1)
    ends: list[float] = []
    end = partial(_note, simulation, ends)
    cores.run(1.0, lambda: cores.run(1.0, end, woken=0.5), woken=0.5)
    simulation.run()
    assert ends == [2.5]


def test_a_second_processor_that_sleeps_has_to_be_woken() -> None:
    simulation = Simulation()
    cores = Cores(simulation, 2)
    ends: list[float] = []
    end = partial(_note, simulation, ends)
    cores.run(1.0, end, woken=0.5)
    cores.run(1.0, end, woken=0.25)
    simulation.run()
    assert ends == [1.25, 1.5]


def test_a_lock_is_had_by_one_after_the_other() -> None:
    simulation = Simulation()
    lock = Lock(simulation, 5.0)
    order: list[int] = []
    for number in range(3):
        lock.acquire(partial(order.append, number))
    assert order == [0]
    lock.release()
    lock.release()
    assert order == [0, 1, 2]
    lock.release()
    lock.acquire(partial(order.append, 3))
    assert order[-1] == 3


@pytest.mark.parametrize(("waited", "demanded"), [(4.9, False), (5.0, True)])
def test_who_has_waited_for_a_lock_long_enough_demands_it(waited: float, demanded: bool) -> None:
    simulation = Simulation()
    lock = Lock(simulation, 5.0)
    lock.acquire(lambda: None)
    assert not lock.is_demanded()
    lock.acquire(lambda: None)
    simulation.after(waited, lambda: None)
    simulation.run()
    assert lock.is_demanded() is demanded


def _note(simulation: Simulation, ends: list[float]) -> None:
    ends.append(simulation.now)
