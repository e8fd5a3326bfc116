"""The file: who may see it, who shares it, and what happens when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, ConfigurationError, DamagedStoreError, StoreError
from browserid_sasl.store import database as database_module
from browserid_sasl.store.database import Schema, SqliteDatabase
from browserid_sasl.store.sqlite import ACCEPTOR_SCHEMA
from tests.support.forks import in_child

NOBODY = 65534

SCHEMA = Schema("note store", 0x4E4F5445, 1, "CREATE TABLE note (text TEXT PRIMARY KEY);")


@pytest.fixture
def notes(folder: Path) -> Iterator[SqliteDatabase]:
    notes = SqliteDatabase(folder / "notes.db", SCHEMA, busy_timeout=50)
    yield notes
    notes.close()


@pytest.fixture
def distrust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every use whether the file is still in place."""
    monkeypatch.setattr(database_module, "_TRUST_SECONDS", -1.0)


def add(notes: SqliteDatabase, text: str = "text") -> int:
    return notes.change("INSERT OR IGNORE INTO note VALUES (?)", (text,))


def texts(notes: SqliteDatabase) -> list[str]:
    return [text for (text,) in notes.rows("SELECT text FROM note ORDER BY text")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def companions(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]


class TestPrivacy:
    def test_files_and_folders_are_for_their_owner_alone_from_the_start(
        self, tmp_path: Path
    ) -> None:
        before = os.umask(0)
        try:
            notes = SqliteDatabase(tmp_path / "a" / "b" / "notes.db", SCHEMA)
            add(notes)
        finally:
            os.umask(before)
        assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700] * 2
        assert [mode(path) for path in companions(notes.path)] == [0o600] * 3
        assert sorted(notes.path.parent.iterdir()) == sorted(companions(notes.path))
        notes.close()

    @pytest.mark.parametrize("bits", [0o750, 0o701, 0o707])
    def test_a_folder_that_others_can_enter_is_refused(
        self, notes: SqliteDatabase, bits: int
    ) -> None:
        notes.path.parent.mkdir()
        notes.path.parent.chmod(bits)
        with pytest.raises(StoreError, match=f"mode {bits:o}.*run: chmod 700 {notes.path.parent}"):
            add(notes)
        assert list(notes.path.parent.iterdir()) == []
        notes.path.parent.chmod(0o700)
        assert add(notes)

    @pytest.mark.parametrize("bits", [0o640, 0o602, 0o666])
    def test_a_file_that_others_can_read_or_write_is_refused(
        self, notes: SqliteDatabase, bits: int
    ) -> None:
        add(notes)
        notes.close()
        notes.path.chmod(bits)
        with pytest.raises(StoreError, match=f"mode {bits:o}.*run: chmod 600 {notes.path}"):
            add(notes, "more")
        notes.path.chmod(0o600)
        assert add(notes, "more")

    def test_a_symbolic_link_is_not_followed(self, notes: SqliteDatabase, tmp_path: Path) -> None:
        notes.path.parent.mkdir(mode=0o700)
        notes.path.symlink_to(tmp_path / "elsewhere.db")
        with pytest.raises(StoreError, match="not a regular file"):
            add(notes)
        assert not (tmp_path / "elsewhere.db").exists()

    def test_a_folder_of_another_user_is_refused(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root to be another user")
        with open_house() as house:
            folder = house / "stores"
            folder.mkdir(mode=0o700)
            refused = in_child(lambda: message(SqliteDatabase(folder / "n.db", SCHEMA)), NOBODY)
        assert "belongs to another user (number 0): run this as that user" in refused

    def test_root_makes_the_file_for_the_owner_of_the_folder(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root")
        with open_house() as house:
            folder = house / "stores"
            folder.mkdir(mode=0o700)
            os.chown(folder, NOBODY, NOBODY)
            notes = SqliteDatabase(folder / "notes.db", SCHEMA)
            add(notes, "from root")
            assert {path.stat().st_uid for path in companions(notes.path)} == {NOBODY}
            found = in_child(lambda: message(SqliteDatabase(notes.path, SCHEMA)), NOBODY)
            notes.close()
        assert found == "from root text"

    def test_the_name_of_the_file_may_have_any_characters(self, tmp_path: Path) -> None:
        folder = tmp_path / "a?b#c%20 é"
        notes = SqliteDatabase(folder / "n?mode=memory&x=%2e.db", SCHEMA)
        add(notes)
        assert notes.path.exists()
        assert repr(notes) == f"SqliteDatabase({str(notes.path)!r})"
        notes.close()


class TestSharing:
    def test_each_thread_has_a_connection_that_ends_with_it(self, notes: SqliteDatabase) -> None:
        def connections() -> int:
            targets = []
            for entry in Path("/proc/self/fd").iterdir():
                with suppress(FileNotFoundError):
                    targets.append(os.readlink(entry))
            # Of the file itself SQLite keeps some open for the next connection: closing them would
            # drop the locks of the others.
            return targets.count(f"{notes.path}-wal")

        def work(number: int) -> None:
            add(notes, str(number))
            ready.wait()
            done.wait()

        add(notes)
        ready, done = threading.Barrier(6), threading.Event()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        ready.wait()
        assert connections() == 6
        done.set()
        for thread in threads:
            thread.join()
        assert connections() == 1
        assert len(texts(notes)) == 6

    def test_a_connection_closed_under_a_thread_is_replaced(self, notes: SqliteDatabase) -> None:
        add(notes)
        threading.Thread(target=notes.close).start()
        for number in range(200):
            assert add(notes, str(number))
        closers = [threading.Thread(target=close_often, args=(notes,)) for _ in range(2)]
        for closer in closers:
            closer.start()
        for number in range(200, 400):
            assert add(notes, str(number))
        for closer in closers:
            closer.join()

    @pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
    def test_durability_decides_what_is_waited_for(
        self, folder: Path, durability: str, synchronous: int
    ) -> None:
        notes = SqliteDatabase(folder / "notes.db", SCHEMA, durability=durability)
        assert notes.row("PRAGMA synchronous") == (synchronous,)
        assert notes.row("PRAGMA journal_mode") == ("wal",)
        notes.close()

    def test_another_durability_is_a_mistake(self, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match="'eventually': write one of process, power"):
            SqliteDatabase(folder / "notes.db", SCHEMA, durability="eventually")


@pytest.mark.usefixtures("distrust")
class TestFileThatIsReplaced:
    def test_a_removed_file_is_made_again(self, notes: SqliteDatabase) -> None:
        add(notes)
        for path in companions(notes.path):
            path.unlink()
        assert texts(notes) == []
        assert add(notes)

    def test_a_restored_file_is_taken_up(self, notes: SqliteDatabase) -> None:
        add(notes, "old")
        notes.close()
        backup = notes.path.read_bytes()
        add(notes, "new")
        for path in companions(notes.path):
            path.unlink()
        notes.path.touch(mode=0o600)
        notes.path.write_bytes(backup)
        assert texts(notes) == ["old"]

    def test_an_untouched_file_keeps_its_connection(self, notes: SqliteDatabase) -> None:
        notes.change("CREATE TEMP TABLE of_this_connection (x)")
        assert notes.rows("SELECT * FROM of_this_connection") == []


def waited_after_release(notes: SqliteDatabase) -> float:
    """How long a writer went on waiting when another had let go of the lock, in s."""
    held = 0.34
    with closing(
        sqlite3.connect(notes.path, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        release = threading.Timer(held, other.execute, ("ROLLBACK",))
        release.start()
        add(notes)
        waited = time.monotonic() - start
        release.join()
    return waited - held


class TestFilesThatCanNotBeUsed:
    def test_a_locked_file(self, notes: SqliteDatabase) -> None:
        add(notes, "before")
        with closing(sqlite3.connect(notes.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"is locked by another process .*: see who has"):
                add(notes)
            assert texts(notes) == ["before"]
            other.execute("ROLLBACK")
        assert add(notes)

    def test_the_lock_is_noticed_to_be_free_soon(self, folder: Path) -> None:
        # SQLite by itself looks again after up to 100 ms.
        notes = SqliteDatabase(folder / "notes.db", SCHEMA)
        add(notes, "before")
        assert any(waited_after_release(notes) < 0.04 for _ in range(20))
        notes.close()

    def test_a_full_file(self, notes: SqliteDatabase) -> None:
        add(notes, "before")
        ((pages,),) = notes.rows("PRAGMA page_count")
        notes.rows(f"PRAGMA max_page_count = {pages}")  # of this connection
        with pytest.raises(StoreError, match=r"has no room to grow .*: make room on the disk"):
            add(notes, "x" * 10_000)
        assert texts(notes) == ["before"]
        assert add(notes, "x" * 10_000)

    def test_a_full_disk(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk") as disk:
            notes = SqliteDatabase(disk / "stores" / "notes.db", SCHEMA)
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(300_000))
            with pytest.raises(StoreError, match="has no room to grow"):
                for number in range(1000):
                    add(notes, f"{number:03} " + "x" * 5000)
            with pytest.raises(StoreError, match="no room|No space left"):
                SqliteDatabase(disk / "others" / "notes.db", SCHEMA).row("SELECT 1")
            before = texts(notes)
            assert {len(text) for text in before} == {5004}
            ballast.unlink()
            assert add(notes, "room again")
            assert texts(notes) == [*before, "room again"]
            notes.close()

    def test_a_process_without_memory(self, notes: SqliteDatabase) -> None:
        def use() -> str:
            add(notes)
            # Of the whole process, for good: which may have more already, from other tests.
            notes.rows("PRAGMA hard_heap_limit = 64000000")
            with pytest.raises(StoreError, match="could not get memory .*: raise the memory limit"):
                add(notes, "x" * 80_000_000)
            return "told"

        assert in_child(use) == "told"

    def test_a_folder_that_cannot_be_written(self) -> None:
        with open_house() as house:
            folder = house / "stores"
            notes = SqliteDatabase(folder / "notes.db", SCHEMA)
            add(notes)
            notes.close()
            folder.chmod(0o500)
            user = None
            if os.geteuid() == 0:
                user = NOBODY
                for path in (folder, notes.path):
                    os.chown(path, NOBODY, NOBODY)
            existing = in_child(lambda: message(SqliteDatabase(notes.path, SCHEMA)), user)
            new = in_child(lambda: message(SqliteDatabase(folder / "new.db", SCHEMA)), user)
            folder.chmod(0o700)
            recovered = in_child(lambda: message(SqliteDatabase(notes.path, SCHEMA)), user)
        assert "cannot be" in existing
        assert "let the user this runs as write to the folder" in existing
        assert "cannot be opened: Permission denied: give the user this runs as" in new
        assert recovered == "text"

    def test_a_place_where_no_folder_can_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        notes = SqliteDatabase(tmp_path / "file" / "notes.db", SCHEMA)
        with pytest.raises(StoreError, match="cannot be opened") as caught:
            add(notes)
        assert caught.value.code is Code.CACHE_ERROR

    @pytest.mark.usefixtures("distrust")
    @pytest.mark.parametrize("content", [b"not a database, but a text " * 200, b"SQLite format 3"])
    def test_a_file_of_something_else(self, notes: SqliteDatabase, content: bytes) -> None:
        notes.path.parent.mkdir(mode=0o700)
        notes.path.touch(mode=0o600)
        notes.path.write_bytes(content)
        with pytest.raises(DamagedStoreError, match="is damaged.*: restore a backup, or move"):
            add(notes)
        notes.path.rename(notes.path.with_suffix(".bad"))
        assert add(notes)

    def test_a_damaged_file(self, notes: SqliteDatabase) -> None:
        for number in range(300):
            add(notes, f"{number} " + "x" * 100)
        notes.close()
        size = notes.path.stat().st_size
        with notes.path.open("r+b") as file:
            file.seek(2048)
            file.write(b"\xff" * (size - 2048))
        with pytest.raises(StoreError, match="is damaged"):
            texts(notes)

    def test_an_empty_file(self, notes: SqliteDatabase) -> None:
        notes.path.parent.mkdir(mode=0o700)
        notes.path.touch(mode=0o600)
        with pytest.raises(
            StoreError, match=r"is damaged \(it is empty\): restore a backup, or move"
        ):
            add(notes)

    def test_a_database_of_another_kind(self, notes: SqliteDatabase) -> None:
        add(notes)
        with pytest.raises(StoreError, match="is not the acceptor store"):
            SqliteDatabase(notes.path, ACCEPTOR_SCHEMA).row("SELECT 1")

    def test_a_file_of_a_newer_version(self, notes: SqliteDatabase) -> None:
        add(notes)
        notes.change("PRAGMA user_version = 2")
        notes.close()
        with pytest.raises(StoreError, match="has format 2, this version of the program knows 1"):
            add(notes)

    def test_a_statement_that_is_wrong(self, notes: SqliteDatabase) -> None:
        with pytest.raises(StoreError, match="failed .no such table: nonsense.*: see the reason"):
            notes.row("SELECT * FROM nonsense")
        assert add(notes)


def close_often(notes: SqliteDatabase) -> None:
    for _ in range(100):
        notes.close()


def message(notes: SqliteDatabase) -> str:
    """What comes of using a database: its texts, or the error."""
    try:
        add(notes)
        return " ".join(texts(notes))
    except StoreError as error:
        return str(error)


@contextmanager
def open_house() -> Iterator[Path]:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as house:
        Path(house).chmod(0o755)
        yield Path(house)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
