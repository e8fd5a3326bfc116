"""What the stores in SQLite do beyond the contract: growth, purging, and files that went bad."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import Admission, Entry
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.store import AcceptorStores
from browserid_sasl.store import database as database_module
from browserid_sasl.store.base import MAX_ATTRIBUTES_SIZE
from browserid_sasl.store.database import SqliteDatabase
from browserid_sasl.store.sqlite import (
    SqliteAcceptorTicketStore,
    SqliteAdmission,
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
    database.change("UPDATE replay_size SET entries = entries + ?", (count,))


def admit(
    stores: AcceptorStores, digest: bytes, not_after: int, ticket: AcceptorTicket
) -> tuple[bool, bool]:
    assert stores.admission is not None
    return admit_by(stores.admission, digest, not_after, ticket)


def admit_by(
    admission: Admission, digest: bytes, not_after: int, ticket: AcceptorTicket
) -> tuple[bool, bool]:
    [outcome] = admission([Entry(digest, not_after, ticket)])
    if isinstance(outcome, StoreError):
        raise outcome
    assert isinstance(outcome, tuple)
    return outcome


@pytest.fixture
def stores(folder: Path, clock: Clock) -> Iterator[AcceptorStores]:
    stores = open_acceptor(folder / "server.db", clock=clock)
    yield stores
    stores.close()


def count(database: SqliteDatabase, table: str) -> int:
    ((number,),) = database.rows(f"SELECT count(*) FROM {table}")
    assert isinstance(number, int)
    return number


class TestPurging:
    def test_insertions_remove_what_has_expired_a_batch_at_a_time(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteReplayStore(database, grace=0, purge_pause=0, clock=clock)
        fill_replay(database, 3 * BATCH)
        clock.now = NOW + 1
        for batches in (2, 1, 0, 0):
            store.insert(os.urandom(32), NOW + HOUR)
            expired = database.rows("SELECT count(*) FROM replay WHERE not_after = ?", (NOW,))
            assert expired == [(batches * BATCH,)]

    def test_new_tickets_remove_expired_ones_a_batch_at_a_time(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteAcceptorTicketStore(database, purge_pause=10**9, clock=clock)
        for number in range(BATCH + 10):
            store.put(acceptor_ticket(expires=NOW + number))
        clock.now = NOW + HOUR
        store = SqliteAcceptorTicketStore(database, purge_pause=0, clock=clock)
        store.put(acceptor_ticket())
        assert count(database, "ticket") == 10 + 1
        store.put(acceptor_ticket())
        assert count(database, "ticket") == 2

    @pytest.mark.parametrize("later", [-1, 1000])
    def test_happens_with_the_first_insertion_and_then_once_in_a_while(
        self, database: SqliteDatabase, clock: Clock, later: int
    ) -> None:
        store = SqliteReplayStore(database, grace=0, purge_pause=1000, clock=clock)
        # At first, too early, and again: late enough, or by a clock that was set back.
        for moment, left in ((NOW + 1, 0), (NOW + 1000, 100), (NOW + 1 + later, 0)):
            database.change("DELETE FROM replay")
            fill_replay(database, 100, NOW - 1)
            clock.now = moment
            store.insert(os.urandom(32), NOW + HOUR)
            assert count(database, f"replay WHERE not_after = {NOW - 1}") == left

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
        assert 640 <= most < 650

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

    def test_assertions_are_counted_at_first_and_then_once_in_a_while(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteReplayStore(database, grace=0, purge_pause=1000, clock=clock)
        for moment, counted in ((NOW, 1), (NOW, 1), (NOW + 999, 1), (NOW + 1000, 4), (NOW, 5)):
            clock.now = moment
            store.insert(os.urandom(32), NOW + HOUR)
            assert database.rows("SELECT entries FROM replay_size") == [(counted,)]
        assert store.purge(NOW + HOUR + 1) == 5
        assert database.rows("SELECT entries FROM replay_size") == [(0,)]

    def test_what_is_not_counted_yet_takes_room(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        store = SqliteReplayStore(database, grace=0, max_entries=3, clock=clock)
        for _ in range(3):
            store.insert(os.urandom(32), NOW)
        with pytest.raises(StoreError, match="maximum of 3 assertions"):
            store.insert(os.urandom(32), NOW)


class TestAdmission:
    def test_an_assertion_and_its_ticket_are_there(self, stores: AcceptorStores) -> None:
        ticket = acceptor_ticket(mutual=True, attributes={"name": "Älice"})
        assert admit(stores, b"a" * 32, NOW, ticket) == (True, True)
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert not stores.replay.insert(b"a" * 32, NOW)

    def test_an_assertion_that_was_presented_before_gets_no_ticket(
        self, stores: AcceptorStores
    ) -> None:
        stores.replay.insert(b"a" * 32, NOW)
        assert admit(stores, b"a" * 32, NOW, acceptor_ticket()) == (False, False)
        assert list(stores.tickets.all(NOW)) == []

    def test_a_ticket_that_is_there_is_not_replaced(self, stores: AcceptorStores) -> None:
        ticket = acceptor_ticket()
        stores.tickets.put(ticket)
        thief = acceptor_ticket(tid=ticket.tid, subject="mallory@example.org")
        assert admit(stores, b"a" * 32, NOW, thief) == (True, False)
        assert stores.tickets.get(ticket.tid, NOW) == ticket
        assert not stores.replay.insert(b"a" * 32, NOW)

    def test_what_cannot_be_kept_leaves_nothing(self, stores: AcceptorStores) -> None:
        ticket = acceptor_ticket(attributes={"x": "y" * MAX_ATTRIBUTES_SIZE})
        with pytest.raises(StoreError, match="claims take"):
            admit(stores, b"a" * 32, NOW, ticket)
        with pytest.raises(StoreError, match="64 bits"):
            admit(stores, b"a" * 32, NOW, acceptor_ticket(renew_until=2**63))
        assert stores.replay.insert(b"a" * 32, NOW)

    def test_a_full_store_refuses_until_something_expires(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        replay = SqliteReplayStore(database, grace=0, max_entries=2, clock=clock)
        tickets = SqliteAcceptorTicketStore(database, clock=clock)
        admission = SqliteAdmission(database, replay, tickets, clock=clock)
        for number in range(2):
            assert admit_by(admission, bytes([number]) * 32, NOW, acceptor_ticket()) == (True, True)
        late = acceptor_ticket()
        with pytest.raises(StoreError, match="maximum of 2 assertions"):
            admit_by(admission, b"z" * 32, NOW, late)
        assert tickets.get(late.tid, NOW) is None
        clock.now = NOW + 1
        assert admit_by(admission, b"z" * 32, NOW + 1, late) == (True, True)
        assert tickets.get(late.tid, NOW) == late

    def test_what_has_expired_or_is_too_much_goes(
        self, database: SqliteDatabase, clock: Clock
    ) -> None:
        replay = SqliteReplayStore(database, grace=0, purge_pause=0, clock=clock)
        tickets = SqliteAcceptorTicketStore(database, max_entries=2, purge_pause=0, clock=clock)
        admission = SqliteAdmission(database, replay, tickets, clock=clock)
        for number in range(4):
            admit_by(admission, bytes([number]) * 32, NOW, acceptor_ticket(expires=NOW + HOUR))
        assert (count(database, "replay"), count(database, "ticket")) == (4, 2)
        clock.now = NOW + 2 * HOUR
        admit_by(admission, b"z" * 32, clock.now, acceptor_ticket())
        assert (count(database, "replay"), count(database, "ticket")) == (1, 1)

    def test_those_that_come_together_share_a_transaction(
        self, stores: AcceptorStores, folder: Path
    ) -> None:
        assert stores.admission is not None
        [session] = [
            session
            for database in list(database_module._databases)
            if database.path.is_relative_to(folder)
            for session in list(database._sessions)
            if session.connection is not None
        ]
        tickets = [acceptor_ticket() for _ in range(3)]
        entries = [Entry(bytes([n]) * 32, NOW, ticket) for n, ticket in enumerate(tickets)]
        admit(stores, b"z" * 32, NOW, acceptor_ticket())  # so that nothing is tidied up next
        asked: list[str] = []
        assert session.connection is not None
        session.connection.set_trace_callback(asked.append)
        assert stores.admission([*entries, Entry(b"w" * 32, NOW)]) == [
            *[(True, True)] * 3,
            (True, False),
        ]
        assert [asked.count(word) for word in ("BEGIN IMMEDIATE", "COMMIT")] == [1, 1]
        assert all(stores.tickets.get(ticket.tid, NOW) == ticket for ticket in tickets)

    def test_of_an_assertion_that_comes_twice_together_one_succeeds(
        self, stores: AcceptorStores
    ) -> None:
        assert stores.admission is not None
        entries = [Entry(b"a" * 32, NOW, acceptor_ticket()) for _ in range(3)]
        assert stores.admission(entries) == [(True, True), (False, False), (False, False)]
        assert list(stores.tickets.all(NOW)) == [entries[0].ticket]

    def test_what_cannot_be_kept_keeps_no_other_out(self, stores: AcceptorStores) -> None:
        assert stores.admission is not None
        large = acceptor_ticket(attributes={"x": "y" * MAX_ATTRIBUTES_SIZE})
        first, refused, last = stores.admission(
            [
                Entry(b"a" * 32, NOW, acceptor_ticket()),
                Entry(b"b" * 32, NOW, large),
                Entry(b"c" * 32, NOW, acceptor_ticket()),
            ]
        )
        assert first == last == (True, True)
        assert isinstance(refused, StoreError)
        assert refused.code is Code.BUFFER_TOO_LONG
        assert stores.replay.insert(b"b" * 32, NOW)

    def test_if_the_store_fails_all_of_them_fail_and_leave_nothing(
        self, stores: AcceptorStores
    ) -> None:
        assert stores.admission is not None
        broken = acceptor_ticket(renew_until=2**63)
        outcomes = stores.admission(
            [Entry(b"a" * 32, NOW, acceptor_ticket()), Entry(b"b" * 32, NOW, broken)]
        )
        assert all(isinstance(outcome, StoreError) for outcome in outcomes)
        assert stores.replay.insert(b"a" * 32, NOW)
        assert list(stores.tickets.all(NOW)) == []

    def test_of_simultaneous_presentations_one_succeeds(self, stores: AcceptorStores) -> None:
        digests = [os.urandom(32) for _ in range(50)]

        def present(_: int) -> int:
            outcomes = [admit(stores, digest, NOW, acceptor_ticket()) for digest in digests]
            return outcomes.count((True, True))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(present, range(8))) == len(digests)
        assert len(list(stores.tickets.all(NOW))) == len(digests)


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
        with pytest.raises(StoreError, match="cannot be kept.*64 bits"):
            store.put(acceptor_ticket(expires=2**63))

    def test_text_that_is_not_unicode_is_refused(self, folder: Path) -> None:
        stores = open_initiator(folder / "client.db")
        with pytest.raises(StoreError, match="cannot be kept.*surrogates") as caught:
            stores.tickets.put(initiator_ticket(identity="\ud800"))
        assert caught.value.code is Code.INVALID_PARAMETER
        stores.close()


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
