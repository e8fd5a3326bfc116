"""What the stores in SQLite do beyond the contract: growth, purging, and files that went bad."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.store.database import SqliteDatabase
from browserid_sasl.store.sqlite import (
    MAX_ATTRIBUTES_SIZE,
    SqliteAcceptorTicketStore,
    SqliteReplayStore,
    open_acceptor,
    open_initiator,
)
from tests.store.conftest import Clock
from tests.support.tickets import HOUR, NOW, acceptor_ticket, identity_record, initiator_ticket

BATCH = 256


def fill_replay(database: SqliteDatabase, count: int, not_after: int = NOW) -> None:
    database.change(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO replay SELECT ?, randomblob(32) FROM n",
        (count, not_after),
    )


def count(database: SqliteDatabase, table: str) -> int:
    ((number,),) = database.rows(f"SELECT count(*) FROM {table}")
    assert isinstance(number, int)
    return number


class TestPurging:
    def test_insertions_remove_what_has_expired_a_batch_at_a_time(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteReplayStore(database, grace=0, purge_period=1, clock=clock)
        fill_replay(database, 3 * BATCH)
        clock.now = NOW + 1
        for batches in (2, 1, 0, 0):
            store.insert(os.urandom(32), NOW + HOUR)
            expired = database.rows("SELECT count(*) FROM replay WHERE not_after = ?", (NOW,))
            assert expired == [(batches * BATCH,)]

    def test_new_tickets_remove_expired_ones_a_batch_at_a_time(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteAcceptorTicketStore(database, purge_period=10**9, clock=clock)
        for number in range(BATCH + 10):
            store.put(acceptor_ticket(expires=NOW + number))
        clock.now = NOW + HOUR
        store = SqliteAcceptorTicketStore(database, purge_period=1, clock=clock)
        store.put(acceptor_ticket())
        assert count(database, "ticket") == 10 + 1
        store.put(acceptor_ticket())
        assert count(database, "ticket") == 2

    def test_happens_once_in_so_many_insertions(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteReplayStore(database, grace=0, purge_period=8, clock=clock)
        fill_replay(database, 100)
        clock.now = NOW + 1
        for insertions in range(1000):
            store.insert(os.urandom(32), NOW + HOUR)
            if count(database, "replay") <= insertions + 1:
                return
        pytest.fail("a thousand insertions purged nothing")

    def test_purge_removes_all_of_it(self, database: SqliteDatabase, clock: Clock) -> None:
        store = SqliteReplayStore(database, grace=0, clock=clock)
        fill_replay(database, 2500)
        fill_replay(database, 3, NOW + 1)
        assert store.purge(NOW + 1) == 2500
        assert database.rows("SELECT entries FROM replay_size") == [(3,)]

    def test_the_file_shrinks_again(self, database: SqliteDatabase) -> None:
        store = SqliteReplayStore(database, grace=0)
        fill_replay(database, 150_000)
        database.close()
        full = database.path.stat().st_size
        assert store.purge(NOW + 1) == 150_000
        database.close()
        assert database.path.stat().st_size < full / 2


class TestGrowth:
    def test_tickets_exceed_their_maximum_by_a_small_part_only(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteAcceptorTicketStore(database, max_entries=640, clock=clock)
        most = 0
        for number in range(1500):
            store.put(acceptor_ticket(expires=NOW + number))
            most = max(most, count(database, "ticket"))
        # It is looked at once in ten additions on average: 200 in a row that are not are unheard of
        assert 640 <= most < 840

    def test_a_thousand_tickets_of_one_second_are_kept_apart(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteAcceptorTicketStore(database, clock=clock)
        tickets = [acceptor_ticket() for _ in range(1000)]
        assert all(store.put(ticket) for ticket in tickets)
        assert all(store.get(ticket.tid, NOW) == ticket for ticket in tickets)

    def test_a_ticket_listed_but_deleted_since_is_left_out(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteAcceptorTicketStore(database, clock=clock)
        old, new = acceptor_ticket(issued_at=NOW - 1), acceptor_ticket()
        store.put(old)
        store.put(new)
        listed = store.all(NOW)
        assert next(listed) == new
        store.delete(old.tid)
        assert list(listed) == []


class TestOddValues:
    def test_attributes_have_a_limit(self, database: SqliteDatabase) -> None:
        store = SqliteAcceptorTicketStore(database)
        fits = acceptor_ticket(attributes={"x": "y" * (MAX_ATTRIBUTES_SIZE - len('{"x":""}'))})
        assert store.put(fits)
        assert store.get(fits.tid, NOW) == fits
        with pytest.raises(StoreError, match="claims take 65537 characters") as caught:
            store.put(acceptor_ticket(attributes={"x": fits.attributes["x"] + "y"}))  # type: ignore[operator]
        assert caught.value.code is Code.BUFFER_TOO_LONG

    def test_times_of_any_size_are_kept_or_refused(self, database: SqliteDatabase) -> None:
        store = SqliteAcceptorTicketStore(database)
        for expires in (0, 999, -1, 2**41, 2**62, 2**63 - 1):
            ticket = acceptor_ticket(expires=expires)
            assert store.put(ticket)
            assert store.get(ticket.tid, -2) == ticket
        with pytest.raises(StoreError, match="can not be kept.*64 bits"):
            store.put(acceptor_ticket(expires=2**63))

    def test_text_that_is_not_unicode_is_refused(self, folder: Path) -> None:
        stores = open_initiator(folder / "client.db")
        with pytest.raises(StoreError, match="can not be kept.*surrogates") as caught:
            stores.tickets.put(initiator_ticket(identity="\ud800"))
        assert caught.value.code is Code.INVALID_PARAMETER
        stores.close()

    def test_a_ticket_with_damaged_attributes_is_an_error(self, database: SqliteDatabase) -> None:
        store = SqliteAcceptorTicketStore(database)
        ticket = acceptor_ticket(attributes={"a": 1})
        store.put(ticket)
        database.change("UPDATE ticket SET attributes = '{\"a\":'")
        with pytest.raises(StoreError, match="damaged: restore a backup"):
            store.get(ticket.tid, NOW)


class TestSecrets:
    def test_a_deleted_key_is_not_left_in_the_file(self, folder: Path) -> None:
        stores = open_initiator(folder / "client.db")
        secret = os.urandom(3000).hex().encode()
        stores.identities.put(identity_record(private_key_pem=secret))
        stores.close()
        written = (folder / "client.db").read_bytes()
        assert secret[100:200] in written
        stores.identities.delete("alice@example.org")
        stores.close()
        written = (folder / "client.db").read_bytes()
        assert not any(secret[at : at + 100] in written for at in range(0, len(secret), 100))


class TestOpening:
    def test_shows_at_once_what_is_wrong(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        with pytest.raises(StoreError, match="accessible to other users"):
            open_acceptor(folder / "server.db")
        with pytest.raises(StoreError, match="accessible to other users"):
            open_initiator(folder / "client.db")

    def test_one_side_does_not_take_the_file_of_the_other(self, folder: Path) -> None:
        open_acceptor(folder / "store.db").close()
        with pytest.raises(StoreError, match="is not the initiator store"):
            open_initiator(folder / "store.db")
        open_initiator(folder / "client.db").close()
        with pytest.raises(StoreError, match="is not the acceptor store"):
            open_acceptor(folder / "client.db")
