"""The database is away, or silent: who asks is told so in time, and it goes on when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
import requests

from browserid_sasl.errors import ConfigurationError, StoreError, UnavailableStoreError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.revocations import DOCUMENT_LIFE_MS
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port
from tests.support.postgresql import PostgresqlServer
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN
from tests.support.provider_hosts import Hosts, Worker

BOUND = 50.0
"""Seconds: five times as long as all the limits together, for a busy machine."""

Ailment = tuple[Callable[[PostgresqlServer], None], Callable[[PostgresqlServer], None]]

AILMENTS: dict[str, Ailment] = {
    "stopped": (PostgresqlServer.stop, PostgresqlServer.start),
    "silent": (PostgresqlServer.pause, PostgresqlServer.resume),
}


@contextmanager
def ailing(server: PostgresqlServer, ailment: str) -> Iterator[None]:
    begin, end = AILMENTS[ailment]
    begin(server)
    try:
        yield
    finally:
        end(server)


@pytest.fixture
def status() -> str:
    """Where the host tells how it is."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def worker(hosts: Hosts, status: str) -> Iterator[Worker]:
    hosts.set_up(1, f"status_port = {status.rpartition(':')[2]}", "document_life = 600")
    hosts.add_alice()
    with hosts.serving(1) as worker:
        assert worker.sign_in().status_code == 200
        yield worker


@pytest.mark.parametrize("ailment", AILMENTS)
def test_each_request_is_refused_in_time_and_the_next_is_not(
    server: PostgresqlServer, worker: Worker, status: str, ailment: str
) -> None:
    asked: list[Callable[[], requests.Response]] = [
        worker.sign_in,
        lambda: worker.get("/.well-known/browserid"),
        lambda: worker.get("/revocations"),
        lambda: worker.get("/browserid/account", Cookie="__Host-session=x", Accept="text/html"),
    ]
    document, listed = worker.get("/.well-known/browserid"), worker.get("/revocations")
    with ailing(server, ailment), ThreadPoolExecutor(16) as pool:
        began = time.monotonic()
        answers = [each.result() for each in [pool.submit(each) for each in asked * 4]]
        assert time.monotonic() - began < BOUND
        page = worker.get("/browserid/sign-in", Accept="text/html")
        ready = requests.get(f"{status}/ready", timeout=PATIENCE)
        assert requests.get(f"{status}/health", timeout=PATIENCE).status_code == 200
    for answer in answers:
        assert answer.status_code in (200, 503), answer.text
    # Who wants to verify a certificate goes on to learn what that takes, and for how long it holds.
    for answer in answers[1::4]:
        assert (answer.status_code, answer.json()) == (200, document.json())
        assert 0 < life(answer) < life(document) == 600
    assert {(answer.status_code, answer.text) for answer in answers[2::4]} == {(200, listed.text)}
    assert ready.status_code == 503
    assert "its keys are published from memory for" in ready.text
    first = answers[0]
    assert first.status_code == 503
    assert first.headers["Retry-After"] == "5"
    assert first.json() == {
        "error": "unavailable",
        "message": "the identity provider cannot reach its database at the moment: try again in a"
        " little while",
    }
    assert page.status_code in (200, 503)
    wait_until(lambda: worker.sign_in().status_code == 200, "a sign-in after that")


def life(answer: requests.Response) -> int:
    """Seconds for which a copy may be kept."""
    return int(answer.headers["Cache-Control"].removeprefix("max-age="))


def test_keys_are_published_from_memory_for_so_long_and_sign_nothing(
    server: PostgresqlServer, hosts: Hosts
) -> None:
    hosts.set_up(1)
    provider, now, longest = hosts.open().open(), 1_800_000_000_000, 600_000
    keys = provider.keys.published(now)
    listed = provider.revocations.published(now)
    with ailing(server, "stopped"):
        for age in (0, 1, longest - 1):
            found = provider.keys.published_or_remembered(now + age, longest)
            assert (found.keys, found.age) == (keys, age)
            assert provider.keys.remembered_for(now + age, longest) == longest - age
        # Nor of a time before they were read.
        for when in (now + longest, now - 1):
            assert provider.keys.remembered_for(when, longest) == 0
            with pytest.raises(UnavailableStoreError):
                provider.keys.published_or_remembered(when, longest)
        with pytest.raises(UnavailableStoreError):
            provider.keys.active(now)
        # The list says itself until when it may be believed.
        assert provider.revocations.published(now + DOCUMENT_LIFE_MS - 1) is listed
        for when in (now + DOCUMENT_LIFE_MS, now - 1):
            with pytest.raises(UnavailableStoreError):
                provider.revocations.published(when)
    new = hosts.open().keys.rotate(None, now, withdraw=True)
    wait_until(lambda: readable(provider.database), "an answer")
    assert provider.keys.published_or_remembered(now + 1, longest).keys == (
        new.private_key.public_key,
    )


def test_a_host_that_has_read_no_keys_publishes_none(
    server: PostgresqlServer, hosts: Hosts
) -> None:
    hosts.set_up(1)
    keys = hosts.open().keys
    with ailing(server, "stopped"), pytest.raises(UnavailableStoreError):
        keys.published_or_remembered(1, 600_000)
    assert keys.remembered_for(1, 600_000) == 0


def readable(database: Database) -> bool:
    try:
        database.check()
    except UnavailableStoreError:
        return False
    return True


@pytest.fixture
def accounts(database: Database) -> Accounts:
    accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
    assert accounts.add(ALICE, "secret", 1)
    return accounts


def test_a_change_that_the_server_did_not_live_to_keep_is_none(
    server: PostgresqlServer, database: Database, accounts: Accounts
) -> None:
    with pytest.raises(UnavailableStoreError), database.transaction():
        assert accounts.remove(ALICE)
        server.stop()
        server.start()
        accounts.add(f"bob@{DOMAIN}", "secret", 2)
    wait_until(lambda: exists(accounts), "an answer")
    assert [account.email for account in accounts.all()] == [ALICE]


def exists(accounts: Accounts) -> bool:
    try:
        return accounts.exists(ALICE)
    except UnavailableStoreError:
        return False


def test_a_host_that_stops_in_the_middle_of_a_change_keeps_the_others_waiting_for_no_longer(
    uri: str, accounts: Accounts
) -> None:
    with closing(Database(uri)) as other, ThreadPoolExecutor(1) as pool:

        def hold() -> None:
            with other.transaction() as session:
                session.connection()
                changed = pool.submit(accounts.set_password, ALICE, "other", 2)
                # Nothing is asked of the server here until it has ended this.
                assert changed.result(PATIENCE) is None
                session.connection().exec_driver_sql("SELECT 1")

        with pytest.raises(UnavailableStoreError):
            hold()
    assert accounts.verify(ALICE, "other", 3)


def test_readers_wait_for_no_change(uri: str, accounts: Accounts) -> None:
    with closing(Database(uri)) as other, other.transaction():
        Accounts(other, DOMAIN).remove(ALICE)
        assert accounts.exists(ALICE)
    assert not accounts.exists(ALICE)


def test_a_value_that_takes_too_long_to_get_is_given_up(database: Database) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableStoreError), database.reading() as session:
        session.connection().exec_driver_sql("SELECT pg_sleep(60)")
    assert time.monotonic() - began < BOUND


def test_what_only_reads_changes_nothing(database: Database) -> None:
    with pytest.raises(StoreError, match="read-only"), database.reading() as session:
        session.connection().exec_driver_sql("DELETE FROM accounts")


def test_no_change_begins_inside_of_what_only_reads(database: Database) -> None:
    with pytest.raises(RuntimeError), database.reading(), database.transaction():
        pass


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_the_way_to_another_machine_is_verified(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="could be the server: leave it out"):
        Database(f"postgresql://browserid@db.example.org/browserid?sslmode={mode}")


def test_it_is_tls_where_nothing_else_is_said(server: PostgresqlServer) -> None:
    # The name leads to this machine; the server there has no TLS, and so gets nothing.
    name = f"postgresql://postgres@ip6-localhost,elsewhere.invalid:{server.port}/postgres"
    with closing(Database(name)) as database, pytest.raises(UnavailableStoreError):
        database.check()
    with psycopg.connect(server.uri(), sslmode="disable"):
        pass
