"""Stores in a database that hosts share: what its operators, its failures and clocks cannot do."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from browserid_sasl.database_url import BadDatabaseUrl, parse_database_url
from browserid_sasl.errors import Code, ConfigurationError, StoreError
from browserid_sasl.gss.ports import Doubt, Entry
from browserid_sasl.store.base import MAX_ATTRIBUTES_SIZE, system_clock
from browserid_sasl.store.engine import Gone, Table
from browserid_sasl.store.sealing import SiteKeys, read_site_keys, write_site_keys
from browserid_sasl.store.shared import CLOCKS_AGREE, SharedStores
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_site import SharedSite
from tests.support.tickets import HOUR, NOW, acceptor_ticket

MINUTE = 60_000
#: Beyond what clocks and the permitted skew make of it.
LATER = 30 * MINUTE


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[tuple[RedisServer, SharedSite]]:
    """A Redis that a test may end, and a site that has been there for long."""
    with redis_server() as server:
        site = SharedSite(server.url, tmp_path / "key")
        site.has_been_there_for_ever()
        yield server, site


@pytest.fixture
def own_postgresql(tmp_path: Path) -> Iterator[tuple[PostgresqlServer, SharedSite]]:
    with postgresql_server("fsync=on") as server:
        site = SharedSite(server.uri(), tmp_path / "key")
        site.has_been_there_for_ever()
        yield server, site


def admit(stores: SharedStores, digest: bytes, issued_at: int | None = None) -> object:
    now = system_clock()
    issued_at = now if issued_at is None else issued_at
    assert stores.admission is not None
    [outcome] = stores.admission([Entry(digest, now + 5 * MINUTE, None, issued_at)])
    return outcome


def code_of(outcome: object) -> Code:
    assert isinstance(outcome, StoreError)
    return outcome.code


class TestDoubt:
    def test_a_new_store_vouches_for_what_was_made_after_it(self, site: SharedSite) -> None:
        stores = site.stores()
        assert admit(stores, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN
        assert admit(stores, b"b" * 32, system_clock() + LATER) == (True, False)
        # What is there was presented, in doubt or not.
        assert admit(stores, b"a" * 32) == (False, False)
        assert len(site.losses) == 1

    def test_no_ticket_is_stored_in_doubt(self, site: SharedSite) -> None:
        stores, ticket = site.stores(), acceptor_ticket()
        assert stores.admission is not None
        entry = Entry(b"a" * 32, NOW, ticket, system_clock())
        assert list(stores.admission([entry])) == [Doubt.MAY_BE_FORGOTTEN]
        assert stores.tickets.get(ticket.tid, NOW) is None

    def test_an_old_one_vouches_for_all(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        assert admit(site.stores(), b"a" * 32) == (True, False)
        assert admit(site.stores(), b"a" * 32) == (False, False)
        assert not site.losses

    def test_who_does_not_say_when_it_was_made_waits_a_day(self, site: SharedSite) -> None:
        with pytest.raises(StoreError, match="a day after"):
            site.stores().replay.insert(b"a" * 32, NOW)

    def test_a_redis_that_was_started_again(
        self, own_redis: tuple[RedisServer, SharedSite]
    ) -> None:
        server, site = own_redis
        stores = site.stores()
        issued = system_clock()
        assert admit(stores, b"a" * 32, issued) == (True, False)
        server.kill()
        assert code_of(admit(stores, b"b" * 32)) is Code.UNAVAILABLE
        server.start()
        assert admit(stores, b"a" * 32, issued) is Doubt.MAY_BE_FORGOTTEN
        assert site.losses

    def test_a_redis_that_was_emptied(self, own_redis: tuple[RedisServer, SharedSite]) -> None:
        server, site = own_redis
        stores = site.stores()
        assert admit(stores, b"a" * 32) == (True, False)
        server.client.flushall()
        assert admit(stores, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN

    def test_a_postgresql_that_died(
        self, own_postgresql: tuple[PostgresqlServer, SharedSite]
    ) -> None:
        server, site = own_postgresql
        stores = site.stores()
        assert admit(stores, b"a" * 32) == (True, False)
        server.stop()
        assert code_of(admit(stores, b"b" * 32)) is Code.UNAVAILABLE
        server.start()
        assert admit(stores, b"a" * 32) == (False, False)
        assert admit(stores, b"c" * 32) is Doubt.MAY_BE_FORGOTTEN

    def test_who_forgets_what_is_in_force_is_in_doubt(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        stores = site.stores()
        assert admit(stores, b"a" * 32) == (True, False)
        assert stores.replay.purge(2**63 - 1) == 1
        assert admit(stores, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN


class TestClocks:
    @pytest.mark.parametrize("sign", [1, -1])
    def test_four_minutes_are_allowed_for(self, site: SharedSite, sign: int) -> None:
        site.has_been_there_for_ever()
        stores = site.stores(clock=lambda: system_clock() + sign * 4 * MINUTE)
        assert admit(stores, b"a" * 32) == (True, False)
        assert admit(site.stores(), b"a" * 32) == (False, False)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_ten_are_not(self, site: SharedSite, sign: int) -> None:
        site.has_been_there_for_ever()
        stores = site.stores(clock=lambda: system_clock() + sign * 10 * MINUTE)
        outcome = admit(stores, b"a" * 32)
        assert code_of(outcome) is Code.UNAVAILABLE
        assert "the clock of this host is 6" in str(outcome) or "59" in str(outcome)

    def test_an_entry_is_kept_for_as_long_as_any_host_may_take_it(self, site: SharedSite) -> None:
        stores = site.stores(grace=10 * MINUTE)
        admit(stores, b"a" * 32)
        [item] = stores.engine.all(Table.ASSERTION)
        assert item.until - system_clock() > 5 * MINUTE + 10 * MINUTE + CLOCKS_AGREE - MINUTE


class TestWhatOthersSee:
    def test_nothing_of_people_is_in_the_database(self, site: SharedSite) -> None:
        stores, ticket = site.stores(), acceptor_ticket(attributes={"name": "Alice Liddell"})
        stores.tickets.put(ticket)
        [item] = stores.engine.all(Table.TICKET)
        for text in ("alice", "example.org", "Liddell", "P-256", ticket.tid):
            assert text.encode() not in item.value + item.name
        assert ticket.ark not in item.value
        assert ticket.ark.hex().encode() not in item.value

    def test_a_value_under_another_name_is_nobodys(self, site: SharedSite) -> None:
        stores = site.stores()
        mine, yours = acceptor_ticket(), acceptor_ticket(subject="bob@example.org")
        stores.tickets.put(mine)
        stores.tickets.put(yours)
        one, other = stores.engine.all(Table.TICKET)
        for name, value in ((one.name, other.value), (other.name, one.value)):
            stores.engine.delete(Table.TICKET, name)
            stores.engine.add(Table.TICKET, [type(one)(name, one.until, value)])
        assert stores.tickets.get(mine.tid, NOW) is None
        assert stores.tickets.get(yours.tid, NOW) is None
        assert list(stores.tickets.all(NOW)) == []

    def test_nor_is_one_that_was_altered(self, site: SharedSite) -> None:
        keys = SiteKeys.generate()
        sealed = keys.seal(b"n" * 16, b"value")
        assert keys.open(b"n" * 16, sealed) == b"value"
        for at in range(len(sealed)):
            altered = bytearray(sealed)
            altered[at] ^= 1
            assert keys.open(b"n" * 16, bytes(altered)) is None
        for size in range(len(sealed)):
            assert keys.open(b"n" * 16, sealed[:size]) is None

    def test_realms_have_nothing_in_common(self, site: SharedSite) -> None:
        keys = SiteKeys.generate()
        assert keys.name("one", "ticket", b"t") != keys.name("two", "ticket", b"t")
        assert keys.name("one", "ticket", b"t") != keys.name("one", "assertion", b"t")
        assert keys.signed("two", keys.sign("one", b"mark")) is None

    def test_a_host_with_another_key_admits_nobody(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        assert admit(site.stores(), b"a" * 32) == (True, False)
        write_site_keys(site.key_file, SiteKeys.generate())
        outcome = admit(site.stores(), b"a" * 32)
        assert code_of(outcome) is Code.CACHE_ERROR
        assert "another key" in str(outcome)
        # Until somebody says that all hosts have it.
        site.engine().clear()
        assert admit(site.stores(), b"a" * 32) is Doubt.MAY_BE_FORGOTTEN


class TestKeys:
    def test_an_old_one_is_read_until_it_is_dropped(self, site: SharedSite) -> None:
        stores, ticket = site.stores(), acceptor_ticket()
        stores.tickets.put(ticket)
        keys = read_site_keys(site.key_file).with_new_key()
        for changed in (keys, keys.with_last_first()):
            write_site_keys(site.key_file, changed)
            assert stores.tickets.get(ticket.tid, NOW) == ticket
        # Both hosts that seal with the new one, and those that do not yet, read each other's.
        later = acceptor_ticket()
        stores.tickets.put(later)
        write_site_keys(site.key_file, keys)
        assert stores.tickets.get(later.tid, NOW) == later
        write_site_keys(site.key_file, keys.with_last_first().without_old())
        assert stores.tickets.get(ticket.tid, NOW) is None
        assert stores.tickets.get(later.tid, NOW) == later

    def test_assertions_stay_known(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        stores = site.stores()
        admit(stores, b"a" * 32)
        keys = read_site_keys(site.key_file).with_new_key().with_last_first().without_old()
        write_site_keys(site.key_file, keys)
        assert admit(stores, b"a" * 32) == (False, False)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "names " + "0" * 64,
            "key " + "0" * 64,
            "names " + "0" * 64 + "\nkey " + "0" * 64,
            "names " + "0" * 64 + "\nkey " + "1" * 63,
            "names " + "0" * 64 + "\nkey " + "1" * 64 + "\nmore",
        ],
    )
    def test_a_file_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "key"
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(ConfigurationError, match="is no key file"):
            read_site_keys(file)

    def test_one_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        write_site_keys(file, SiteKeys.generate())
        assert read_site_keys(file)
        file.chmod(0o640)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            read_site_keys(file)

    def test_nothing_of_them_is_shown(self) -> None:
        keys = SiteKeys.generate()
        assert keys.names.hex() not in repr(keys)
        assert repr(keys.values[0]) not in repr(keys)


class TestAdmission:
    def test_of_entries_for_one_assertion_one_is_new(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        stores = site.stores()
        tickets = [acceptor_ticket() for _ in range(3)]
        now = system_clock()
        entries = [Entry(b"a" * 32, NOW, ticket, now) for ticket in tickets]
        assert stores.admission is not None
        outcomes = list(stores.admission([*entries, Entry(b"b" * 32, NOW, None, now)]))
        assert outcomes == [(True, True), (False, False), (False, False), (True, False)]
        kept = [ticket for ticket in tickets if stores.tickets.get(ticket.tid, NOW)]
        assert kept == tickets[:1]

    def test_one_that_is_too_long_is_no_fault_of_the_others(self, site: SharedSite) -> None:
        site.has_been_there_for_ever()
        large = acceptor_ticket(attributes={"x": "y" * MAX_ATTRIBUTES_SIZE})
        now = system_clock()
        entries = [
            Entry(b"a" * 32, NOW, large, now),
            Entry(b"b" * 32, NOW, acceptor_ticket(), now),
        ]
        admission = site.stores().admission
        assert admission is not None
        failed, fine = admission(entries)
        assert code_of(failed) is Code.BUFFER_TOO_LONG
        assert fine == (True, True)


class TestRedis:
    def test_one_that_may_evict_is_refused(self, own_redis: tuple[RedisServer, SharedSite]) -> None:
        server, site = own_redis
        server.client.config_set("maxmemory-policy", "volatile-ttl")
        outcome = admit(site.stores(), b"a" * 32)
        assert code_of(outcome) is Code.CACHE_ERROR
        assert "noeviction" in str(outcome)

    def test_a_full_one_refuses_and_forgets_nothing(
        self, own_redis: tuple[RedisServer, SharedSite]
    ) -> None:
        server, site = own_redis
        stores = site.stores()
        assert admit(stores, b"a" * 32) == (True, False)
        server.client.config_set("maxmemory", 1)
        assert code_of(admit(stores, b"b" * 32)) is Code.CACHE_ERROR
        server.client.config_set("maxmemory", 0)
        assert admit(stores, b"a" * 32) == (False, False)
        assert admit(stores, b"b" * 32) == (True, False)

    def test_one_that_does_not_answer_fails_in_time(
        self, own_redis: tuple[RedisServer, SharedSite]
    ) -> None:
        server, site = own_redis
        stores = site.stores(engine=site.engine(timeout=1))
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            outcome = admit(stores, b"a" * 32)
        finally:
            server.signal(signal.SIGCONT)
        assert code_of(outcome) is Code.UNAVAILABLE
        assert time.monotonic() - began < 20

    def test_replicas_have_to_confirm(self, own_redis: tuple[RedisServer, SharedSite]) -> None:
        server, site = own_redis
        stores = site.stores(engine=site.engine(timeout=2, replicas=1))
        outcome = admit(stores, b"a" * 32)
        assert code_of(outcome) is Code.UNAVAILABLE
        assert "0 of 1 replicas" in str(outcome)
        with redis_server("--replicaof", "127.0.0.1", str(server.port)) as replica:
            patient = site.stores(engine=site.engine(timeout=60, replicas=1))
            assert admit(patient, b"b" * 32) == (True, False)
            assert replica.client.dbsize() == server.client.dbsize()

    def test_a_wrong_password_is_not_shown(self, tmp_path: Path) -> None:
        with redis_server("--requirepass", "right-secret") as server:
            site = SharedSite(server.url, tmp_path / "key")
            engine = site.engine(password="wrong-secret")
            stores = site.stores(engine=engine)
            outcome = admit(stores, b"a" * 32)
            assert code_of(outcome) is Code.CACHE_ERROR
            assert "secret" not in f"{outcome!r} {outcome} {stores!r} {engine!r}"
            right = site.stores(engine=site.engine(password="right-secret"))
            assert admit(right, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN


class TestPostgresql:
    def test_one_that_does_not_answer_fails_in_time(
        self, own_postgresql: tuple[PostgresqlServer, SharedSite]
    ) -> None:
        server, site = own_postgresql
        stores = site.stores(engine=site.engine(timeout=1))
        assert admit(stores, b"a" * 32) == (True, False)
        server.pause()
        began = time.monotonic()
        try:
            outcome = admit(stores, b"b" * 32)
        finally:
            server.resume()
        assert code_of(outcome) is Code.UNAVAILABLE
        assert time.monotonic() - began < 30
        assert admit(site.stores(), b"a" * 32) == (False, False)

    def test_one_that_does_not_wait_for_its_disk_is_refused(self, tmp_path: Path) -> None:
        with postgresql_server() as server:
            site = SharedSite(server.uri(), tmp_path / "key")
            assert "fsync" in str(admit(site.stores(), b"a" * 32))

    def test_a_standby_that_is_asked_for_has_to_be_there(self, postgresql_site: SharedSite) -> None:
        stores = postgresql_site.stores(engine=postgresql_site.engine(replicas=1))
        assert "synchronous_standby_names" in str(admit(stores, b"a" * 32))

    def test_what_has_expired_goes_past_rows_that_somebody_holds(
        self, postgresql_site: SharedSite
    ) -> None:
        engine = postgresql_site.engine()
        stores = postgresql_site.stores(engine=engine)
        for number in range(3):
            stores.tickets.put(acceptor_ticket(expires=NOW + number * HOUR))
        held, *_ = engine.all(Table.TICKET)
        with closing(psycopg.connect(postgresql_site.url)) as other:
            table = f"{postgresql_site.realm}_ticket"
            other.execute(f"SELECT 1 FROM {table} WHERE name = %b FOR UPDATE", (held.name,))
            assert engine.purge(Table.TICKET, NOW + 9 * HOUR) == 2
            other.rollback()
        assert engine.purge(Table.TICKET, NOW + 9 * HOUR) == 1


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "http://localhost",
            "redis://",
            "redis://redis.example.org",
            "redis+cluster://127.0.0.1,redis.example.org",
            "redis://localhost/name",
            "redis://localhost:0",
            "redis://localhost:99999",
            "rediss://redis.example.org?ssl_cert_reqs=none",
            "rediss://one.example.org,two.example.org",
            "rediss+sentinel://one.example.org",
            "rediss+cluster://one.example.org/1",
            "postgresql://db.example.org",
            "postgresql://db.example.org/name?sslmode=disable",
            "postgresql+cluster://db.example.org/name",
            "rediss://user:secret@b@d.example.org/x",
        ],
    )
    def test_what_is_none_is_refused_without_being_repeated(self, url: str) -> None:
        with pytest.raises(BadDatabaseUrl) as caught:
            parse_database_url(url)
        assert "secret" not in str(caught.value)

    def test_a_password_is_not_shown(self) -> None:
        url = parse_database_url("rediss://me:se%40cret@redis.example.org")
        assert (url.user, url.password) == ("me", "se@cret")
        assert "cret" not in f"{url} {url!r}"
        assert str(url) == "rediss://me@redis.example.org:6379/0"

    def test_over_a_network_it_is_tls(self) -> None:
        assert parse_database_url("postgresql://db.example.org/name").tls
        assert not parse_database_url("postgresql:///name").tls
        assert not parse_database_url("postgresql://127.0.0.1:5433/name").tls


def test_a_connection_that_broke_is_made_anew_once(
    own_redis: tuple[RedisServer, SharedSite],
) -> None:
    server, site = own_redis
    stores = site.stores()
    assert admit(stores, b"a" * 32) == (True, False)
    server.client.client_kill_filter(_type="normal", skipme=True)
    assert admit(stores, b"b" * 32) == (True, False)
    server.kill()
    with pytest.raises(Gone):
        stores.tickets.get("x", NOW)
