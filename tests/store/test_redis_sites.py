"""Redis with sentinels, and as a cluster: real ones, whose primary is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.errors import StoreError
from browserid_sasl.gss.ports import Doubt, Entry
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.shared import SharedStores
from tests.support.patience import wait_until
from tests.support.redis_server import (
    RedisServer,
    WatchedRedis,
    cluster_replica,
    redis_cluster,
    watched_redis,
)
from tests.support.shared_site import SharedSite
from tests.support.tickets import NOW, acceptor_ticket


def admit(stores: SharedStores, digest: bytes, issued_at: int) -> object:
    assert stores.admission is not None
    [outcome] = stores.admission([Entry(digest, issued_at + 300_000, None, issued_at)])
    return outcome


def is_back(stores: SharedStores) -> bool:
    return not isinstance(admit(stores, os.urandom(32), system_clock()), StoreError)


class TestSentinels:
    @pytest.fixture
    def watched(self) -> Iterator[WatchedRedis]:
        with watched_redis() as watched:
            yield watched

    def test_a_replica_that_took_over_admits_nothing_again(
        self, tmp_path: Path, watched: WatchedRedis
    ) -> None:
        primary, replica = watched.primary, watched.replica
        site = SharedSite(watched.url, tmp_path / "key")
        site.has_been_there_for_ever()
        stores = site.stores()
        issued = system_clock()
        assert admit(stores, b"a" * 32, issued) == (True, False)
        ticket = acceptor_ticket()
        stores.tickets.put(ticket)
        wait_until(watched.caught_up, "the replica has it")
        # As if this one had been confirmed, and not yet been passed on.
        [key] = replica.client.scan_iter(match="{*}a*")
        assert replica.client.delete(key) == 1
        primary.kill()
        wait_until(lambda: is_back(stores), "the replica takes over")
        assert admit(stores, b"a" * 32, issued) is Doubt.MAY_BE_FORGOTTEN
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert site.losses


class TestCluster:
    @pytest.fixture
    def nodes(self) -> Iterator[list[RedisServer]]:
        with redis_cluster(3) as nodes:
            yield nodes

    def test_what_one_host_admits_no_other_does(
        self, nodes: list[RedisServer], tmp_path: Path
    ) -> None:
        site = SharedSite(f"redis+cluster://127.0.0.1:{nodes[1].port}", tmp_path / "key")
        site.has_been_there_for_ever()
        one, other = site.stores(), site.stores()
        now = system_clock()
        digests = [bytes([number]) * 32 for number in range(40)]
        tickets = [acceptor_ticket() for _ in digests]
        entries = [
            Entry(digest, now + 300_000, ticket, now)
            for digest, ticket in zip(digests, tickets, strict=True)
        ]
        assert one.admission is not None
        assert list(one.admission(entries)) == [(True, True)] * 40
        assert other.admission is not None
        assert list(other.admission(entries)) == [(False, False)] * 40
        assert all(other.tickets.get(ticket.tid, NOW) == ticket for ticket in tickets)
        # Each part by itself is in doubt when it is lost.
        nodes[0].client.flushall()
        again = [admit(other, digest, now) for digest in digests]
        assert set(again) == {Doubt.MAY_BE_FORGOTTEN, (False, False)}
        site.engine().clear()
        assert not list(one.tickets.all(NOW))

    def test_a_replica_that_took_over_puts_its_part_in_doubt(
        self, nodes: list[RedisServer], tmp_path: Path
    ) -> None:
        known = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        site = SharedSite(f"redis+cluster://{known}", tmp_path / "key")
        site.has_been_there_for_ever()
        stores = site.stores()
        issued = system_clock()
        digests = [bytes([number]) * 32 for number in range(40)]
        with cluster_replica(nodes[0]) as replica:
            assert {admit(stores, each, issued) for each in digests} == {(True, False)}
            of_it = nodes[0].client.dbsize()
            wait_until(lambda: replica.client.dbsize() == of_it, "the replica has it")
            nodes[0].kill()
            wait_until(lambda: all(is_back(stores) for _ in digests), "its recovery")
            assert {admit(stores, each, issued) for each in digests} == {(False, False)}
            # What is new in its part may have been there; in the others nothing was lost.
            new = {admit(stores, os.urandom(32), issued) for _ in digests}
        assert new == {Doubt.MAY_BE_FORGOTTEN, (True, False)}
        assert site.losses
