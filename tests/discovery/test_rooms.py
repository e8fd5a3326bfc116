"""How much is under way at once, and who is sent away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from browserid_sasl.discovery.rooms import (
    PARTY_SHARE,
    Room,
    rooms_for_configured,
    rooms_for_strangers,
)
from browserid_sasl.errors import Code, DiscoveryError
from tests.support.forks import in_child
from tests.support.refusal import refused


def test_there_are_so_many_places_and_no_more() -> None:
    room = Room(3, 3)
    leave = [room.enter(f"d{number}.test") for number in range(3)]
    with refused(Code.UNAVAILABLE, "d3.test is not asked", kind=DiscoveryError):
        room.enter("d3.test")
    leave[1]()
    room.enter("d3.test")


def test_one_party_has_its_share() -> None:
    room = Room(10, 2)
    leave = [room.enter(f"x{number}.evil.test") for number in range(2)]
    with refused(Code.UNAVAILABLE):
        room.enter("x3.evil.test")
    room.enter("idp.test")
    leave[0]()
    room.enter("x3.evil.test")


def test_those_for_strangers_are_for_several_parties() -> None:
    room = rooms_for_strangers(8).documents
    for number in range(8 // PARTY_SHARE):
        room.enter(f"x{number}.evil.test")
    with refused(Code.UNAVAILABLE):
        room.enter("evil.test")


def test_they_are_the_process_s_whoever_asks() -> None:
    assert rooms_for_strangers(5) is rooms_for_strangers(5)
    assert rooms_for_configured(5) is rooms_for_configured(5)
    assert rooms_for_configured(5) is not rooms_for_strangers(5)


def test_a_forked_child_begins_with_an_empty_one() -> None:
    room = Room(1, 1)
    leave = room.enter("idp.test")

    def enter() -> str:
        room.enter("idp.test")
        leave()
        return "entered"

    assert in_child(enter) == "entered"
    with refused(Code.UNAVAILABLE):
        room.enter("idp.test")


def test_threads_are_counted_right() -> None:
    room = Room(10, 10)
    most = 0
    inside = 0
    lock = threading.Lock()

    def stay() -> bool:
        nonlocal inside, most
        try:
            leave = room.enter("idp.test")
        except DiscoveryError:
            return False
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        leave()
        return True

    with ThreadPoolExecutor(40) as pool:
        assert any(pool.map(lambda _: stay(), range(4000)))
    assert most <= 10
    for _ in range(10):
        room.enter("idp.test")
