"""The model of acceptors at a shared store: what it says where it can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.sizing.kinds import ASSERTION, TICKET
from bench.sizing.meters import Reading
from bench.sizing.model import (
    SWITCH,
    Part,
    Seen,
    Services,
    Site,
    poisson,
    saturate,
    simulate,
)

NOTHING = Part(0.0, 0.0)
PLAIN = Services(
    loop={ASSERTION: Part(1.0, 0.0), TICKET: Part(0.5, 0.0)},
    trip=Part(0.2, 0.0),
    entry=0.1,
    question=Part(0.05, 0.0),
    stored=0.01,
)
ONE_HOST = Site(1, cores=2)


def test_a_login_by_itself_takes_what_its_parts_take() -> None:
    # Two questions: 1.0 of the loop, 2 * 0.2 and 0.1 of a thread, 2 * 0.05 and 0.01 of the store.
    [wait] = simulate(ONE_HOST, PLAIN, [(0.0, ASSERTION)]).waits
    assert wait == pytest.approx(1.0 + 0.4 + 0.1 + 0.1 + 0.01)


def test_one_by_ticket_asks_once_more() -> None:
    [wait] = simulate(ONE_HOST, PLAIN, [(0.0, TICKET)]).waits
    assert wait == pytest.approx(0.5 + 0.6 + 0.1 + 0.15 + 0.01)


def test_whoever_is_woken_takes_a_while_to_come() -> None:
    # To the loop, to the thread, to the store and back twice, to the loop, and to who has asked.
    woken = replace(PLAIN, wake=1.0)
    [wait] = simulate(ONE_HOST, woken, [(0.0, ASSERTION)]).waits
    assert wait == pytest.approx(1.61 + 8)


def test_sleeping_processors_take_longer() -> None:
    loop = {ASSERTION: Part(1.0, 0.25), TICKET: Part(0.5, 0.0)}
    # The loop sleeps twice, before it verifies and before it answers.
    for share, more in ((0.0, 0.0), (1.0, 0.25)):
        services = replace(PLAIN, loop=loop | {ASSERTION: Part(1.0, 0.25 * share)})
        [wait] = simulate(ONE_HOST, services, [(0.0, ASSERTION)]).waits
        assert 1.61 + more <= wait <= 1.61 + 2 * more + 1e-9


def test_those_who_come_together_are_written_down_together() -> None:
    # What a round trip takes by itself is paid once: 16 alone would take 16 times 1.61.
    outcome = simulate(ONE_HOST, PLAIN, [(0.0, ASSERTION)] * 16)
    assert max(outcome.waits) < 16 * 1.61 - 14 * (0.4 + 0.1)


def test_a_thread_waits_for_a_busy_loop_until_it_loses_patience() -> None:
    # 40 come while the first is with the store; its thread has to have the interpreter twice more.
    arrivals = [(0.0, ASSERTION), *[(1.0, ASSERTION)] * 40]
    first = simulate(ONE_HOST, PLAIN, arrivals).waits[0]
    assert SWITCH < first < 8 * SWITCH


@pytest.mark.parametrize("kind", [ASSERTION, TICKET])
def test_a_host_admits_no_more_than_its_processors_can(kind: str) -> None:
    loop = replace(PLAIN, trip=NOTHING, entry=0.0, question=NOTHING, stored=0.0)
    outcome = saturate(ONE_HOST, loop, [kind] * 3000, 64)
    assert outcome.rate == pytest.approx(1000 / loop.loop[kind].work, rel=0.02)


def test_hosts_of_their_own_admit_as_many_times_more() -> None:
    loop = replace(PLAIN, trip=NOTHING, entry=0.0, question=NOTHING, stored=0.0)
    one, three = (
        saturate(Site(hosts, cores=1), loop, [ASSERTION] * 3000, 16 * hosts) for hosts in (1, 3)
    )
    assert three.rate == pytest.approx(3 * one.rate, rel=0.02)


def test_on_one_machine_they_share_its_processors() -> None:
    loop = replace(PLAIN, trip=NOTHING, entry=0.0, question=NOTHING, stored=0.0)
    outcome = saturate(Site(3, machine=2), loop, [ASSERTION] * 3000, 48)
    assert outcome.rate == pytest.approx(2000, rel=0.02)


def test_what_other_programs_are_given_is_missing() -> None:
    shared = replace(PLAIN, trip=NOTHING, entry=0.0, question=NOTHING, stored=0.0)
    # 50 ms of each second of both processors.
    site = Site(3, machine=2, others=True)
    outcome = saturate(site, shared, [ASSERTION] * 8000, 48)
    assert outcome.rate == pytest.approx(2000 * 0.95, rel=0.02)
    [wait] = simulate(site, shared, [(0.0, ASSERTION)]).waits
    assert wait == pytest.approx(1.0)


def test_a_slow_store_is_what_they_wait_for() -> None:
    slow = replace(PLAIN, question=Part(1.0, 0.0), stored=1.0)
    # A login is a millisecond of the store's, and each batch two more: three for one by itself.
    outcome = saturate(Site(3, cores=2), slow, [ASSERTION] * 3000, 192)
    assert 1000 / 3 < outcome.rate < 1000


def test_the_same_arrivals_come_to_the_same() -> None:
    arrivals = poisson(900, 2000, {ASSERTION: 0.2, TICKET: 0.8}, 5)
    assert arrivals == poisson(900, 2000, {ASSERTION: 0.2, TICKET: 0.8}, 5)
    assert arrivals != poisson(900, 2000, {ASSERTION: 0.2, TICKET: 0.8}, 6)
    one, other = (simulate(Site(3, machine=2), PLAIN, arrivals) for _ in range(2))
    assert one == other


def test_arrivals_are_as_many_and_of_the_kinds_that_are_asked_for() -> None:
    arrivals = poisson(500, 20_000, {ASSERTION: 0.2, TICKET: 0.8}, 1)
    assert arrivals[-1][0] == pytest.approx(40_000, rel=0.03)
    share = [kind for _, kind in arrivals].count(ASSERTION) / len(arrivals)
    assert share == pytest.approx(0.2, abs=0.02)


def test_the_parts_are_told_apart_by_what_was_seen() -> None:
    def seen(loop: float, threads: float, store: float, trips: float, wait: float = 0.0) -> Seen:
        return Seen(Reading(loop, threads, store, trips), 0.1, wait)

    # A round trip: 0.2 of a thread, 0.05 of the store; 0.3 and 0.15 if it has to be woken.
    alone = {
        ASSERTION: seen(1.5, 0.7, 0.31, 2, wait=3.41),
        TICKET: seen(1.1, 1.0, 0.46, 3),
    }
    full = {
        ASSERTION: seen(1.0, 0.1 + 0.25 * 0.2, 0.01 + 0.25 * 0.05, 0.25),
        TICKET: seen(0.5, 0.1 + 1.25 * 0.2, 0.01 + 1.25 * 0.05, 1.25),
    }
    services = Services.of(alone, full)
    assert parts(services.loop[ASSERTION]) == pytest.approx((1.0, 0.25))
    assert parts(services.loop[TICKET]) == pytest.approx((0.5, 0.2))
    assert (*parts(services.trip), services.entry) == pytest.approx((0.2, 0.1, 0.1))
    assert (*parts(services.question), services.stored) == pytest.approx((0.05, 0.1, 0.01))
    # What is left of the wait, of 1.5, 0.7, 0.31 and the client's 0.1, by eight.
    assert services.wake == pytest.approx(0.1)


def parts(part: Part) -> tuple[float, float]:
    return part.work, part.woken
