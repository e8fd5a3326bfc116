"""The provider's database: accounts, and failed sign-ins (SQLite or PostgreSQL by SQLAlchemy).

Modules that keep something else declare its table themselves. What belongs to an account refers to
it by a foreign key `account_email`, and goes when the account goes. `schema` has all tables
together, and brings those of an older release up to date.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    TypeDecorator,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from browserid_sasl.errors import Code, DamagedStoreError, StoreError, UnavailableStoreError
from browserid_sasl.idp.engines import Fault, engine_for
from browserid_sasl.idp.seal import Seal, Secrets

_T = TypeVar("_T")


class _NotAsWritten(Exception):
    """A value in the database that is none of ours."""


class _Number(TypeDecorator[int]):
    """An integer of 64 bits, which SQLite does not insist on."""

    # SQLite numbers rows by itself in an INTEGER only, which has 64 bits there.
    impl = BigInteger().with_variant(Integer(), "sqlite")
    cache_ok = True

    def process_result_value(self, value: Any, dialect: object) -> int | None:
        return _expect(value, int)


class _Text(TypeDecorator[str]):
    """A text, likewise."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        # PostgreSQL takes no NUL. Nothing that is kept has one, so nothing is found by one.
        return value and value.replace("\0", "\N{REPLACEMENT CHARACTER}")

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


_SECRET: Final = "secret"  # noqa: S105 - what a column is


def secret_text() -> Mapped[str]:
    """The column of a table that nobody but the provider is to read: see `Database.secrets`."""
    return mapped_column(info={_SECRET: True})


def name_of_secret(table: str, key: object) -> str:
    """What the secret of a row is sealed under.

    :param table: its name; it has one secret.
    :param key: the row's primary key.
    """
    return f"{table} {key}"


def secret_of(table: Table) -> Column[str] | None:
    """The column of a table that is secret, None if there is none."""
    return next((column for column in table.columns if column.info.get(_SECRET)), None)


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
    email: Mapped[str]
    network: Mapped[str]
    time: Mapped[int]


class Database:
    """Transactions on the provider's database. Safe for threads, processes and hosts.

    :param where: path of an SQLite file, which is made if it is not there, or the URI of a
        database of PostgreSQL, as libpq takes it.
    :param seal: what secrets in it are sealed with; None: nothing.
    :raises StoreError: cache-error: it cannot be opened.
    """

    def __init__(self, where: Path | str, seal: Seal | None = None) -> None:
        self.secrets = Secrets(seal)
        """How columns of `secret_text` have what is in them."""
        self._engine = engine_for(where)
        self.name = self._engine.name
        """What messages call it."""
        writing, reading = self._engine.open()
        self._writing = sessionmaker(writing, expire_on_commit=False)
        self._reading = sessionmaker(reading, expire_on_commit=False)
        self._of_thread = _OfThread()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, or not at all.

        It is the only one at its time, on all hosts: what it reads stays so until it ends. A block
        inside of another of the same thread is a part of that one's transaction: what it has done
        is undone if it raises, and also if the outer one does later.

        :raises StoreError: cache-error.
        """
        outer = self._of_thread.session
        if outer is None:
            with self._session(self._writing, reads=False) as session:
                yield session
            return
        if self._of_thread.reads:
            raise RuntimeError("a change inside of what only reads")
        with outer.begin_nested():
            yield outer

    @contextmanager
    def joining(self) -> Iterator[Session]:
        """As `transaction`, but inside of another it is undone with that only.

        So it costs that one nothing more. It is for blocks after whose errors nobody goes on.

        :raises StoreError: cache-error.
        """
        outer = self._of_thread.session
        if outer is None or self._of_thread.reads:
            with self.transaction() as session:
                yield session
            return
        yield outer

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """The state of one moment, for a block that changes nothing and waits for nobody.

        Inside of a transaction of the same thread it is a part of that.

        :raises StoreError: cache-error.
        """
        outer = self._of_thread.session
        if outer is not None:
            yield outer
            return
        with self._session(self._reading, reads=True) as session:
            yield session

    @contextmanager
    def _session(self, sessions: sessionmaker[Session], *, reads: bool) -> Iterator[Session]:
        try:
            with (
                self._engine.attempt(),
                sessions.begin() as session,
                self._of_thread.having(session, reads=reads),
            ):
                yield session
        except SQLAlchemyError as error:
            raise self._failed(error) from None
        except UnicodeDecodeError:
            raise self._damaged("its schema is not text") from None
        except _NotAsWritten as error:
            raise self._damaged(str(error)) from None

    def check(self) -> None:
        """See that it can be used.

        :raises StoreError: cache-error: it cannot.
        """
        with self.reading() as session:
            session.execute(select(Domain.name))

    def close(self) -> None:
        """Close the connections."""
        self._writing.kw["bind"].dispose()

    def _failed(self, error: SQLAlchemyError) -> StoreError:
        cause = getattr(error, "orig", None) or error
        reason = type(error).__name__ if cause is error else str(cause)
        fault = self._engine.fault_of(error)
        if fault is Fault.DAMAGE:
            return self._damaged(reason)
        if fault is Fault.UNUSABLE:
            return StoreError(Code.CACHE_ERROR, self._unusable(reason), self._engine.remedy)
        return UnavailableStoreError(
            Code.CACHE_ERROR, self._unusable(reason), "it is tried again with the next request"
        )

    def _unusable(self, reason: str) -> str:
        return f"{self.name} cannot be used ({' '.join(reason.split())})"

    def _damaged(self, why: str) -> DamagedStoreError:
        return DamagedStoreError(
            Code.CACHE_ERROR,
            f"{self.name} is damaged ({ascii(why)[1:-1]})",
            "stop the provider, keep the file aside with its companions, and restore a backup",
        )


class _OfThread(threading.local):
    """The session in whose transaction the thread is."""

    session: Session | None = None
    reads = False

    @contextmanager
    def having(self, session: Session, *, reads: bool) -> Iterator[None]:
        self.session, self.reads = session, reads
        try:
            yield
        finally:
            self.session = None
