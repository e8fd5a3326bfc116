"""A shared store's entries in PostgreSQL: three tables whose names begin with the site's.

The primary key of a name decides what is new. The tables are made by who first needs them. What has
expired goes a batch at a time, by whoever comes once a while, and whoever else is just removing it
is passed by: no login waits for that.

A connection lasts no longer than the server's run: what may have changed when it was started again,
restored or replaced is asked once on each. The threads of a process take turns with a few of them.
When one has broken, the others are not used again either, or each would fail somebody.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql

from browserid_sasl.database_url import DatabaseUrl
from browserid_sasl.errors import Code, StoreError
from browserid_sasl.store.bounded_connection import BoundedConnection
from browserid_sasl.store.engine import Admitted, Engine, Gone, Item, Table, untrusted
from browserid_sasl.store.pool import Pool, PoolBusyError

_T = TypeVar("_T")

#: Seconds between two removals of what has expired, and how much goes at once.
_PURGE_PAUSE: Final = 5.0
_PURGE_BATCH: Final = 2000
_READ_AT_ONCE: Final = 1000
_CONNECT_SECONDS: Final = 2

CONNECTIONS: Final = 8
"""How many a process has at most; see `acceptor.errands.THREADS`."""

_UNTRUSTED: Final = ("certificate verify failed", "server certificate for")
"""What libpq says of a certificate that is not trusted, or for another name."""

_DEBIANS_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS {a} (name bytea PRIMARY KEY, until bigint NOT NULL);
    CREATE INDEX IF NOT EXISTS {a_until} ON {a} (until);
    CREATE TABLE IF NOT EXISTS {t} (
        name bytea PRIMARY KEY, until bigint NOT NULL, value bytea NOT NULL
    );
    CREATE INDEX IF NOT EXISTS {t_until} ON {t} (until);
    CREATE TABLE IF NOT EXISTS {m} (id integer PRIMARY KEY, value bytea NOT NULL)
"""

# The time line changes when a replica takes over or a backup is restored, the system's number
# when another database does, the start when it may have come back from a copy of its disk.
_RUN: Final = (
    "SELECT (SELECT system_identifier FROM pg_control_system()) || '.'"
    " || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) || '.'"
    " || extract(epoch FROM pg_postmaster_start_time()),"
    " current_setting('synchronous_standby_names'), current_setting('fsync')"
)
_ADMIT: Final = """
    WITH added AS (
        INSERT INTO {a} (name, until) SELECT * FROM unnest(%b::bytea[], %b::bigint[])
        ON CONFLICT DO NOTHING RETURNING name
    )
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
        (SELECT value FROM {m} WHERE id = 0), ARRAY(SELECT name FROM added)
"""
_ADD: Final = """
    INSERT INTO {t} (name, until, value)
    SELECT * FROM unnest(%b::bytea[], %b::bigint[], %b::bytea[])
    ON CONFLICT DO NOTHING RETURNING name
"""
_PURGE: Final = """
    DELETE FROM {table} WHERE name IN (
        SELECT name FROM {table} WHERE until < {before} LIMIT {size} FOR UPDATE SKIP LOCKED
    )
"""
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class _Session:
    """A connection, and what its server said of its run.

    :param connection: it.
    :param run: see `Admitted.run`.
    """

    def __init__(self, connection: BoundedConnection, run: str) -> None:
        self.connection = connection
        self.run = run
        self.warned = False
        connection.add_notice_handler(self._hear)

    @property
    def closed(self) -> bool:
        return self.connection.closed

    def close(self) -> None:
        self.connection.close()

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        self.warned |= notice.severity_nonlocalized == "WARNING"


class PostgresqlEngine:
    """An `Engine` in PostgreSQL.

    :param url: of the servers, one of which takes writes.
    :param realm: the site's name in it.
    :param timeout: s to wait for an answer.
    :param replicas: whether its standbys have to confirm what is written, if it is not 0.
    :param ca_file: of the authorities that certify the servers; None for the system's.
    """

    shards: int = 1

    def __init__(
        self,
        url: DatabaseUrl,
        realm: str,
        *,
        timeout: float,
        replicas: int = 0,
        ca_file: str | None = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._replicas = replicas
        self._parameters = _parameters(url, timeout, replicas, ca_file)
        self._identifiers = {
            table: sql.Identifier(f"{realm}_{name}")
            for table, name in (("a", "assertion"), ("t", "ticket"), ("m", "mark"))
        } | {f"{table}_until": sql.Identifier(f"{realm}_{table}_until") for table in ("a", "t")}
        self._sessions = Pool(self._session, size=CONNECTIONS, patience=timeout)
        self._next_purge = 0.0

    def admit(self, shard: int, items: Sequence[Item]) -> Admitted:
        names, untils = [item.name for item in items], [item.until for item in items]

        def admit(session: _Session) -> Admitted:
            session.warned = False
            [row] = self._rows(session, _ADMIT, (names, untils))
            if session.warned and self._replicas:
                raise self._unconfirmed()
            now, mark, added = row
            return Admitted(now, session.run, mark, _first_of_each(names, added))

        self._tidy()
        return self._run(admit)

    def set_mark(self, shard: int, mark: bytes) -> None:
        statement = (
            "INSERT INTO {m} VALUES (0, %b) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
        )
        self._run(lambda session: self._do(session, statement, (mark,)))

    def look(self, shard: int) -> Admitted:
        return self.admit(shard, ())

    def add(self, table: Table, items: Sequence[Item]) -> Sequence[bool]:
        names = [item.name for item in items]
        values = names, [item.until for item in items], [item.value for item in items]
        rows = self._run(lambda session: self._rows(session, _ADD, values))
        return _first_of_each(names, [name for (name,) in rows])

    def get(self, table: Table, name: bytes) -> bytes | None:
        def get(session: _Session) -> bytes | None:
            rows = self._rows(session, "SELECT value FROM {t} WHERE name = %b", (name,))
            return rows[0][0] if rows else None

        try:
            return self._run(get)
        except Gone:
            return self._run(get)

    def delete(self, table: Table, name: bytes) -> bool:
        statement = "DELETE FROM {t} WHERE name = %b"
        return self._run(lambda session: self._do(session, statement, (name,))) == 1

    def all(self, table: Table) -> Iterator[Item]:
        value = "value" if table is Table.TICKET else "''::bytea"
        statement = (
            f"SELECT name, until, {value} FROM {{{table.value}}} WHERE name > %b"  # noqa: S608
            f" ORDER BY name LIMIT {_READ_AT_ONCE}"
        )
        last = b""
        while rows := self._run(partial(self._rows, text=statement, values=(last,))):
            yield from (Item(*row) for row in rows)
            last = rows[-1][0]

    def purge(self, table: Table, before: int) -> int:
        gone = 0
        # A number that PostgreSQL has.
        limit = sql.Literal(min(before, (1 << 63) - 1))
        while batch := self._purge(table, limit):
            gone += batch
        return gone

    def drop_marks(self) -> None:
        self._run(lambda session: self._do(session, "DELETE FROM {m}", ()))

    def clear(self) -> None:
        # In one transaction; whoever is admitted behind it is in doubt, as there is no mark.
        self._run(lambda session: self._do(session, "TRUNCATE {m}, {a}, {t}", ()))

    def close(self) -> None:
        self._sessions.renew()

    def _tidy(self) -> None:
        if time.monotonic() >= self._next_purge:
            self._next_purge = time.monotonic() + _PURGE_PAUSE
            # What a clock of ours says does not matter here.
            gone = [self._purge(table, sql.SQL(_NOW)) for table in Table]
            if max(gone) == _PURGE_BATCH:
                self._next_purge = 0.0

    def _purge(self, table: Table, before: sql.Composable) -> int:
        parts = {
            "table": self._identifiers[table.value],
            "before": before,
            "size": sql.Literal(_PURGE_BATCH),
        }
        statement = sql.SQL(_PURGE).format(**parts)
        return self._run(lambda session: session.connection.execute(statement).rowcount)

    def _rows(self, session: _Session, text: Any, values: Sequence[object]) -> list[Any]:
        return session.connection.execute(self._statement(text), values, binary=True).fetchall()

    def _do(self, session: _Session, text: Any, values: Sequence[object]) -> int:
        return session.connection.execute(self._statement(text), values).rowcount

    def _statement(self, text: Any) -> sql.Composed:
        return sql.SQL(text).format(**self._identifiers)

    def _run(self, action: Callable[[_Session], _T]) -> _T:
        try:
            with self._sessions.connection() as session:
                return action(session)
        except psycopg.errors.UndefinedTable:
            self._make_tables()
            return self._run(action)
        except PoolBusyError:
            raise self._late() from None
        except psycopg.Error as error:
            raise self._failure(error) from None

    def _session(self) -> _Session:
        connection = BoundedConnection.within(self._timeout, **self._parameters)
        try:
            run, standbys, synced = connection.execute(_RUN).fetchone() or ("", "", "")
            self._check(standbys, synced)
        except BaseException:
            connection.close()
            raise
        return _Session(connection, run)

    def _check(self, standbys: str, synced: str) -> None:
        if synced != "on":
            raise StoreError(
                Code.CACHE_ERROR,
                f"{self._url} does not wait for its disk (fsync is off)",
                "set `fsync` to on: what it confirms has to be there after its machine died",
            )
        if self._replicas and not standbys:
            raise StoreError(
                Code.CACHE_ERROR,
                f"{self._url} waits for no standby, which `durability` in [store] asks for",
                "set its `synchronous_standby_names`",
            )

    def _make_tables(self) -> None:
        for text in _TABLES.split(";"):
            self._run(partial(_make_table, statement=self._statement(text)))

    def _failure(self, error: psycopg.Error) -> StoreError:
        # In our own words, as those of the package may have parameters in them.
        match error:
            case psycopg.errors.QueryCanceled():
                return self._late()
            case psycopg.errors.InsufficientPrivilege() | psycopg.errors.InvalidPassword():
                return StoreError(
                    Code.CACHE_ERROR,
                    f"{self._url} refuses the account of this host",
                    "see the user and the password in [store], and that it may make tables there",
                )
            case psycopg.errors.DiskFull():
                return StoreError(
                    Code.CACHE_ERROR,
                    f"the disk of {self._url} is full",
                    "make room there",
                )
            case psycopg.errors.ReadOnlySqlTransaction():
                # Another one has taken over, or will: it is found by new connections only.
                self._sessions.renew()
                return Gone(f"{self._url} takes no writes any more")
            case psycopg.OperationalError():
                self._sessions.renew()
                if any(text in str(error) for text in _UNTRUSTED):
                    return untrusted(self._url)
                return Gone(f"{self._url} cannot be reached, refuses us, or cut the connection")
            case _:
                return StoreError(
                    Code.UNAVAILABLE,
                    f"{self._url} does not do what it is asked (SQLSTATE {error.sqlstate})",
                    "see its log",
                )

    def _late(self) -> StoreError:
        return StoreError(
            Code.UNAVAILABLE,
            f"{self._url} has not answered within {self._timeout:g} s",
            "see whether it runs, and what keeps it busy",
        )

    def _unconfirmed(self) -> StoreError:
        # Somebody has ended the wait for the standbys, who may never have it.
        return StoreError(
            Code.UNAVAILABLE,
            f"no standby of {self._url} has confirmed an assertion",
            "see whether they run, and its log",
        )


def _make_table(session: _Session, statement: sql.Composed) -> None:
    # Of several who make it at the same time, one may be told that it is there.
    with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        session.connection.execute(statement)


def _first_of_each(names: Sequence[bytes], added: Sequence[bytes]) -> list[bool]:
    """Of each name, whether it was added; of those that are there twice the first."""
    left = set(added)
    new = []
    for name in names:
        new.append(name in left)
        left.discard(name)
    return new


def _parameters(
    url: DatabaseUrl, timeout: float, replicas: int, ca_file: str | None
) -> dict[str, Any]:
    # `local`: on the disk of this server, whatever its standbys do; `on`: on theirs too.
    commit = "on" if replicas else "local"
    milliseconds = int(timeout * 1000)
    parameters: dict[str, Any] = {
        "dbname": url.database,
        "connect_timeout": max(_CONNECT_SECONDS, int(timeout)),
        "tcp_user_timeout": milliseconds,
        "target_session_attrs": "read-write",
        "application_name": "browserid",
        "options": f"-c synchronous_commit={commit} -c statement_timeout={milliseconds}",
        "autocommit": True,
        # What is prepared is lost where a pooler stands between.
        "prepare_threshold": None,
    }
    if url.user:
        parameters["user"] = url.user
    if url.password:
        parameters["password"] = url.password
    if url.hosts:
        parameters["host"] = ",".join(host for host, _ in url.hosts)
        parameters["port"] = ",".join(str(port) for _, port in url.hosts)
    if url.tls or ca_file:
        parameters |= {"sslmode": "verify-full", "sslrootcert": ca_file or _systems()}
    return parameters


def _systems() -> str:
    """What libpq takes for the system's authorities."""
    file = ssl.get_default_verify_paths().cafile or _DEBIANS_AUTHORITIES
    # The word is understood from its release 16 on, where it means what OpenSSL has been built for.
    return file if os.path.exists(file) else "system"


def make_engine(
    url: DatabaseUrl, realm: str, *, timeout: float, replicas: int, ca_file: str | None
) -> Engine:
    """An `Engine` in PostgreSQL; see `PostgresqlEngine`."""
    return PostgresqlEngine(url, realm, timeout=timeout, replicas=replicas, ca_file=ca_file)
