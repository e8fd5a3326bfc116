"""PostgreSQL by TLS, with a standby that takes over, and with several threads: real ones."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import Doubt, Entry
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.postgresql_engine import CONNECTIONS
from browserid_sasl.store.shared import SharedStores
from tests.support.forks import in_child
from tests.support.patience import wait_until
from tests.support.postgresql import (
    PostgresqlServer,
    postgresql_server,
    postgresql_standby,
    tls_files,
)
from tests.support.services import folder_for_all
from tests.support.shared_site import SharedSite
from tests.support.tickets import NOW, acceptor_ticket

PASSWORD = "of-the-database"


def admit(stores: SharedStores, digest: bytes, issued_at: int | None = None) -> object:
    now = system_clock()
    issued_at = now if issued_at is None else issued_at
    assert stores.admission is not None
    [outcome] = stores.admission([Entry(digest, now + 300_000, None, issued_at)])
    return outcome


def words(outcome: object) -> str:
    """Why nobody is admitted."""
    assert isinstance(outcome, StoreError)
    assert outcome.code is Code.UNAVAILABLE
    return str(outcome)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[PostgresqlServer]:
    """One that lets its account in by TLS and a password only."""
    with folder_for_all() as folder:
        files = tls_files(folder, authority.issue_cert("localhost"))
        with postgresql_server("fsync=on", *files) as server:
            server.sql("postgres", f"CREATE ROLE browserid LOGIN PASSWORD '{PASSWORD}'")
            server.sql("postgres", "GRANT CREATE, USAGE ON SCHEMA public TO browserid")
            server.stop()
            server.admit_by(
                "hostssl all browserid 127.0.0.1/32 scram-sha-256",
                "host all postgres 127.0.0.1/32 trust",
            )
            server.start()
            yield server


class TestTls:
    @pytest.fixture
    def site(self, server: PostgresqlServer, tmp_path: Path) -> SharedSite:
        url = f"postgresql://browserid:{PASSWORD}@localhost:{server.port}/postgres"
        return SharedSite(url, tmp_path / "key")

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> str:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        return str(tmp_path / "ca.pem")

    def test_with_the_authority_of_the_configuration(self, site: SharedSite, ca_file: str) -> None:
        stores = site.stores(engine=site.engine(ca_file=ca_file))
        assert admit(stores, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN
        ticket = acceptor_ticket()
        assert stores.tickets.put(ticket)
        assert stores.tickets.get(ticket.tid, NOW) == ticket

    def test_with_one_of_the_system(
        self, site: SharedSite, ca_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        stores = site.stores(engine=site.engine(tls=True))
        assert admit(stores, b"a" * 32) is Doubt.MAY_BE_FORGOTTEN

    def test_one_of_another_authority_is_refused(self, site: SharedSite, tmp_path: Path) -> None:
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        engine = site.engine(ca_file=str(tmp_path / "other.pem"))
        assert "certificate" in words(admit(site.stores(engine=engine), b"a" * 32))
        # The system's do not certify it either.
        assert "certificate" in words(admit(site.stores(engine=site.engine(tls=True)), b"a" * 32))

    def test_one_for_another_name_is_refused(
        self, server: PostgresqlServer, site: SharedSite, ca_file: str
    ) -> None:
        engine = site.engine(ca_file=ca_file, hosts=(("127.0.0.1", server.port),))
        assert "certificate" in words(admit(site.stores(engine=engine), b"a" * 32))


class TestAccount:
    def test_one_that_may_make_no_tables_is_told_so(
        self, postgresql_store: PostgresqlServer, postgresql_site: SharedSite
    ) -> None:
        postgresql_store.sql("postgres", "CREATE ROLE guest LOGIN")
        stores = postgresql_site.stores(engine=postgresql_site.engine(user="guest"))
        outcome = admit(stores, b"a" * 32)
        assert isinstance(outcome, StoreError)
        assert outcome.code is Code.CACHE_ERROR
        assert "may make tables" in str(outcome)


class TestStandby:
    @pytest.fixture
    def primary(self) -> Iterator[PostgresqlServer]:
        with postgresql_server("fsync=on") as server:
            yield server

    @pytest.fixture
    def standby(self, primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
        with postgresql_standby(primary, "fsync=on") as server:
            yield server

    @pytest.fixture
    def site(
        self, primary: PostgresqlServer, standby: PostgresqlServer, tmp_path: Path
    ) -> SharedSite:
        """Whose URL names both, the standby before the other."""
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        site = SharedSite(f"postgresql://postgres@{hosts}/postgres", tmp_path / "key")
        site.has_been_there_for_ever()
        return site

    def test_one_that_took_over_admits_nothing_again(
        self, primary: PostgresqlServer, standby: PostgresqlServer, site: SharedSite
    ) -> None:
        stores = site.stores(engine=site.engine(timeout=30))
        issued = system_clock()
        assert admit(stores, b"a" * 32, issued) == (True, False)
        ticket = acceptor_ticket()
        assert stores.tickets.put(ticket)
        wait_until(lambda: standby.has_caught_up_with(primary), "the standby has it")
        # This one was confirmed, and is not passed on any more.
        standby.stop()
        assert admit(stores, b"b" * 32, issued) == (True, False)
        primary.stop()
        standby.start()
        assert words(admit(stores, b"c" * 32))
        standby.promote()
        assert admit(stores, b"b" * 32, issued) is Doubt.MAY_BE_FORGOTTEN
        assert admit(stores, b"a" * 32, issued) == (False, False)
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert len(site.losses) == 1
        # What is made after it has nothing to fear.
        assert admit(stores, b"d" * 32, system_clock() + 1_800_000) == (True, False)

    def test_one_that_is_waited_for_loses_nothing(
        self, primary: PostgresqlServer, standby: PostgresqlServer, site: SharedSite
    ) -> None:
        _wait_for_standbys(primary)
        stores = site.stores(engine=site.engine(timeout=30, replicas=1))
        issued = system_clock()
        assert admit(stores, b"a" * 32, issued) == (True, False)
        other = site.stores()
        assert admit(other, b"a" * 32, issued) == (False, False)
        # The old one is not stopped: it takes no writes any more, and connections to it stay.
        primary.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
        primary.sql("postgres", "SELECT pg_reload_conf()")
        wait_until(lambda: _refuses_writes(primary), "no writes any more")
        assert words(admit(other, b"b" * 32, issued))
        standby.promote()
        assert admit(other, b"a" * 32, issued) == (False, False)
        assert admit(other, b"b" * 32, issued) is Doubt.MAY_BE_FORGOTTEN

    def test_without_the_one_that_is_waited_for_nobody_is_admitted(
        self, primary: PostgresqlServer, standby: PostgresqlServer, site: SharedSite
    ) -> None:
        _wait_for_standbys(primary)
        stores = site.stores(engine=site.engine(timeout=60, replicas=1))
        hasty = site.stores(engine=site.engine(timeout=1, replicas=1))
        assert admit(stores, b"a" * 32) == (True, False)
        standby.stop()
        began = time.monotonic()
        assert words(admit(hasty, b"b" * 32))
        assert time.monotonic() - began < 30
        with ThreadPoolExecutor() as threads:
            # Nor when somebody ends the wait, which leaves the server content with itself.
            waiting = threads.submit(admit, stores, b"c" * 32)
            wait_until(lambda: _is_over(waiting, primary), "the end of the wait")
            assert "no standby" in words(waiting.result())
        standby.start()
        wait_until(lambda: admit(hasty, os.urandom(32)) == (True, False), "logins work again")


def _is_over(waiting: Future[object], primary: PostgresqlServer) -> bool:
    """End whatever waits for a standby; whether that was what was to be."""
    of_them = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    primary.sql("postgres", f"SELECT pg_cancel_backend(pid) {of_them}")
    return waiting.done()


def _refuses_writes(server: PostgresqlServer) -> bool:
    return server.sql("postgres", "SHOW default_transaction_read_only").strip() == "on"


def _wait_for_standbys(primary: PostgresqlServer) -> None:
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.sql("postgres", "SELECT pg_reload_conf()")
    named = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    wait_until(lambda: primary.sql("postgres", named).strip() == "1", "the standby counts")


class TestConnections:
    def test_many_threads_take_turns_with_a_few(
        self, postgresql_store: PostgresqlServer, postgresql_site: SharedSite
    ) -> None:
        postgresql_site.has_been_there_for_ever()
        stores = postgresql_site.stores(engine=postgresql_site.engine(timeout=60))
        together = threading.Barrier(40)

        def admit_one(number: int) -> object:
            together.wait(60)
            return admit(stores, number.to_bytes(32, "big"))

        with ThreadPoolExecutor(40) as threads:
            assert list(threads.map(admit_one, range(40))) == [(True, False)] * 40
            # One is the site's own.
            assert 1 < _connections(postgresql_store, postgresql_site) <= CONNECTIONS + 1
        stores.close()
        wait_until(
            lambda: _connections(postgresql_store, postgresql_site) <= 1,
            "all but the site's own are closed",
        )

    def test_when_they_are_broken_nobody_but_the_server_is_told(
        self, postgresql_store: PostgresqlServer, postgresql_site: SharedSite
    ) -> None:
        """All of them at once, by a server that was started again or a firewall."""
        postgresql_site.has_been_there_for_ever()
        stores = postgresql_site.stores(engine=postgresql_site.engine(timeout=60))
        together = threading.Barrier(CONNECTIONS)

        def admit_one(number: int) -> object:
            together.wait(60)
            return admit(stores, number.to_bytes(32, "big"))

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            assert set(threads.map(admit_one, range(CONNECTIONS))) == {(True, False)}
        end = f"SELECT pg_terminate_backend(pid, 60000) {_of(postgresql_site)}"
        postgresql_store.sql("postgres", end)
        later = [admit(stores, bytes([number]) * 32) for number in range(1, CONNECTIONS)]
        assert set(later) == {(True, False)}

    def test_a_process_that_was_forked_has_its_own(
        self, postgresql_store: PostgresqlServer, postgresql_site: SharedSite
    ) -> None:
        postgresql_site.has_been_there_for_ever()
        stores = postgresql_site.stores()
        assert admit(stores, b"a" * 32) == (True, False)
        before = _connections(postgresql_store, postgresql_site)

        def in_it() -> str:
            admitted = [admit(stores, each * 32) for each in (b"a", b"b")]
            return f"{admitted} and {_connections(postgresql_store, postgresql_site) - before} more"

        assert in_child(in_it) == "[(False, False), (True, False)] and 1 more"
        assert admit(stores, b"b" * 32) == (False, False)


def _connections(server: PostgresqlServer, site: SharedSite) -> int:
    """How many there are that have last had to do with a site."""
    return int(server.sql("postgres", f"SELECT count(*) {_of(site)}"))


def _of(site: SharedSite) -> str:
    return (
        "FROM pg_stat_activity WHERE application_name = 'browserid'"
        f" AND strpos(query, '\"{site.realm}_') > 0"
    )
