"""What a provider's database runs on: SQLite in a file, or PostgreSQL.

Both give the same: a transaction that changes something is the only one of its kind at its time,
one that only reads sees one moment and waits for nobody, and nothing waits without a bound.

| | SQLite | PostgreSQL (`postgresql`) |
| --- | --- | --- |
| changes | `BEGIN IMMEDIATE` | an advisory lock for the transaction, READ COMMITTED |
| reads | `BEGIN`, with a write-ahead log | REPEATABLE READ, READ ONLY |
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from browserid_sasl.errors import Code, ConfigurationError, StoreError
from browserid_sasl.extras import not_installed
from browserid_sasl.private_files import create_private

_BUSY_S: Final = 10
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Fault(Enum):
    """What is wrong with a database."""

    DAMAGE = auto()
    AWAY = auto()
    BUSY = auto()
    UNUSABLE = auto()


class DatabaseEngine(Protocol):
    """An engine.

    `name` is what messages call the database, without secrets. `remedy` is what to do where it
    cannot be used.
    """

    name: str
    remedy: str

    def open(self) -> tuple[Engine, Engine]:
        """What transactions are made with: those that change something, and those that read."""

    def attempt(self) -> AbstractContextManager[None]:
        """Surrounds a transaction.

        :raises SQLAlchemyError: it need not be tried.
        """

    def fault_of(self, error: SQLAlchemyError) -> Fault:
        """What an error says."""


def engine_for(where: Path | str) -> DatabaseEngine:
    """The engine of a database.

    :param where: path of an SQLite file, or a URI of PostgreSQL.
    :raises ConfigurationError: the library for it is not installed.
    """
    if isinstance(where, Path):
        return SqliteEngine(where)
    try:
        from browserid_sasl.idp.postgresql import PostgresqlEngine  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(*not_installed("postgresql", error)) from None
    except ImportError:
        raise ConfigurationError(
            "psycopg finds no library of PostgreSQL's", "install it: `apt install libpq5`"
        ) from None
    return PostgresqlEngine(where)


class SqliteEngine:
    """A file. See `DatabaseEngine`."""

    remedy = "run `browserid-idp init`, or this as the user the provider runs as"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"the database {path}"
        try:
            create_private(path)
        except OSError as error:
            raise StoreError(
                Code.CACHE_ERROR, f"{self.name} cannot be used ({error.strerror})", self.remedy
            ) from None

    def open(self) -> tuple[Engine, Engine]:
        engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": _BUSY_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine, engine.execution_options(reads=True)

    def attempt(self) -> AbstractContextManager[None]:
        return nullcontext()

    def fault_of(self, error: SQLAlchemyError) -> Fault:
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            return Fault.DAMAGE
        return Fault.BUSY if code in _BUSY else Fault.UNUSABLE


def is_reading(connection: Connection) -> bool:
    """Whether a transaction that begins is to change nothing."""
    return bool(connection.get_execution_options().get("reads"))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own idea of when to begin is switched off: see _begin_sqlite.
    connection.isolation_level = None
    # An error of the driver's would quote the text, which may be a password's hash.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # What a transaction reads decides what it writes, so it has the write lock from its start.
    connection.exec_driver_sql("BEGIN" if is_reading(connection) else "BEGIN IMMEDIATE")
