"""The stores in SQLite: one file for an acceptor, one for an initiator.

An acceptor's file is laid out for a steady stream of logins. Its tables are in the order of
expiry, so that what is added and what expires lies at their two ends, and a login touches the same
few pages whatever the number of entries. The one thing that cannot be so is the index of tickets
by identifier, a digest. An assertion and the ticket for it are written in one transaction, and so
are those of logins that come together, because what a transaction costs by itself is most of what
each of them costs.

A row has a checksum, so that nobody logs in as whom a damaged ticket names. An assertion that has
gone missing would not be missed that way: each is written down twice, the second time in short, in
another table. One that is found in one of the two places was presented before, and the store is
damaged. All else that SQLite does not notice itself is in `database`.

Expired entries go a batch at a time while others are added, so no clean-up job is needed; `purge`
is for those who want all of it now. No store grows without end. When the replay store is full of
entries that are still needed, logins are refused until some expire, because forgetting one would
let its assertion in again. A ticket only saves time: of too many, those that expire soonest go.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.admission import OneByOne
from browserid_sasl.gss.ports import Entry, Outcome
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.identity.ports import CachedDocument, IdentityRecord
from browserid_sasl.store.base import (
    MAX_ATTRIBUTES_SIZE,
    REPLAY_GRACE,
    AcceptorStores,
    InitiatorStores,
    attributes_too_long,
    system_clock,
    too_many_documents,
)
from browserid_sasl.store.database import Row, Schema, SqliteDatabase
from browserid_sasl.store.memory import memory_acceptor, memory_initiator
from browserid_sasl.store.view import DatabaseView

#: The most entries each store keeps: about 0.5 GB of assertions, 0.7 GB of tickets without
#: attributes, and 64 MB of support documents.
MAX_REPLAY_ENTRIES: Final = 10_000_000
MAX_ACCEPTOR_TICKETS: Final = 2_000_000
MAX_INITIATOR_TICKETS: Final = 10_000
MAX_AUTHORITIES: Final = 1_000

#: An addition so long (ms) after the last removal of what has expired removes a batch more of it.
_PURGE_PAUSE: Final = 1000
_PURGE_BATCH: Final = 256
#: `purge` removes this many at a time, and lets others write in between.
_FULL_PURGE_BATCH: Final = 1000
_FULL_PURGE_PAUSE: Final = 0.002
#: A ticket store exceeds its maximum by this part at most, for each process that adds to it.
_COUNT_SLACK: Final = 64

_DIGEST_SIZE: Final = 32
_CHECKSUM_SIZE: Final = 6
_FROM_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
#: The last character has four bits of the digest and two that are zero.
_spells_digest: Final = re.compile("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]").fullmatch
#: Before an identifier that does not spell a digest, to tell it from one by its length.
_NOT_A_DIGEST: Final = bytes(_DIGEST_SIZE + 1)

# Columns are in the order of the fields of the records they keep. Those that came with a later
# format stand behind the checksum, where SQLite puts them.

#: What later columns have in a row of an older format.
_NO_KEY: Final = ("",)
_NO_RENEWAL: Final = ("", 0)

ACCEPTOR_SCHEMA: Final = Schema(
    noun="acceptor store",
    application_id=0x42494441,
    version=4,
    missed=True,
    if_damaged=(
        "stop the services that use it and run `bidtool reset --server`, for browserid-acceptor's"
        " with `--acceptor` as its account, which keeps it aside and makes an empty one; that one"
        " does not know which assertions were presented before, so do not start the services until"
        " those have expired, after ten minutes unless you configured more, or only with"
        " `extra_round_trip`"
    ),
    statements="""
        CREATE TABLE replay (
            not_after INTEGER NOT NULL,
            digest BLOB NOT NULL,
            PRIMARY KEY (not_after, digest)
        ) WITHOUT ROWID;
        -- What is in `replay` once more: of each digest its last 8 octets.
        CREATE TABLE replay_copy (
            not_after INTEGER NOT NULL,
            tail BLOB NOT NULL,
            PRIMARY KEY (not_after, tail)
        ) WITHOUT ROWID;
        CREATE TRIGGER copy AFTER INSERT ON replay BEGIN
            INSERT INTO replay_copy VALUES (NEW.not_after, substr(NEW.digest, -8));
        END;
        CREATE TRIGGER forget AFTER DELETE ON replay BEGIN
            DELETE FROM replay_copy
                WHERE not_after = OLD.not_after AND tail = substr(OLD.digest, -8);
        END;
        CREATE TABLE replay_size (id INTEGER PRIMARY KEY, entries INTEGER NOT NULL);
        INSERT INTO replay_size VALUES (1, 0);

        -- id: the second of expiry, and in the lower 24 bits a number within it.
        CREATE TABLE ticket (
            id INTEGER PRIMARY KEY,
            tid BLOB NOT NULL,
            subject TEXT NOT NULL,
            issuer TEXT NOT NULL,
            audience TEXT NOT NULL,
            ark BLOB NOT NULL,
            curve TEXT NOT NULL,
            issued_at INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            renew_until INTEGER NOT NULL,
            mutual INTEGER NOT NULL,
            renewed INTEGER NOT NULL,
            attributes TEXT NOT NULL,
            checksum INTEGER NOT NULL,
            key_thumbprint TEXT NOT NULL DEFAULT ''
        );
        CREATE UNIQUE INDEX ticket_tid ON ticket (tid);

        CREATE TABLE authority (
            domain TEXT NOT NULL PRIMARY KEY,
            body BLOB NOT NULL,
            expires INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        );
    """,
    upgrades={
        3: (
            "DROP TRIGGER admit",
            "DROP VIEW admission",
            "ALTER TABLE ticket ADD COLUMN key_thumbprint TEXT NOT NULL DEFAULT ''",
        )
    },
)

INITIATOR_SCHEMA: Final = Schema(
    noun="initiator store",
    application_id=0x42494449,
    version=3,
    if_damaged=(
        "sign in again with `browserid login`, which keeps the damaged file aside and makes"
        " another, or restore a backup"
    ),
    statements="""
        CREATE TABLE ticket (
            identity TEXT NOT NULL,
            audience TEXT NOT NULL,
            curve TEXT NOT NULL,
            issuer TEXT NOT NULL,
            tid TEXT NOT NULL,
            ark BLOB NOT NULL,
            issued_at INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            mutual INTEGER NOT NULL,
            renewed INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (identity, audience, curve)
        );
        CREATE INDEX ticket_expiry ON ticket (expires);

        CREATE TABLE identity (
            identity TEXT NOT NULL PRIMARY KEY,
            private_key_pem BLOB NOT NULL,
            certificate TEXT NOT NULL,
            expires INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            renewal TEXT NOT NULL DEFAULT '',
            renewal_expires INTEGER NOT NULL DEFAULT 0
        );

        CREATE TABLE authority (
            domain TEXT NOT NULL PRIMARY KEY,
            body BLOB NOT NULL,
            expires INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        );
    """,
    upgrades={
        2: (
            "ALTER TABLE identity ADD COLUMN renewal TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE identity ADD COLUMN renewal_expires INTEGER NOT NULL DEFAULT 0",
        )
    },
)


class SqliteReplayStore:
    """A `ReplayStore` in an acceptor's file.

    :param grace: ms after `not_after` that an entry is kept. At least the largest clock skew
        permitted by any verifier that uses the file.
    :param max_entries: the most to keep, but for what other processes insert in `purge_pause`; one
        more assertion is refused with a `StoreError`.
    :param purge_pause: ms after which an insertion removes a batch of what has expired, and counts
        those since the last time.
    :param clock: the time in ms, for that.
    """

    INSERT: Final = (
        "INSERT INTO replay (not_after, digest) SELECT ?, ?"
        " WHERE (SELECT entries FROM replay_size WHERE id = 1) < ? ON CONFLICT DO NOTHING"
    )
    _COUNT: Final = "UPDATE replay_size SET entries = max(0, entries + ?) WHERE id = 1"

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        grace: int = REPLAY_GRACE,
        max_entries: int = MAX_REPLAY_ENTRIES,
        purge_pause: int = _PURGE_PAUSE,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._database = database
        self._grace = grace
        self._max_entries = max_entries
        self._uncounted = 0
        self._clock = clock
        self._rounds = _Rounds(purge_pause)
        self._counts = _Rounds(purge_pause)

    def insert(self, digest: bytes, not_after: int) -> bool:
        now = self._clock()
        self.tidy(now)
        if self._insert(digest, not_after, now):
            return True
        if self._has(digest, not_after):
            return False
        if self.purge(now) and self._insert(digest, not_after, now):
            return True
        raise StoreError(
            Code.CACHE_ERROR,
            f"the replay store has its maximum of {self._max_entries} assertions "
            "that have not expired",
            "logins work again as they expire; see who logs in so often, or with assertions "
            "that are valid for so long",
        )

    def all(self) -> Iterator[tuple[bytes, int]]:
        """Every entry that is kept: its digest and `not_after` (ms), the earliest first."""
        statement = "SELECT not_after, digest FROM replay WHERE (not_after, digest) > (?, ?)"
        last: Row = (-1, b"")
        while rows := self._database.rows(
            f"{statement} ORDER BY not_after, digest LIMIT {_FULL_PURGE_BATCH}", last
        ):
            last = rows[-1]
            yield from ((digest, not_after) for not_after, digest in rows)

    def purge(self, now: int) -> int:
        return _purge_all(self._purge_batch, now - self._grace)

    def tidy(self, now: int) -> None:
        """Before an insertion at `now` (ms): remove a batch of what has expired, if it is time."""
        if self._rounds.due(now):
            gone = self._purge_batch(now - self._grace, _PURGE_BATCH)
            self._rounds.done(now, finished=gone < _PURGE_BATCH)

    def row(self, digest: bytes, not_after: int) -> Row:
        """What `INSERT` takes."""
        return not_after, digest, self._max_entries - self._uncounted

    def count(self, inserted: int, now: int) -> None:
        """After insertions at `now` (ms): write down those since the last time, if it is time.

        To write it down with each would cost a sixth of what an insertion costs.
        """
        self._uncounted += inserted
        if self._counts.due(now):
            self._write_count()
            self._counts.done(now, finished=True)

    def _purge_batch(self, before: int, size: int) -> int:
        statement = (
            "SELECT not_after, digest FROM replay WHERE not_after < ?"
            " ORDER BY not_after, digest LIMIT 1 OFFSET ?"
        )
        last = self._database.row(statement, (before, size - 1))
        if last is None:
            gone = self._database.change("DELETE FROM replay WHERE not_after < ?", (before,))
            # Of a damaged store, what has lost its assertion.
            self._database.change("DELETE FROM replay_copy WHERE not_after < ?", (before,))
        else:
            statement = "DELETE FROM replay WHERE (not_after, digest) <= (?, ?)"
            gone = self._database.change(statement, last)
        if gone:
            self._write_count(gone)
            self._database.shrink()
        return gone

    def _write_count(self, gone: int = 0) -> None:
        self._database.change(self._COUNT, (self._uncounted - gone,))
        self._uncounted = 0

    def _insert(self, digest: bytes, not_after: int, now: int) -> bool:
        inserted = self._database.change(self.INSERT, self.row(digest, not_after)) == 1
        if inserted:
            self.count(1, now)
        return inserted

    def _has(self, digest: bytes, not_after: int) -> bool:
        statement = "SELECT 1 FROM replay WHERE not_after = ? AND digest = ?"
        return self._database.row(statement, (not_after, digest)) is not None


class SqliteAcceptorTicketStore:
    """An `AcceptorTicketStore` in an acceptor's file.

    :param max_entries: the most to keep, see `_COUNT_SLACK`; of more, those that expire soonest are
        dropped.
    :param purge_pause: ms after which an addition removes a batch of what has expired.
    :param clock: the time in ms, for that removal.
    """

    PUT: Final = (
        "INSERT INTO ticket VALUES (coalesce((SELECT max(id) + 1 FROM ticket"
        " WHERE id BETWEEN ?8 / 1000 << 24 AND (?8 / 1000 << 24) + 0xFFFFFF), ?8 / 1000 << 24),"
        " ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        " ON CONFLICT (tid) DO NOTHING"
    )
    _GET: Final = "SELECT * FROM ticket WHERE tid = ? AND expires > ?"
    _DELETE: Final = "DELETE FROM ticket WHERE tid = ?"
    _PURGE: Final = (
        "DELETE FROM ticket WHERE id IN (SELECT id FROM ticket"
        " WHERE id < (?1 / 1000 + 1) << 24 AND expires < ?1 ORDER BY id LIMIT ?2)"
    )
    _TRIM: Final = (
        "DELETE FROM ticket WHERE id IN (SELECT id FROM ticket"
        " ORDER BY id LIMIT max(0, (SELECT count(*) FROM ticket) - ?))"
    )

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        max_entries: int = MAX_ACCEPTOR_TICKETS,
        purge_pause: int = _PURGE_PAUSE,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._database = database
        self._max_entries = max_entries
        self._slack = max_entries // _COUNT_SLACK
        self._until_trim = 0
        self._clock = clock
        self._rounds = _Rounds(purge_pause)

    def put(self, ticket: AcceptorTicket) -> bool:
        self.tidy(self._clock())
        added = self._database.change(self.PUT, _acceptor_ticket_row(ticket)) == 1
        if added:
            self.trim(1)
        return added

    def tidy(self, now: int) -> None:
        """Before an addition at `now` (ms): remove a batch of what has expired, if it is time."""
        if self._rounds.due(now):
            gone = self._purge_batch(now, _PURGE_BATCH)
            self._rounds.done(now, finished=gone < _PURGE_BATCH)

    def trim(self, added: int) -> None:
        """After additions: remove what is too much, at first and then once in so many."""
        self._until_trim -= added
        if self._until_trim <= 0:
            self._database.change(self._TRIM, (self._max_entries,))
            self._until_trim = self._slack

    def get(self, tid: str, now: int) -> AcceptorTicket | None:
        row = self._database.row(self._GET, (_tid_key(tid), now))
        return None if row is None else self._ticket(row)

    def delete(self, tid: str) -> bool:
        return self._database.change(self._DELETE, (_tid_key(tid),)) == 1

    def all(self, now: int) -> Iterator[AcceptorTicket]:
        """Tickets are read one at a time: there may be many more than fit in memory."""
        statement = "SELECT id FROM ticket WHERE expires > ? ORDER BY issued_at DESC, id DESC"
        for (number,) in self._database.rows(statement, (now,)):
            row = self._database.row("SELECT * FROM ticket WHERE id = ?", (number,))
            if row is not None:
                yield self._ticket(row)

    def purge(self, now: int) -> int:
        return _purge_all(self._purge_batch, now)

    def _ticket(self, row: Row) -> AcceptorTicket:
        _, *sealed = row
        key, *fields, mutual, renewed, attributes, thumbprint = _unsealed(
            self._database, sealed, _NO_KEY
        )
        values: Row = (
            _tid_of_key(key),
            *fields,
            bool(mutual),
            bool(renewed),
            {} if attributes == "{}" else json.loads(attributes),
            thumbprint,
        )
        return AcceptorTicket(*values)

    def _purge_batch(self, before: int, size: int) -> int:
        gone = self._database.change(self._PURGE, (before, size))
        if gone:
            self._database.shrink()
        return gone


class SqliteAdmission:
    """An `Admission` to the stores in an acceptor's file.

    :param clock: the time in ms, for the removal of what has expired.
    """

    def __init__(
        self,
        database: SqliteDatabase,
        replay: SqliteReplayStore,
        tickets: SqliteAcceptorTicketStore,
        *,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._database = database
        self._clock = clock
        self._replay = replay
        self._tickets = tickets
        self._one_by_one = OneByOne(replay, tickets)

    def __call__(self, entries: Sequence[Entry]) -> list[Outcome]:
        now = self._clock()
        try:
            self._replay.tidy(now)
            self._tickets.tidy(now)
            rows = [_row_of(entry.ticket) for entry in entries]
            written = self._database.transaction(partial(self._write, entries, rows))
            self._replay.count(written.count((True, True)) + written.count((True, False)), now)
            self._tickets.trim(written.count((True, True)))
        except StoreError as error:
            return [error] * len(entries)
        # What was not written is there, or has no room: one by one, that is found out, and made.
        return [
            self._one_by_one((entry,))[0] if outcome is None else outcome
            for entry, outcome in zip(entries, written, strict=True)
        ]

    def _write(
        self,
        entries: Sequence[Entry],
        rows: Sequence[Row | StoreError | None],
        connection: sqlite3.Connection,
    ) -> list[Outcome | None]:
        """Write what is new; None for what is there, or has no room."""
        outcomes: list[Outcome | None] = []
        for entry, row in zip(entries, rows, strict=True):
            assertion = self._replay.row(entry.digest, entry.not_after)
            if isinstance(row, StoreError):
                outcomes.append(row)
            elif not connection.execute(SqliteReplayStore.INSERT, assertion).rowcount:
                outcomes.append(None)
            elif row is None:
                outcomes.append((True, False))
            else:
                put = connection.execute(SqliteAcceptorTicketStore.PUT, row)
                outcomes.append((True, put.rowcount == 1))
        return outcomes


class SqliteInitiatorTicketStore:
    """An `InitiatorTicketStore` in an initiator's file.

    :param max_entries: the most to keep; of more, those that expire soonest are dropped.
    :param clock: the time in ms, to remove expired tickets when one is added.
    """

    _PUT: Final = "INSERT OR REPLACE INTO ticket VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    _GET: Final = (
        "SELECT * FROM ticket WHERE identity = ? AND audience = ? AND curve = ? AND expires > ?"
    )
    _DELETE: Final = "DELETE FROM ticket WHERE identity = ? AND audience = ? AND tid = ?"
    _ALL: Final = "SELECT * FROM ticket WHERE expires > ? ORDER BY identity, audience, curve"
    _TRIM: Final = (
        "DELETE FROM ticket WHERE rowid IN"
        " (SELECT rowid FROM ticket ORDER BY expires DESC LIMIT -1 OFFSET ?)"
    )

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        max_entries: int = MAX_INITIATOR_TICKETS,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._database = database
        self._max_entries = max_entries
        self._clock = clock

    def put(self, ticket: InitiatorTicket) -> None:
        self.purge(self._clock())
        self._database.change(
            self._PUT,
            _sealed(
                ticket.identity,
                ticket.audience,
                ticket.curve,
                ticket.issuer,
                ticket.tid,
                ticket.ark,
                ticket.issued_at,
                ticket.expires,
                int(ticket.mutual),
                int(ticket.renewed),
            ),
        )
        self._database.change(self._TRIM, (self._max_entries,))

    def get(self, identity: str, audience: str, curve: str, now: int) -> InitiatorTicket | None:
        row = self._database.row(self._GET, (identity, audience, curve, now))
        return None if row is None else self._ticket(row)

    def delete(self, identity: str, audience: str, tid: str) -> bool:
        return self._database.change(self._DELETE, (identity, audience, tid)) > 0

    def all(self, now: int) -> list[InitiatorTicket]:
        return [self._ticket(row) for row in self._database.rows(self._ALL, (now,))]

    def purge(self, now: int) -> int:
        return self._database.change("DELETE FROM ticket WHERE expires < ?", (now,))

    def _ticket(self, row: Row) -> InitiatorTicket:
        *fields, mutual, renewed = _unsealed(self._database, row)
        values: Row = (*fields, bool(mutual), bool(renewed))
        return InitiatorTicket(*values)


class SqliteIdentityStore:
    """An `IdentityStore` in an initiator's file. It holds as many as are put into it."""

    _PUT: Final = "INSERT OR REPLACE INTO identity VALUES (?, ?, ?, ?, ?, ?, ?)"

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def put(self, record: IdentityRecord) -> None:
        self._database.change(
            self._PUT,
            _sealed(
                record.identity,
                record.private_key_pem,
                record.certificate,
                record.expires,
                later=(record.renewal, record.renewal_expires),
                absent=_NO_RENEWAL,
            ),
        )

    def get(self, identity: str) -> IdentityRecord | None:
        row = self._database.row("SELECT * FROM identity WHERE identity = ?", (identity,))
        return None if row is None else self._record(row)

    def delete(self, identity: str) -> bool:
        return self._database.change("DELETE FROM identity WHERE identity = ?", (identity,)) == 1

    def all(self) -> list[IdentityRecord]:
        rows = self._database.rows("SELECT * FROM identity ORDER BY identity")
        return [self._record(row) for row in rows]

    def _record(self, row: Row) -> IdentityRecord:
        return IdentityRecord(*_unsealed(self._database, row, _NO_RENEWAL))


class SqliteAuthorityCache:
    """An `AuthorityCache` in an acceptor's or an initiator's file.

    :param max_entries: the most to keep; of more, those go that `base.too_many_documents` says.
    """

    _PUT: Final = "INSERT OR REPLACE INTO authority VALUES (?, ?, ?, ?)"
    _DELETE: Final = "DELETE FROM authority WHERE domain = ?"

    def __init__(self, database: SqliteDatabase, *, max_entries: int = MAX_AUTHORITIES) -> None:
        self._database = database
        self._max_entries = max_entries

    def get(self, domain: str, now: int) -> CachedDocument | None:
        statement = "SELECT * FROM authority WHERE domain = ? AND expires > ?"
        row = self._database.row(statement, (domain, now))
        return None if row is None else self._entry(row)[1]

    def put(self, domain: str, document: CachedDocument) -> None:
        self._database.change(self._PUT, _sealed(domain, document.body, document.expires))
        self._trim()

    def delete(self, domain: str) -> bool:
        return self._database.change(self._DELETE, (domain,)) == 1

    def all(self, now: int) -> list[tuple[str, CachedDocument]]:
        statement = "SELECT * FROM authority WHERE expires > ? ORDER BY domain"
        return [self._entry(row) for row in self._database.rows(statement, (now,))]

    def _entry(self, row: Row) -> tuple[str, CachedDocument]:
        domain, body, expires = _unsealed(self._database, row)
        return domain, CachedDocument(body, expires)

    def _trim(self) -> None:
        ((entries,),) = self._database.rows("SELECT count(*) FROM authority")
        if entries > self._max_entries:
            # As text even where a damaged row has something else.
            statement = "SELECT CAST(domain AS TEXT) FROM authority ORDER BY rowid"
            rows = self._database.rows(statement)
            for domain in too_many_documents([name for (name,) in rows], self._max_entries):
                self._database.change(self._DELETE, (domain,))


def open_acceptor(
    path: Path | str,
    *,
    durability: str = "process",
    grace: int = REPLAY_GRACE,
    clock: Callable[[], int] = system_clock,
) -> AcceptorStores:
    """The stores of an acceptor in one file, which is made if it is not there.

    :param path: of the file, in a folder for it and its companions alone.
    :param durability: ``process`` or ``power``, see `SqliteDatabase`.
    :param grace: ms that assertions are remembered beyond their expiry, see `SqliteReplayStore`.
    :param clock: the time in ms, for the removal of what has expired.
    :raises StoreError: when the file cannot be used.
    :raises ConfigurationError: for another `durability`.
    """
    return _acceptor_stores(
        SqliteDatabase(path, ACCEPTOR_SCHEMA, durability=durability), grace, clock
    )


def look_into_acceptor(
    path: Path | str, *, clock: Callable[[], int] = system_clock
) -> AcceptorStores:
    """The stores of an acceptor to read from, empty ones if there is no file; nothing is made.

    :raises StoreError: when the file cannot be read.
    """
    view = DatabaseView(path, ACCEPTOR_SCHEMA)
    return _acceptor_stores(view, REPLAY_GRACE, clock) if view.is_there() else memory_acceptor()


def presented(path: Path | str) -> Iterator[tuple[bytes, int]]:
    """The assertions that an acceptor's file remembers; see `SqliteReplayStore.all`.

    :raises StoreError: when the file cannot be read.
    """
    view = DatabaseView(path, ACCEPTOR_SCHEMA)
    return SqliteReplayStore(view).all() if view.is_there() else iter(())


def _acceptor_stores(
    database: SqliteDatabase, grace: int, clock: Callable[[], int]
) -> AcceptorStores:
    if (
        database.row("SELECT 1 FROM replay_size WHERE id = 1 AND typeof(entries) = 'integer'")
        is None
    ):
        raise database.damaged("it does not say how many assertions it has")
    replay = SqliteReplayStore(database, grace=grace, clock=clock)
    tickets = SqliteAcceptorTicketStore(database, clock=clock)
    return AcceptorStores(
        replay=replay,
        tickets=tickets,
        authorities=SqliteAuthorityCache(database),
        admission=SqliteAdmission(database, replay, tickets, clock=clock),
        close=database.close,
    )


def open_initiator(
    path: Path | str,
    *,
    durability: str = "process",
    clock: Callable[[], int] = system_clock,
) -> InitiatorStores:
    """The stores of an initiator in one file, which is made if it is not there.

    :param path: of the file, in a folder for it and its companions alone.
    :param durability: ``process`` or ``power``, see `SqliteDatabase`.
    :param clock: the time in ms, for the removal of what has expired.
    :raises StoreError: when the file cannot be used.
    :raises ConfigurationError: for another `durability`.
    """
    return _initiator_stores(SqliteDatabase(path, INITIATOR_SCHEMA, durability=durability), clock)


def look_into_initiator(
    path: Path | str, *, clock: Callable[[], int] = system_clock
) -> InitiatorStores:
    """The stores of an initiator to read from, empty ones if there is no file; nothing is made.

    :raises StoreError: when the file cannot be read.
    """
    view = DatabaseView(path, INITIATOR_SCHEMA)
    return _initiator_stores(view, clock) if view.is_there() else memory_initiator()


def _initiator_stores(database: SqliteDatabase, clock: Callable[[], int]) -> InitiatorStores:
    database.row("SELECT count(*) FROM identity")
    return InitiatorStores(
        tickets=SqliteInitiatorTicketStore(database, clock=clock),
        identities=SqliteIdentityStore(database),
        authorities=SqliteAuthorityCache(database),
        close=database.close,
    )


def begin_anew(path: Path | str, schema: Schema, now: int) -> list[Path]:
    """Move a store's file and its companions aside, and make an empty one.

    :param path: of the file. Nobody else may have it open.
    :param schema: `ACCEPTOR_SCHEMA` or `INITIATOR_SCHEMA`.
    :param now: ms; the names say when it was.
    :returns: where the files are now; none if there were none.
    :raises StoreError: when that is not possible.
    """
    suffix = time.strftime("-%Y%m%dT%H%M%SZ", time.gmtime(now // 1000))
    return SqliteDatabase(path, schema).begin_anew(suffix)


class _Rounds:
    """When to look for what has expired: first of all, and then once in a while.

    As long as there is more of it than one round takes, the next round comes at once.

    :param pause: ms between rounds.
    """

    def __init__(self, pause: int) -> None:
        self._pause = pause
        self._last: int | None = None

    def due(self, now: int) -> bool:
        """Whether it is time, at `now` (ms); a clock that was set back does not put it off."""
        return self._last is None or not self._last <= now < self._last + self._pause

    def done(self, now: int, *, finished: bool) -> None:
        """A round was made at `now` (ms); whether it found less than it could have taken."""
        self._last = now if finished else None


def _purge_all(purge_batch: Callable[[int, int], int], before: int) -> int:
    gone = 0
    while batch := purge_batch(before, _FULL_PURGE_BATCH):
        gone += batch
        if batch == _FULL_PURGE_BATCH:
            time.sleep(_FULL_PURGE_PAUSE)
    return gone


def _tid_key(tid: str) -> bytes:
    """A ticket's identifier as it is stored: the digest itself if that is what it spells.

    Two identifiers have the same key only if they are the same text.
    """
    if _spells_digest(tid):
        return a2b_base64(tid.encode("ascii").translate(_FROM_URLSAFE) + b"=")
    return _NOT_A_DIGEST + tid.encode("utf-8", "surrogatepass")


def _tid_of_key(key: bytes) -> str:
    if len(key) == _DIGEST_SIZE:
        return urlsafe_b64encode(key)[:-1].decode()
    return key.removeprefix(_NOT_A_DIGEST).decode("utf-8", "surrogatepass")


def _sealed(*values: object, later: Row = (), absent: Row = ()) -> Row:
    """A row with its checksum, and the later columns behind it."""
    return (*values, _checksum(values, later, absent), *later)


def _unsealed(database: SqliteDatabase, row: Sequence[Any], absent: Row = ()) -> Row:
    """The values of a row, which are what was written.

    :param absent: what the later columns have in a row of an older format.
    :raises DamagedStoreError: they are not.
    """
    at = len(row) - len(absent) - 1
    values, checksum, later = tuple(row[:at]), row[at], tuple(row[at + 1 :])
    if checksum != _checksum(values, later, absent):
        raise database.damaged("a row in it is not as it was written")
    return values + later


def _checksum(values: Row, later: Row, absent: Row) -> int:
    # With their types: what was a number may come back as text, and text as octets.
    text = repr(values)
    # What a row of the older format has is not covered there.
    if later != absent or any(map(_differ_in_type, later, absent)):
        text += repr(later)
    return int.from_bytes(sha256(text.encode()).digest()[:_CHECKSUM_SIZE])


def _row_of(ticket: AcceptorTicket | None) -> Row | StoreError | None:
    try:
        return None if ticket is None else _acceptor_ticket_row(ticket)
    except StoreError as error:
        return error


def _differ_in_type(one: object, other: object) -> bool:
    return type(one) is not type(other)


_encode_json = json.JSONEncoder(separators=(",", ":")).encode


def _acceptor_ticket_row(ticket: AcceptorTicket) -> Row:
    attributes = _encode_json(dict(ticket.attributes)) if ticket.attributes else "{}"
    if len(attributes) > MAX_ATTRIBUTES_SIZE:
        raise attributes_too_long(len(attributes))
    return _sealed(
        _tid_key(ticket.tid),
        ticket.subject,
        ticket.issuer,
        ticket.audience,
        ticket.ark,
        ticket.curve,
        ticket.issued_at,
        ticket.expires,
        ticket.renew_until,
        int(ticket.mutual),
        int(ticket.renewed),
        attributes,
        later=(ticket.key_thumbprint,),
        absent=_NO_KEY,
    )
