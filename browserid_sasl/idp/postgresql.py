"""A provider's database on PostgreSQL (psycopg): nothing waits for it without a bound.

| what is waited for | by whom it is ended |
| --- | --- |
| a connection | `_CONNECT_S`, for each host of the URI |
| those who change something just now | the server, `_LOCK_MS` |
| a statement | the server, `_STATEMENT_MS` |
| a host that has stopped in the middle of a change | the server, `_IDLE_MS` |
| a server that has fallen silent | `_ANSWER_S` |
| a connection of the pool | `_POOL_WAIT_S` |
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from browserid_sasl.discovery.public_addresses import is_loopback
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.engines import Fault, is_reading
from browserid_sasl.store.bounded_connection import BoundedConnection

_CONNECT_S: Final = 3
_LOCK_MS: Final = 3_000
_STATEMENT_MS: Final = 4_000
_IDLE_MS: Final = 2_000
"""How long a host that has stopped may keep the others out. It is less than they wait for it."""

_POOL: Final = 8
_POOL_WAIT_S: Final = 2
_AWAY_S: Final = 1.0
"""For so long nobody else tries a server that was away: each page would wait for it by itself."""

_FRESH_S: Final = 1.0
"""For so long after it was used a connection is taken for good."""

_USED: Final = "browserid used"

_WRITERS: Final = 0x42_49_44_70
"""The advisory lock of whoever changes something."""

_WAITED: Final = frozenset({"55P03", "57014", "25P03", "40001", "40P01"})
"""SQLSTATE: a lock, a statement or a transaction took too long, or others were in its way."""

_AWAY_CLASSES: Final = ("08", "53", "57")
_READ_ONLY: Final = "25006"

_ANSWER_S: Final = 5.0
"""The server ends what takes less long by itself, if it lives."""

_VERIFIED: Final = "verify-full"


class PostgresqlEngine:
    """A server, or several of which one takes changes. See `DatabaseEngine`.

    :param uri: as libpq takes it.
    :raises ConfigurationError: it is none.
    """

    remedy = "see that its user may make tables there, and run `browserid-idp init`"

    def __init__(self, uri: str) -> None:
        parts = _parts_of(uri)
        self.name = f"the database {_place_of(parts)}"
        conninfo = make_conninfo(uri, connect_timeout=_CONNECT_S, **_protection(parts))
        self._connect = partial(BoundedConnection.within, _ANSWER_S, conninfo)
        self._away_until = float("-inf")

    def open(self) -> tuple[Engine, Engine]:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=_POOL,
            max_overflow=_POOL,
            pool_timeout=_POOL_WAIT_S,
        )
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", partial(_check_alive, engine.dialect))
        event.listen(engine, "begin", _begin_postgresql)
        reading = engine.execution_options(
            reads=True, isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        return engine, reading

    @contextmanager
    def attempt(self) -> Iterator[None]:
        if time.monotonic() < self._away_until:
            raise _AwayError
        try:
            yield
        except DBAPIError as error:
            if self.fault_of(error) is Fault.AWAY:
                self._away_until = time.monotonic() + _AWAY_S
            raise

    def fault_of(self, error: SQLAlchemyError) -> Fault:
        if isinstance(error, TimeoutError | _AwayError):
            return Fault.BUSY
        if not isinstance(error, DBAPIError):
            return Fault.UNUSABLE
        state = getattr(error.orig, "sqlstate", None)
        if state in _WAITED:
            return Fault.BUSY
        # Where there was no connection there is no SQLSTATE either.
        lost = state is None and _is_of_connection(error.orig)
        if lost or error.connection_invalidated or state == _READ_ONLY:
            return Fault.AWAY
        return Fault.AWAY if state and state.startswith(_AWAY_CLASSES) else Fault.UNUSABLE


class _AwayError(SQLAlchemyError):
    """Nobody tries it just now."""

    orig = ConnectionError("it did not answer a moment ago")


def _is_of_connection(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _parts_of(uri: str) -> Mapping[str, Any]:
    try:
        return conninfo_to_dict(uri)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            f"`database` in [idp] cannot be used ({str(error).strip()})",
            "write it as postgresql://USER@HOST/DATABASE",
        ) from None


def _place_of(parts: Mapping[str, Any]) -> str:
    """Where a URI leads, without secrets."""
    name = parts.get("dbname") or parts.get("user") or parts.get("service") or "of this user"
    return f"{name} at {parts.get('host') or 'the local socket'}"


def _protection(parts: Mapping[str, Any]) -> dict[str, str]:
    """What a connection is protected by: on the way to another machine always by TLS.

    :raises ConfigurationError: it would be by less.
    """
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    if all(map(_is_here, hosts)):
        return {}
    if parts.get("sslmode", _VERIFIED) != _VERIFIED:
        raise ConfigurationError(
            f"`database` in [idp] has sslmode={parts['sslmode']}, with which anybody on the way"
            " could be the server",
            f"leave it out, or write {_VERIFIED}; `sslrootcert` names the authorities",
        )
    return {"sslmode": _VERIFIED}


def _is_here(host: str) -> bool:
    return host.startswith(("/", "@")) or host in ("", "localhost") or is_loopback(host)


def _prepare_postgresql(connection: Any, _record: object) -> None:
    connection.execute(
        f"SET lock_timeout = {_LOCK_MS}; SET statement_timeout = {_STATEMENT_MS};"
        f" SET idle_in_transaction_session_timeout = {_IDLE_MS}"
    )
    connection.commit()


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = time.monotonic()


def _check_alive(
    dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """See that a connection is good that was not used for a while.

    So a server that was started anew is noticed before anybody's request is sent to it. Each time
    it would be one more answer to wait for.
    """
    used = record.info.get(_USED)
    if used is None or time.monotonic() - used < _FRESH_S:
        return
    try:
        dialect.do_ping(connection)
    except psycopg.Error:
        # The others are as old, or older.
        raise InvalidatePoolError from None


def _begin_postgresql(connection: Connection) -> None:
    # Likewise. What is read after this statement is what the one before has left.
    if not is_reading(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
