"""A database that is only looked into: on the disk, nothing is made and nothing written.

A reader of a write-ahead log needs an index of it. Where the database is in use, or processes that
used it have died, the index is there, and SQLite is told to leave it as it is. Where both are gone,
everything is in the file, which SQLite is told that nobody changes.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

from browserid_sasl.errors import Code, DamagedStoreError, StoreError
from browserid_sasl.private_files import require_private
from browserid_sasl.store.companions import INDEX, LOG, beside
from browserid_sasl.store.database import Schema, SqliteDatabase


def application_of(path: Path) -> int:
    """What kind of file something is: the `application_id` of its schema, 0 for another file.

    :raises StoreError: there is no such file, or it cannot be read.
    """
    try:
        # Without waiting: a pipe would keep who opens it until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return 0
        finally:
            os.close(descriptor)
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            (number,) = connection.execute("PRAGMA application_id").fetchone()
    except OSError as error:
        raise StoreError(
            Code.CACHE_ERROR,
            f"there is no cache {str(path)!a} that can be read ({error.strerror})",
            "give the path of a store's file",
        ) from None
    except sqlite3.Error:
        return 0
    return int(number)


class DatabaseView(SqliteDatabase):
    """A private SQLite file that somebody looks into. See `SqliteDatabase`.

    :param path: of the file.
    :param schema: what the file holds.
    """

    def __init__(self, path: Path | str, schema: Schema) -> None:
        super().__init__(path, schema)

    def is_there(self) -> bool:
        """Whether there is a file.

        :raises StoreError: there was one, or that cannot be found out.
        """
        try:
            os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return super().is_there()
        except OSError as error:
            with suppress(OSError):
                # That the folder is another user's says it better.
                self._require_private_folder()
            raise self._unopened(error) from error
        return True

    def _provide_file(self) -> None:
        self._require_private_folder()
        self._check_file()

    def _require_private_folder(self) -> None:
        require_private(self.path.parent, os.stat(self.path.parent), "700")

    def _connect_after_others(self) -> sqlite3.Connection:
        connection = self._connect()
        if not self._is_older(connection):
            return connection
        # It is brought up to date as any other is, in memory.
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        copy.text_factory = connection.text_factory
        with closing(connection):
            connection.backup(copy)
        return copy

    def _access(self) -> str:
        log, index = (beside(self.path, each) for each in (LOG, INDEX))
        if log.exists() and index.exists():
            return "mode=ro&readonly_shm=1"
        if log.exists() and log.stat().st_size:
            raise StoreError(
                Code.CACHE_ERROR,
                f"what was written last to {self.path} is in {log.name}, which has no index",
                "let a program that uses it open it first, as its owner",
            )
        return "mode=ro&immutable=1"

    def _lost(self, reason: str) -> DamagedStoreError:
        # A log that came or went meanwhile is no loss: others begin and end to use the file.
        return self.damaged(f"{reason}, or others have just begun to: look again")
