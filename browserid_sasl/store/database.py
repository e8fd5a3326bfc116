"""One private SQLite file, shared by any number of threads and processes.

Theory of operation
-------------------
*Connections.* Every thread has its own, opened when the thread first asks and closed when it ends.
Every statement is a transaction of its own, unless it is in a `transaction`, so nothing is ever
half written and no lock is held between two calls. The journal is a write-ahead log: readers do
not wait for writers, and what was written survives the death of the process as soon as the call
returns.

*Forks.* A connection must not cross a fork, not even to be closed: SQLite keeps the locks of all
connections of a process in one place, which the child would inherit, while the locks themselves
stay with the parent. So all connections are closed before a fork and reopened on demand on both
sides. A fork that Python did not see (a C program calling ``fork``) shows as a changed process
identifier; see `_abandon_inherited`.

*The file.* It is made complete under a temporary name and then linked to its own, so that nobody
sees a half-made one and of two processes that make it one wins. It is never opened here except
by SQLite: closing any other descriptor of it would drop SQLite's locks.

*Formats.* A file of an older format is brought up to date by whoever opens it first, in one
transaction, and is left as it is if what comes of it is not whole.

*Damage.* SQLite notices when its pages contradict each other, and nothing else: not a page that was
altered within its form, not a log that is cut short or gone. So each row that counts has a checksum
(see `sqlite`); a file that is not large is checked as a whole whenever it is opened, and the layout
of every file; and `companions` tells what the log has to hold, and that there was a file. A damaged
store is a `DamagedStoreError` to everybody until somebody has moved it away: an empty one in its
place would have forgotten what it was there to remember.

*Errors.* Each becomes a `StoreError` that says what to do. The connection is closed on every error,
and the next call opens another: once the cause is gone, the store works again by itself.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from browserid_sasl.errors import Code, ConfigurationError, DamagedStoreError, StoreError
from browserid_sasl.private_files import (
    PRIVATE_FILE,
    create_private,
    flush_folder,
    make_folders,
    require_private,
)
from browserid_sasl.store.companions import INDEX, LOG, LOST, MADE, beside, frames_left, turn

Row = tuple[Any, ...]
_Identity = tuple[int, int]
_T = TypeVar("_T")
_P = ParamSpec("_P")

#: What a connection's `synchronous` is for each value of the `durability` option.
_SYNCHRONOUS: Final = {"process": "NORMAL", "power": "FULL"}

#: Small pages: a transaction writes whole pages to the log, and ours change a few rows each.
_PAGE_SIZE: Final = 2048
_CHECKPOINT_PAGES: Final = 4000
_LOG_SIZE_LIMIT: Final = 16 << 20

#: Free pages kept in the file, so that a steady load does not shrink and grow it in turn.
_RESERVED_PAGES: Final = 1000
_SHRINK_PAGES: Final = 200

#: A file of so many pages at most is checked as a whole when it is opened, in 1 ms.
_CHECKED_PAGES: Final = 256

#: Seconds between two attempts to write while another process does. SQLite itself begins with a
#: millisecond and goes on to ten: in one, another writes ten logins, and in ten it has written all
#: that there are. One login is written in less time than a pause takes at the least.
_PAUSES: Final = (0, 0, 0, 0.0001, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)

#: How long (s) a connection is used before it is checked that its file is still in place.
_TRUST_SECONDS: Final = 1.0

#: How long (s) a fork waits for connections that are being closed.
_CLOSING_SECONDS: Final = 5.0

#: Held while a connection is being opened, and from before until after a fork.
_opening = threading.RLock()
_databases: weakref.WeakSet[SqliteDatabase] = weakref.WeakSet()

#: The process and the file of each session until its connection is closed, which takes its time.
_in_use: dict[object, tuple[int, _Identity]] = {}


@dataclass(frozen=True, slots=True)
class Schema:
    """What is in a file.

    :param noun: what to call the file in a message, for example ``acceptor store``.
    :param application_id: marks the file as ours and as of this kind (SQLite header, offset 68).
    :param version: of the statements; a file with a higher one is refused.
    :param statements: SQL that makes the tables.
    :param upgrades: the statements that make a file of each older version that is still known one
        of the next. The tables have to come out as `statements` makes them, but for white space.
    :param if_damaged: what to do about a file that is damaged.
    :param missed: whether a file that was there and is gone is missed, or made again.
    """

    noun: str
    application_id: int
    version: int
    statements: str
    if_damaged: str = "restore a backup, or move it and its companions out of the way"
    missed: bool = False
    upgrades: Mapping[int, Sequence[str]] = field(default_factory=dict)


class _Session:
    """A connection, the process and file it belongs to, and the lock under which it is used.

    The lock is for the sake of `close` from another thread; nobody else contends for it.
    """

    def __init__(self, connection: sqlite3.Connection, file: _Identity, log: _Identity) -> None:
        self.connection: sqlite3.Connection | None = connection
        self.file = file
        self.log = log
        self.process = os.getpid()
        self.trusted_until = time.monotonic() + _TRUST_SECONDS
        self.lock = threading.RLock()
        self._use = object()
        _in_use[self._use] = self.process, file

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            try:
                connection.close()
            finally:
                _in_use.pop(self._use, None)

    def __del__(self) -> None:
        self.close()


class SqliteDatabase:
    """A private SQLite file with a given schema, made when it is not there.

    The folder must be accessible to its owner alone, and so must the file; missing ones are made
    so. Both must belong to the user the process runs as, unless that is root.

    :param path: of the file. SQLite puts two more next to it, with ``-wal`` and ``-shm`` appended.
    :param schema: what the file holds.
    :param durability: ``process``: what was written survives the process; ``power``: it also
        survives a power failure, at the price of waiting for the disk at every write.
    :param busy_timeout: ms to wait for another process that is writing.
    :raises ConfigurationError: for another `durability`.
    """

    def __init__(
        self,
        path: Path | str,
        schema: Schema,
        *,
        durability: str = "process",
        busy_timeout: int = 5000,
    ) -> None:
        if durability not in _SYNCHRONOUS:
            raise ConfigurationError(
                f"durability is {durability!r}", "write one of " + ", ".join(_SYNCHRONOUS)
            )
        self.path = Path(path).absolute()
        self._schema = schema
        self._synchronous = _SYNCHRONOUS[durability]
        self._busy_timeout = busy_timeout
        self._local = threading.local()
        self._sessions: weakref.WeakSet[_Session] = weakref.WeakSet()
        with _opening:
            _databases.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def change(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Run an INSERT, UPDATE or DELETE; how many rows it changed.

        :raises StoreError: when that is not possible.
        """
        return self._run(_row_count, statement, parameters)

    def transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do several things at once: all of them, or none if one of them raises.

        :param work: does them. Others wait for it, so it does nothing else.
        :raises StoreError: when that is not possible.
        """
        return self._run(_all_or_nothing, work)

    def row(self, statement: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a query, None if there is none. For queries that give at most one.

        :raises StoreError: when the file cannot be read.
        """
        return self._run(_first_row, statement, parameters)

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query.

        :raises StoreError: when the file cannot be read.
        """
        return self._run(_all_rows, statement, parameters)

    def shrink(self) -> None:
        """Give a bounded number of free pages back to the file system, if there are many.

        :raises StoreError: when the file cannot be written.
        """
        ((free,),) = self.rows("PRAGMA freelist_count")
        ((total,),) = self.rows("PRAGMA page_count")
        if free > max(_RESERVED_PAGES, total // 4):
            self._run(_to_the_end, f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")

    def close(self) -> None:
        """Close every thread's connection. The next use opens another."""
        with _opening:
            for session in list(self._sessions):
                with session.lock:
                    session.close()

    def begin_anew(self, suffix: str) -> list[Path]:
        """Move the file and its companions aside, and make an empty one.

        :param suffix: what the names get appended.
        :returns: where they are now; none if there was no file.
        :raises StoreError: when that is not possible.
        """
        with _opening:
            self.close()
            try:
                return self._moved_aside(suffix)
            except OSError as error:
                raise self._unopened(error) from error

    def _moved_aside(self, suffix: str) -> list[Path]:
        moved = []
        # The file first: what is left of an interrupted move is a store that is still missed.
        for companion in ("", LOG, INDEX, LOST):
            path = beside(self.path, companion)
            with suppress(FileNotFoundError):
                moved.append(path.rename(f"{path}{suffix}"))
        make_folders(self.path.parent)
        self._create_file()
        return moved

    def damaged(self, reason: str) -> DamagedStoreError:
        """The error to raise when something in the file is not as it was written.

        :param reason: what, in words that follow "is damaged".
        """
        return DamagedStoreError(
            Code.CACHE_ERROR,
            f"the {self._schema.noun} {self.path} is damaged ({reason})",
            self._schema.if_damaged,
        )

    def _run(
        self,
        action: Callable[Concatenate[sqlite3.Connection, _P], _T],
        *arguments: _P.args,
        **options: _P.kwargs,
    ) -> _T:
        while True:
            session = self._session()
            with session.lock:
                connection = session.connection
                if connection is None:  # another thread closed it, for a fork, just now
                    continue
                try:
                    return self._in_turn(action, connection, *arguments, **options)
                except _SQLITE_ERRORS as error:
                    session.close()
                    raise self._explained(error) from error
                except (OverflowError, UnicodeEncodeError):
                    raise StoreError(
                        Code.INVALID_PARAMETER,
                        f"a value cannot be kept in the {self._schema.noun} {self.path}",
                        "use integers of at most 64 bits, and text without lone surrogates",
                    ) from None

    def _in_turn(
        self,
        action: Callable[Concatenate[sqlite3.Connection, _P], _T],
        connection: sqlite3.Connection,
        *arguments: _P.args,
        **options: _P.kwargs,
    ) -> _T:
        """Run a statement once no other process is writing. See `_PAUSES`."""
        until = pauses = None
        while True:
            try:
                return action(connection, *arguments, **options)
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                until = until or now + self._busy_timeout / 1000
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or now > until:
                    raise
            pauses = pauses or itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
            time.sleep(next(pauses))

    def _session(self) -> _Session:
        """This thread's session, for this process and for the file that has the name now."""
        session: _Session | None = getattr(self._local, "session", None)
        if session is None or session.connection is None or session.process != os.getpid():
            return self._open_session()
        if time.monotonic() > session.trusted_until:
            if session.file != _file_identity(self.path):
                with session.lock:
                    session.close()
                return self._open_session()
            if session.log != _file_identity(beside(self.path, LOG)):
                raise self._lost("its log was removed while it was used")
            session.trusted_until = time.monotonic() + _TRUST_SECONDS
        return session

    def _open_session(self) -> _Session:
        with _opening:
            _abandon_inherited()
            try:
                self._provide_file()
                with turn(self.path.parent):
                    connection = self._connect_after_others()
                    try:
                        self._check_format(connection)
                    except BaseException:
                        connection.close()
                        raise
                log = _file_identity(beside(self.path, LOG))
                session = _Session(connection, _file_identity(self.path), log)
            except OSError as error:
                raise self._unopened(error) from error
            except _SQLITE_ERRORS as error:
                raise self._explained(error) from error
            self._sessions.add(session)
        self._local.session = session
        return session

    def _unopened(self, error: OSError) -> StoreError:
        return StoreError(
            Code.CACHE_ERROR,
            f"the {self._schema.noun} {self.path} cannot be opened: {error.strerror}",
            "give the user this runs as a folder of its own there, on a file system "
            "that is mounted read-write and has room",
        )

    def is_there(self) -> bool:
        """Whether there is a file.

        :raises DamagedStoreError: there was one.
        """
        # Looked for first: a file that is made meanwhile comes before its log and its mark.
        remains = [each for each in (LOG, MADE) if os.path.lexists(beside(self.path, each))]
        if os.path.lexists(self.path):
            return True
        if remains:
            raise self.damaged(f"it is gone, {self.path.name}{remains[0]} is left of it")
        return False

    def _provide_file(self) -> None:
        make_folders(self.path.parent)
        require_private(self.path.parent, os.stat(self.path.parent), "700")
        if not self.is_there():
            self._create_file()
        if self._schema.missed and not os.path.lexists(beside(self.path, MADE)):
            self._mark(MADE)
        self._check_file()

    def _check_file(self) -> None:
        if os.path.lexists(beside(self.path, LOST)):
            raise self.damaged("part of what was written to it is lost")
        status = os.lstat(self.path)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(
                Code.CACHE_ERROR, f"{self.path} is not a regular file", "move it out of the way"
            )
        require_private(self.path, status, "600")

    def _create_file(self) -> None:
        folder = self.path.parent
        with tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=folder) as workshop:
            temporary = Path(workshop, self.path.name)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
            with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
                connection.executescript(
                    f"PRAGMA page_size = {_PAGE_SIZE};"
                    "PRAGMA auto_vacuum = INCREMENTAL;"
                    # By themselves, each of these would be waited for until it is on the disk.
                    "BEGIN;"
                    f"PRAGMA application_id = {self._schema.application_id};"
                    f"PRAGMA user_version = {self._schema.version};"
                    f"{self._schema.statements}"
                    "COMMIT;"
                    "PRAGMA journal_mode = WAL;"
                )
            _give_to_owner_of(folder, temporary)
            with suppress(FileExistsError):  # another process was first
                os.link(temporary, self.path)
        flush_folder(folder)

    def _mark(self, suffix: str) -> None:
        mark = beside(self.path, suffix)
        create_private(mark)
        _give_to_owner_of(self.path.parent, mark)
        flush_folder(self.path.parent)

    def _lost(self, reason: str) -> DamagedStoreError:
        """Have everybody know that something is lost, which does not show a second time."""
        with suppress(OSError):  # this process at least refuses
            self._mark(LOST)
        return self.damaged(reason)

    def _connect_after_others(self) -> sqlite3.Connection:
        """Connect, and see that what processes that died have written is still there."""
        frames = 0 if self._is_open_here() else frames_left(self.path)
        connection = self._connect()
        if not frames:
            return connection
        try:
            _, found, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError:
            # There is no room for the log in the file. It has been read, its index is new.
            connection.close()
            found = frames_left(self.path)
            connection = self._connect()
        if found < frames:
            connection.close()
            raise self._lost(f"its log had {frames} frames and has {max(found, 0)}")
        return connection

    def _is_open_here(self) -> bool:
        # By the file and not by its path, which may have several spellings; and until the last
        # moment: while a thread's end closes its connection, the log is still there, and then not.
        return (os.getpid(), _file_identity(self.path)) in list(_in_use.values())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{self._access()}",
            uri=True,
            timeout=self._busy_timeout / 1000,
            isolation_level=None,
            check_same_thread=False,  # `close` may come from another thread, under the lock
        )
        # What is not UTF-8 was not written here: the checksum of its row says so.
        connection.text_factory = _decoded
        try:
            self._check_kind(connection)
            for setting in (
                f"synchronous = {self._synchronous}",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                f"journal_size_limit = {_LOG_SIZE_LIMIT}",
                "secure_delete = ON",  # keys that were deleted are not left in free pages
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "mmap_size = 0",  # a disk error would be a signal instead of an error
                "busy_timeout = 0",  # from here on `_in_turn` waits
            ):
                connection.execute(f"PRAGMA {setting}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _access(self) -> str:
        """How SQLite opens the file (https://sqlite.org/c3ref/open.html, URI filenames)."""
        return "mode=rw"

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if not os.path.getsize(self.path):
            raise self.damaged("it is empty")
        if application_id != self._schema.application_id:
            raise StoreError(
                Code.CACHE_ERROR,
                f"{self.path} is not the {self._schema.noun} of this program",
                "move it out of the way, or configure another folder",
            )

    def _check_format(self, connection: sqlite3.Connection) -> None:
        """Bring an older format up to date, and see that the tables are those of the schema."""
        if self._is_older(connection):
            self._in_turn(_all_or_nothing, connection, self._upgrade)
        version = _version(connection)
        if version != self._schema.version:
            raise StoreError(
                Code.CACHE_ERROR,
                f"the {self._schema.noun} {self.path} has format {version}, "
                f"this version of the program knows {self._schema.version}",
                "use the version of the program that wrote it, or move the file out of the way",
            )
        self._check_layout(connection)

    def _is_older(self, connection: sqlite3.Connection) -> bool:
        return _version(connection) in self._schema.upgrades

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        while (version := _version(connection)) in self._schema.upgrades:
            for statement in self._schema.upgrades[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        # Before it counts: a file that was damaged stays as it was found.
        self._check_layout(connection)

    def _check_layout(self, connection: sqlite3.Connection) -> None:
        """See that the tables are those of the schema, where they were made, and hold together."""
        made = connection.execute("SELECT rootpage, sql FROM sqlite_schema ORDER BY rowid")
        rows = made.fetchall()
        roots = [root for root, _ in rows if root]
        texts = [_without_space(text) for _, text in rows if text]
        statements = self._schema.statements
        # The first page is the schema's, the second SQLite's own, then one after the other.
        if (
            roots != list(range(_FIRST_ROOT, _FIRST_ROOT + len(roots)))
            or len(texts) != statements.count("CREATE ")
            or not all(text in _without_space(statements) for text in texts)
        ):
            raise self.damaged("its tables are not as they were made")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if pages <= _CHECKED_PAGES:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise self.damaged(_printable(verdict))

    def _explained(self, error: Exception) -> StoreError:
        if isinstance(error, UnicodeDecodeError):
            return self.damaged("its schema is not text")
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, MemoryError):
            code = sqlite3.SQLITE_NOMEM
        primary = code & 0xFF
        if primary in _DAMAGE or code in _CONTRADICTIONS:
            return self.damaged(_printable(error))
        text, remedy = _REASONS.get(primary, _OTHER_REASON)
        return StoreError(
            Code.CACHE_ERROR,
            f"the {self._schema.noun} {self.path} {text} ({_printable(error)})",
            remedy,
        )


_WRITABLE: Final = (
    "let the user this runs as write to the folder and the files, on a file system that is "
    "mounted read-write"
)
_OTHER_REASON: Final = ("failed", "see the reason in parentheses and try again")

_FIRST_ROOT: Final = 3

#: What SQLite's failures come as: a want of memory by itself, and a message that quotes the schema
#: of a damaged file as what its text is not.
_SQLITE_ERRORS: Final = (sqlite3.Error, MemoryError, UnicodeDecodeError)

#: Result codes that only a damaged file has: primary ones, and those of a row that is there where
#: it cannot be. Where a row may be there already, the statement says what happens then.
_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_FORMAT,
    }
)
_CONTRADICTIONS: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
    }
)

#: SQLite's primary result codes: what happened, and what to do about it.
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: (
        "is locked by another process",
        "see who has the file open (fuser) and let it finish; then this works again by itself",
    ),
    sqlite3.SQLITE_READONLY: ("cannot be written", _WRITABLE),
    sqlite3.SQLITE_PERM: ("cannot be used", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _WRITABLE),
    sqlite3.SQLITE_FULL: (
        "has no room to grow",
        "make room on the disk; then this works again by itself",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written",
        "see the system log for errors of the disk, and make sure it is not full",
    ),
    sqlite3.SQLITE_NOMEM: ("could not get memory", "raise the memory limit of the process"),
}


def _row_count(connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]) -> int:
    return connection.execute(statement, parameters).rowcount


def _all_or_nothing(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result


def _version(connection: sqlite3.Connection) -> int:
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version


def _first_row(
    connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]
) -> Row | None:
    row: Row | None = connection.execute(statement, parameters).fetchone()
    return row


def _all_rows(
    connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]
) -> list[Row]:
    return connection.execute(statement, parameters).fetchall()


def _to_the_end(connection: sqlite3.Connection, statement: str) -> None:
    # `execute` takes one step of a statement without columns, and each step frees one page.
    connection.executescript(statement)


def _without_space(text: str) -> str:
    """SQL without its white space, which differs where a column was added later."""
    return "".join(text.split())


def _printable(reason: object) -> str:
    """What SQLite says, which may quote what a damaged file has."""
    return repr(str(reason))[1:-1]


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _give_to_owner_of(folder: Path, file: Path) -> None:
    """What root makes, it makes on behalf of the service whose folder it is."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.chown(file, owner.st_uid, owner.st_gid)


def _file_identity(path: Path) -> _Identity:
    """Device and inode of the file, (0, 0) if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _before_fork() -> None:
    _opening.acquire()
    for database in list(_databases):
        database.close()
    # The connections of threads that end just now close without the lock.
    until = time.monotonic() + _CLOSING_SECONDS
    while any(process == os.getpid() for process, _ in list(_in_use.values())):
        if time.monotonic() > until:
            break
        time.sleep(_PAUSES[-1])


def _abandon_inherited() -> None:
    """In the child of a fork that Python did not see, close what the parent had open.

    That frees SQLite's record of the parent's locks, with which a new connection would believe
    it held them and take none; the locks themselves are the parent's and stay. The lock of a
    session may have belonged to a thread that is not in this process: it is not waited for.
    """
    for database in list(_databases):
        for session in list(database._sessions):
            if session.process != os.getpid():
                session.close()


os.register_at_fork(
    before=_before_fork, after_in_parent=_opening.release, after_in_child=_opening.release
)
