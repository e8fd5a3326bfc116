"""Three acceptors in front of one store: what one has admitted, no other admits."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support.acceptor import Program
from tests.support.patience import wait_until
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.redis_server import RedisServer, redis_server
from tests.support.replicated import Replicated, replicated_postgresql, replicated_redis
from tests.support.services import AES128
from tests.support.several_hosts import SeveralHosts, several_hosts

REPLAYED = "replayed-assertion"


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[RedisServer, PostgresqlServer]]:
    with redis_server() as redis, postgresql_server("fsync=on") as postgresql:
        yield redis, postgresql


@pytest.fixture(scope="module", params=["redis", "postgresql"])
def url(request: pytest.FixtureRequest, databases: tuple[RedisServer, PostgresqlServer]) -> str:
    redis, postgresql = databases
    return redis.url if request.param == "redis" else postgresql.uri()


@pytest.fixture(scope="module")
def hosts(url: str, provider_key: PrivateKey) -> Iterator[SeveralHosts]:
    with several_hosts(url, provider_key) as hosts:
        yield hosts


@pytest.fixture
def volatile() -> Iterator[RedisServer]:
    """A Redis that keeps nothing when it is started again."""
    with redis_server() as server:
        yield server


def test_of_presentations_at_all_of_them_at_once_one_is_admitted(hosts: SeveralHosts) -> None:
    for answers in hosts.present_everywhere(hosts.messages(100)):
        assert sorted(answers) == ["OK", REPLAYED, REPLAYED]


def test_a_ticket_from_one_works_at_the_others(hosts: SeveralHosts) -> None:
    client = hosts.client()
    first = client.start_with(AES128)
    assert hosts.log_in(0, first).verb == "OK"
    assert not first.result.ticket_used
    for at in (1, 2, 0):
        again = client.start_with(AES128)
        assert hosts.log_in(at, again).verb == "OK"
        assert again.result.ticket_used


def test_the_others_go_on_when_one_host_dies(url: str, provider_key: PrivateKey) -> None:
    with several_hosts(url, provider_key) as hosts:
        [message] = hosts.messages(1)
        assert hosts.present(0, message).verb == "OK"
        hosts.daemons[0].kill()
        for at in (1, 2):
            assert hosts.present(at, message).parameters["bid_code"] == REPLAYED
        assert [hosts.log_in(at, hosts.mechanism()).verb for at in (1, 2)] == ["OK"] * 2


def test_an_empty_redis_in_place_of_the_old_one_lets_no_assertion_in_again(
    volatile: RedisServer, provider_key: PrivateKey
) -> None:
    with several_hosts(volatile.url, provider_key) as hosts:
        messages = hosts.messages(8)
        assert all("OK" in answers for answers in hosts.present_everywhere(messages))
        volatile.kill()
        fail = hosts.log_in(1, hosts.mechanism())
        assert (fail.verb, fail.parameters["bid_code"]) == ("FAIL", "unavailable")
        assert "temp" in fail.parameters
        volatile.start()
        # They are asked for a proof that they are fresh, which nobody has who has recorded them.
        wait_until(lambda: recovered(hosts), "the recovery")
        for answers in hosts.present_everywhere(messages):
            assert "OK" not in answers
        for at in range(3):
            assert hosts.log_in(at, hosts.mechanism()).verb == "OK"
        wait_until(lambda: any("may have lost" in each.log for each in hosts.daemons), "the word")


@pytest.mark.parametrize("replicated", [replicated_redis, replicated_postgresql])
def test_a_replica_that_takes_over_lets_no_assertion_in_again(
    replicated: Callable[[], AbstractContextManager[Replicated]], provider_key: PrivateKey
) -> None:
    with (
        replicated() as database,
        several_hosts(database.url, provider_key, count=2) as hosts,
    ):
        client, messages = hosts.client(), hosts.messages(8)
        assert hosts.log_in(0, client.start_with(AES128)).verb == "OK"
        assert all("OK" in each for each in hosts.present_everywhere(messages[:4], (0, 1)))
        wait_until(database.caught_up, "the replica has it")
        # Of these some may be lost: nobody waits until the replica has them.
        hosts.present_everywhere(messages[4:], (0, 1))
        database.kill()
        wait_until(
            lambda: all(hosts.log_in(at, hosts.mechanism()).verb == "OK" for at in (0, 1)),
            "the recovery, with no restart of a host",
        )
        for answers in hosts.present_everywhere(messages, (0, 1)):
            assert "OK" not in answers
        for at in (0, 1):
            by_ticket = client.start_with(AES128)
            assert hosts.log_in(at, by_ticket).verb == "OK"
            assert by_ticket.result.ticket_used


def recovered(hosts: SeveralHosts) -> bool:
    return all(hosts.log_in(at, hosts.mechanism()).verb == "OK" for at in range(3))


def test_a_database_that_says_nothing_fails_logins_in_time_and_holds_up_nobody_else(
    volatile: RedisServer, provider_key: PrivateKey
) -> None:
    with several_hosts(volatile.url, provider_key, timeout=1, count=1) as hosts:
        volatile.signal(signal.SIGSTOP)
        try:
            with Program(hosts.hosts[0].socket) as waiting:
                waiting.begin(1, AES128, hosts.messages(1)[0], bid="1")
                # The loop goes on: another program is greeted, and answered, in the meantime.
                with Program(hosts.hosts[0].socket) as other:
                    other.begin(1, AES128, b"nonsense", bid="1")
                    assert other.reply().verb in ("FAIL", "CONT")
                    began = time.monotonic()
                    reply = waiting.reply()
        finally:
            volatile.signal(signal.SIGCONT)
        assert (reply.verb, reply.parameters["bid_code"]) == ("FAIL", "unavailable")
        assert time.monotonic() - began < 30
        assert hosts.log_in(0, hosts.mechanism()).verb == "OK"


def test_nobody_is_admitted_whom_no_replica_has_heard_of(
    volatile: RedisServer, provider_key: PrivateKey
) -> None:
    further = 'durability = "replicas"\n'
    with several_hosts(volatile.url, provider_key, timeout=1, count=1, further=further) as hosts:
        fail = hosts.log_in(0, hosts.mechanism())
        assert (fail.verb, fail.parameters["bid_code"]) == ("FAIL", "unavailable")
        with redis_server("--replicaof", "127.0.0.1", str(volatile.port)):
            wait_until(lambda: hosts.log_in(0, hosts.mechanism()).verb == "OK", "a login")


def test_clocks_that_are_four_minutes_wrong_let_nobody_in_twice(
    url: str, provider_key: PrivateKey
) -> None:
    with several_hosts(url, provider_key, clocks=["+4m", "-4m", ""]) as hosts:
        for answers in hosts.present_everywhere(hosts.messages(6)):
            assert sorted(answers) == ["OK", REPLAYED, REPLAYED]


def test_nobody_is_admitted_where_the_clock_is_ten_minutes_wrong(
    url: str, provider_key: PrivateKey
) -> None:
    with several_hosts(url, provider_key, clocks=["+10m", "-10m", ""]) as hosts:
        for fast, slow, right in hosts.present_everywhere(hosts.messages(6)):
            assert not {fast, slow} & {"OK", "CONT"}
            assert right in ("OK", REPLAYED)
        assert hosts.log_in(2, hosts.mechanism()).verb == "OK"
