"""What many people take, with figures by which it can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.sizing.figures import (
    Comparison,
    Entries,
    Figures,
    Provider,
    Request,
    Trial,
)
from bench.sizing.kinds import ASSERTION, DOUBT, TICKET
from bench.sizing.meters import Reading
from bench.sizing.model import Part, Services
from bench.sizing.plan import (
    SLOTS,
    Assumptions,
    assertion_kept,
    failover,
    fullest,
    one_redis,
    plan,
    slot,
)

REDIS = {
    # Of an acceptor 1 ms and 0.5 ms, of the store 0.1 ms; two round trips or three.
    ASSERTION: Reading(0.7, 0.3, 0.2, 2, 1000),
    TICKET: Reading(0.3, 0.2, 0.2, 3, 2000),
    f"{ASSERTION}x16": Reading(0.6, 0.1, 0.1, 0.2, 500),
    f"{TICKET}x16": Reading(0.2, 0.1, 0.1, 1.2, 900),
    DOUBT: Reading(1.5, 0.5, 0.3, 3, 1100),
}
SERVICES = Services(
    {ASSERTION: Part(1.0, 0.1), TICKET: Part(0.5, 0.1)}, Part(0.1, 0.2), 0.1, Part(0.1, 0.0), 0.1
)
FIGURES = Figures(
    machine="2 processors (of a kind)",
    logins={"Redis": REDIS, "Redis cluster": REDIS},
    entries=Entries((1, 2), {"Redis": {ASSERTION: [9.0, 100.0], TICKET: [9.0, 400.0]}}),
    provider=Provider(
        people=10,
        requests={"PostgreSQL": {"renewal": Request(10.0, 5, 9, 5.0, 200.0)}},
        password=50.0,
        account=300.0,
        machine=800.0,
    ),
    trial=Trial((100.0, 110.0), SERVICES, [Comparison(0.3, 30.0, (1.0, 1.1), (2.0, 2.5))], 2, 0.0),
)
#: Ten logins a day of 864,000 people are a hundred a second.
PEOPLE = Assumptions(864_000, logins=10, first=0.1, machines=2, sign_ins=0.1, peak=3, within=0.5)


def test_logins() -> None:
    made = plan(PEOPLE, FIGURES)
    assert (made.average, made.peak) == pytest.approx((100, 300))


def test_acceptors() -> None:
    # 300 times 0.1 * 1 ms and 0.9 * 0.5 ms are 165 ms of each second.
    made = plan(PEOPLE, FIGURES)
    assert made.acceptor_cores == pytest.approx(0.165)
    assert made.hosts == 2
    assert plan(replace(PEOPLE, cores=1, load=0.05), FIGURES).hosts == 5


def test_entries_of_the_store() -> None:
    # An assertion is kept for 20 minutes, a ticket for as long as half the day's logins come in.
    made = plan(PEOPLE, FIGURES)
    assert assertion_kept() == 1200
    assert made.assertions == pytest.approx(300 * 1200)
    assert made.tickets == pytest.approx(4_320_000)
    assert made.memory == pytest.approx(36_000_000 + 1_728_000_000)


def test_the_store_s_work() -> None:
    made = plan(PEOPLE, FIGURES)
    assert made.store_cores == pytest.approx(0.03)
    assert made.round_trips == pytest.approx(300 * 2.9)
    assert made.network == pytest.approx(300 * 1900)


def test_one_redis_is_enough_until_its_memory_is_not() -> None:
    made = plan(PEOPLE, FIGURES)
    assert (made.store, made.primaries, made.fullest) == ("Redis", 1, 64)
    tight = plan(replace(PEOPLE, memory=1_000_000_000), FIGURES)
    assert tight.store == "Redis cluster"
    assert tight.memory * tight.fullest / 64 <= 1_000_000_000
    assert tight.memory * fullest(tight.primaries - 1) / 64 > 1_000_000_000
    # By names there is no part that has more than others: 1.764 GB are two of 1 GB.
    assert (made.names, tight.names) == (1, 2)


def test_or_until_its_processor_is_not() -> None:
    busy = plan(replace(PEOPLE, load=0.02), FIGURES)
    assert busy.store == "Redis cluster"
    assert busy.store_cores * busy.fullest / 64 <= 0.02


def test_more_than_a_cluster_can_hold() -> None:
    with pytest.raises(ValueError, match="too many for one store"):
        plan(replace(PEOPLE, memory=1_000_000), FIGURES)


def test_for_how_many_one_redis_is_enough() -> None:
    most = one_redis(PEOPLE, FIGURES)
    assert plan(replace(PEOPLE, people=most), FIGURES).primaries == 1
    assert plan(replace(PEOPLE, people=most + most // 100), FIGURES).primaries > 1


def test_providers() -> None:
    # 864,000 renewals a day are ten a second, thirty in the busiest minute, 5 ms one by one;
    # there are three sign-ins a second then.
    made = plan(PEOPLE, FIGURES)
    assert made.certificates == pytest.approx(30)
    assert made.provider_cores == pytest.approx(0.3 + 0.15)
    assert made.databases == 1
    assert plan(replace(PEOPLE, load=0.05), FIGURES).databases == 3
    assert made.provider_disk == pytest.approx(864_000 * 1900)
    assert made.log == pytest.approx(864_000 * 365 * 200)


def test_a_failover() -> None:
    # An extra round trip is a millisecond more for each of 300; 2.5 ms if tickets are lost.
    lost = failover(PEOPLE, FIGURES)
    assert lost.minutes == 20
    assert lost.cores == pytest.approx(0.165 + 0.3)
    assert lost.storm_cores == pytest.approx(300 * 2.5 / 1000)
    assert lost.storm_certificates == 300
    assert lost.storm_databases == 3


def test_slots_are_those_of_redis() -> None:
    # The example of the cluster's specification, and what CLUSTER KEYSLOT says of ours.
    assert slot(b"123456789") == 0x31C3 % SLOTS
    assert slot(b"") == 0


@pytest.mark.parametrize("primaries", [1, 2, 3, 8, 64, 1000])
def test_the_fullest_primary_has_no_less_than_its_share(primaries: int) -> None:
    assert 64 / primaries <= fullest(primaries) <= 64


def test_figures_are_kept_as_they_are(tmp_path: Path) -> None:
    FIGURES.save(tmp_path / "figures.json")
    kept = Figures.load(tmp_path / "figures.json")
    assert plan(PEOPLE, kept) == plan(PEOPLE, FIGURES)
    assert kept.trial.services == SERVICES
    kept.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "figures.json").read_text()


def test_one_part_can_be_measured_anew() -> None:
    again = FIGURES.with_parts(machine="another")
    assert (again.machine, again.logins) == ("another", FIGURES.logins)
