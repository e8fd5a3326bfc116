"""The provider's database: accounts, and failed sign-ins (SQLite through SQLAlchemy).

Modules that keep something else declare its table themselves. What belongs to an account refers to
it by a foreign key `account_email`, and goes when the account goes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    ForeignKey,
    Index,
    Integer,
    String,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from browserid_sasl.errors import Code, DamagedStoreError, StoreError
from browserid_sasl.private_files import create_private

_BUSY_S = 10
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_T = TypeVar("_T")


class _NotAsWritten(Exception):
    """A value in the database that is none of ours."""


class _Number(TypeDecorator[int]):
    """An integer, which SQLite does not insist on."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: object) -> int | None:
        return _expect(value, int)


class _Text(TypeDecorator[str]):
    """A text, likewise."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: object) -> str | None:
        text = _expect(value, str)
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise _NotAsWritten("a text is not UTF-8") from None
        return text


def _expect(value: object, wanted: type[_T]) -> _T | None:
    if value is None or isinstance(value, wanted):
        return value
    raise _NotAsWritten(f"a value is of another type than {wanted.__name__}")


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map: ClassVar = {int: _Number, str: _Text}


class Domain(Base):
    """The one row that says whose database this is.

    `name` is the domain whose addresses are certified, `created` is in ms.
    """

    __tablename__ = "domain"

    name: Mapped[str] = mapped_column(_Text(253), primary_key=True)
    created: Mapped[int]


class Account(Base):
    """A person who may sign in.

    `email` is in lower case, `password` is an argon2 hash or, where there is no password, empty.
    Times are in ms.
    """

    __tablename__ = "accounts"

    email: Mapped[str] = mapped_column(_Text(254), primary_key=True)
    password: Mapped[str]
    created: Mapped[int]
    changed: Mapped[int]


def account_email(*, primary_key: bool = False) -> Mapped[str]:
    """A column with the address of the account that a row belongs to, and goes with."""
    account = ForeignKey(Account.email, ondelete="CASCADE")
    return mapped_column(_Text(254), account, primary_key=primary_key, index=not primary_key)


class Failure(Base):
    """A sign-in that failed, or has not succeeded yet.

    `email` need not be that of an account. `network` is where it came from. `time` is in ms.
    """

    __tablename__ = "failures"
    __table_args__ = (
        Index("failures_email", "email", "time"),
        Index("failures_network", "network", "time"),
        Index("failures_time", "time"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(_Text(254))
    network: Mapped[str] = mapped_column(_Text(64))
    time: Mapped[int]


class Database:
    """Transactions on the provider's database file. Safe for threads and processes.

    :param path: of the file, which is made if it is not there.
    :raises StoreError: cache-error: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            create_private(path)
        except OSError as error:
            raise _failed(path, str(error.strerror)) from None
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        self._of_thread = _OfThread()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, or not at all.

        A block inside of another of the same thread is a part of that one's transaction: what it
        has done is undone if it raises, and also if the outer one does later.

        :raises StoreError: cache-error.
        """
        outer = self._of_thread.session
        if outer is not None:
            with outer.begin_nested():
                yield outer
            return
        try:
            with self._sessions.begin() as session, self._of_thread.having(session):
                yield session
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
                raise _damaged(self._path, str(cause)) from None
            reason = type(error).__name__ if cause is error else str(cause)
            raise _failed(self._path, reason) from None
        except UnicodeDecodeError:
            raise _damaged(self._path, "its schema is not text") from None
        except _NotAsWritten as error:
            raise _damaged(self._path, str(error)) from None

    def create_tables(self) -> None:
        """Make the tables that are not there.

        :raises StoreError: cache-error.
        """
        with self.transaction() as session:
            Base.metadata.create_all(session.connection())

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class _OfThread(threading.local):
    """The session in whose transaction the thread is."""

    session: Session | None = None

    @contextmanager
    def having(self, session: Session) -> Iterator[None]:
        self.session = session
        try:
            yield
        finally:
            self.session = None


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own idea of when to begin is switched off: see _begin.
    connection.isolation_level = None
    # An error of the driver's would quote the text, which may be a password's hash.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Any) -> None:
    # What a transaction reads decides what it writes, so it has the write lock from its start.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _damaged(path: Path, why: str) -> DamagedStoreError:
    return DamagedStoreError(
        Code.CACHE_ERROR,
        f"the database {path} is damaged ({ascii(why)[1:-1]})",
        "stop the provider, keep the file aside with its companions, and restore a backup",
    )


def _failed(path: Path, why: str) -> StoreError:
    return StoreError(
        Code.CACHE_ERROR,
        f"the database {path} cannot be used ({why})",
        "run `browserid-idp init`, or this as the user the provider runs as",
    )
