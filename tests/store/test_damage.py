"""Files that were altered, cut short or removed: nobody is let in twice, nothing else escapes."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from browserid_sasl.errors import Code, DamagedStoreError, StoreError
from browserid_sasl.gss.ports import Entry
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.store import AcceptorStores, open_acceptor, open_initiator
from browserid_sasl.store import database as database_module
from browserid_sasl.store.companions import INDEX, LOG, LOST, MADE, beside
from browserid_sasl.store.database import SqliteDatabase
from browserid_sasl.store.sqlite import (
    ACCEPTOR_SCHEMA,
    INITIATOR_SCHEMA,
    SqliteAuthorityCache,
    begin_anew,
)
from tests.support.forks import in_child
from tests.support.tickets import NOW, acceptor_ticket, identity_record, initiator_ticket, tid

ROOT = Path(__file__).parents[2]
FAR = NOW * 2
RECORDED = [(sha256(b"%d" % number).digest(), FAR + number % 7) for number in range(150)]
ISSUED = [
    acceptor_ticket(
        tid=tid(f"ticket {number}"),
        subject=f"person{number}@example.org",
        attributes={"groups": ["staff"] * (number % 4)},
    )
    for number in range(40)
]
KEPT = [initiator_ticket(audience=f"imap/host{number}.example.org") for number in range(40)]
PEOPLE = [identity_record(identity=f"person{number}@example.org") for number in range(20)]
DOCUMENT = CachedDocument(b'{"public-key": {}}' * 40, FAR)


@pytest.fixture(params=["checked as a whole", "too large for that"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether files are checked when they are opened."""
    if request.param != "checked as a whole":
        monkeypatch.setattr(database_module, "_CHECKED_PAGES", 0)
    return str(request.param)


@pytest.fixture
def server_file(folder: Path) -> Path:
    """An acceptor's file with something in all its tables."""
    stores = open_acceptor(folder / "server.db")
    fill_server(stores)
    stores.close()
    assert sorted(each.name for each in folder.iterdir()) == ["server.db", "server.db-made"]
    return folder / "server.db"


@pytest.fixture
def client_file(folder: Path) -> Path:
    """An initiator's file, likewise."""
    stores = open_initiator(folder / "client.db")
    for ticket in KEPT:
        stores.tickets.put(ticket)
    for record in PEOPLE:
        stores.identities.put(record)
    stores.authorities.put("example.org", DOCUMENT)
    stores.close()
    return folder / "client.db"


def fill_server(stores: AcceptorStores) -> None:
    assert stores.admission is not None
    for (digest, not_after), ticket in zip(RECORDED[:40], ISSUED, strict=True):
        assert stores.admission([Entry(digest, not_after, ticket)]) == [(True, True)]
    for digest, not_after in RECORDED[40:]:
        assert stores.replay.insert(digest, not_after)
    stores.authorities.put("example.org", DOCUMENT)


def use_server(path: Path) -> None:
    """Do all that a server does. What it is told is true, or a `StoreError`."""
    with suppress(StoreError):
        stores = open_acceptor(path)
        try:
            for digest, not_after in RECORDED:
                with suppress(StoreError):
                    assert not stores.replay.insert(digest, not_after), "a replay is forgotten"
            assert stores.admission is not None
            for digest, not_after in RECORDED[::7]:
                with suppress(StoreError):
                    ticket = acceptor_ticket()
                    [outcome] = stores.admission([Entry(digest, not_after, ticket)])
                    if isinstance(outcome, tuple):
                        assert not outcome[0], "a replay is forgotten"
            for ticket in ISSUED:
                with suppress(StoreError):
                    assert stores.tickets.get(ticket.tid, NOW) in (None, ticket)
            with suppress(StoreError):
                assert {each.tid for each in stores.tickets.all(0)} <= {t.tid for t in ISSUED}
            with suppress(StoreError):
                assert stores.authorities.get("example.org", NOW) in (None, DOCUMENT)
            with suppress(StoreError):
                assert list(stores.authorities.all(0)) in ([], [("example.org", DOCUMENT)])
            for work in (
                lambda: stores.tickets.put(acceptor_ticket()),
                lambda: stores.tickets.delete(ISSUED[0].tid),
                lambda: stores.authorities.put("example.net", DOCUMENT),
                lambda: stores.authorities.delete("example.org"),
                lambda: stores.tickets.purge(FAR),
                lambda: stores.replay.purge(2 * FAR),
            ):
                with suppress(StoreError):
                    work()
        finally:
            stores.close()


def use_client(path: Path) -> None:
    """Do all that a client does."""
    with suppress(StoreError):
        stores = open_initiator(path)
        try:
            for ticket in KEPT:
                with suppress(StoreError):
                    key = (ticket.identity, ticket.audience, ticket.curve)
                    assert stores.tickets.get(*key, NOW) in (None, ticket)
            with suppress(StoreError):
                assert set(stores.tickets.all(0)) <= set(KEPT)
            for record in PEOPLE:
                with suppress(StoreError):
                    assert stores.identities.get(record.identity) in (None, record)
            with suppress(StoreError):
                assert set(stores.identities.all()) <= set(PEOPLE)
            with suppress(StoreError):
                assert stores.authorities.get("example.org", NOW) in (None, DOCUMENT)
            for work in (
                lambda: stores.tickets.put(KEPT[0]),
                lambda: stores.identities.put(PEOPLE[0]),
                lambda: stores.identities.delete(PEOPLE[1].identity),
                lambda: stores.tickets.purge(FAR),
            ):
                with suppress(StoreError):
                    work()
        finally:
            stores.close()


def copies(path: Path, number: int) -> Iterator[tuple[random.Random, Path]]:
    """Copies of a store, each to be damaged in another way, the same ways every time."""
    for seed in range(number):
        folder = path.parent.with_name(f"copy-{seed}")
        shutil.copytree(path.parent, folder)
        yield random.Random(seed), folder / path.name
        shutil.rmtree(folder)


def flip(path: Path, chance: random.Random, *, bits: int = 1) -> None:
    """Change some bits of one octet, in any place."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    while not data[place] and chance.random() < 0.9:  # much of a file is empty
        place = chance.randrange(len(data))
    for _ in range(bits):
        data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


class TestAlteredFiles:
    @pytest.mark.usefixtures("size")
    def test_a_server_with_an_octet_changed(self, server_file: Path) -> None:
        for chance, path in copies(server_file, 100):
            flip(path, chance)
            use_server(path)

    @pytest.mark.usefixtures("size")
    def test_a_server_with_a_page_overwritten(self, server_file: Path) -> None:
        for chance, path in copies(server_file, 30):
            data = bytearray(path.read_bytes())
            page = chance.randrange(len(data) // 2048)
            start = page * 2048
            fill = chance.choice([bytes(2048), b"\xff" * 2048, chance.randbytes(2048)])
            data[start : start + 2048] = fill
            path.write_bytes(data)
            use_server(path)

    @pytest.mark.usefixtures("size")
    def test_a_server_with_the_end_cut_off(self, server_file: Path) -> None:
        for chance, path in copies(server_file, 30):
            data = path.read_bytes()
            path.write_bytes(data[: chance.randrange(len(data))])
            use_server(path)

    @pytest.mark.usefixtures("size")
    def test_a_client_with_an_octet_changed(self, client_file: Path) -> None:
        for chance, path in copies(client_file, 60):
            flip(path, chance)
            use_client(path)

    def test_each_octet_of_the_first_page(self, server_file: Path) -> None:
        """Where the tables are, and what they are."""
        for place in [*range(100), *range(100, 2048, 41)]:
            for chance, path in copies(server_file, 1):
                data = bytearray(path.read_bytes())
                data[place] ^= 1 << chance.randrange(8)
                path.write_bytes(data)
                use_server(path)


class TestRowsOfOthers:
    """Rows that a database takes, and that were never written here."""

    @pytest.mark.parametrize(
        "change",
        [
            "attributes = 'x'",
            "attributes = '[1]'",
            f"attributes = '{'[' * 100_000}'",
            "attributes = CAST(X'ff' AS TEXT)",
            "attributes = X'00'",
            "subject = 'mallory@example.org'",
            "subject = 7",
            "subject = CAST(X'c3' AS TEXT)",
            "ark = 'text'",
            "expires = expires + 1000",
            "expires = 'never'",
            "mutual = 1",
            "mutual = 'yes'",
            "checksum = 0",
            "checksum = 'none'",
        ],
    )
    def test_a_ticket(self, server_file: Path, change: str) -> None:
        with closing(sqlite3.connect(server_file)) as connection:
            connection.execute(f"UPDATE ticket SET {change}")
            connection.commit()
        stores = open_acceptor(server_file)
        for read in (
            lambda: stores.tickets.get(ISSUED[0].tid, NOW),
            lambda: list(stores.tickets.all(0)),
        ):
            with pytest.raises(DamagedStoreError, match="bidtool reset --server") as caught:
                read()
            assert caught.value.code is Code.CACHE_ERROR
            assert str(caught.value).isprintable()
        stores.close()

    def test_a_ticket_that_the_index_takes_for_another(
        self, server_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "_CHECKED_PAGES", 0)
        with closing(sqlite3.connect(server_file)) as connection:
            rows = connection.execute("SELECT tid, id FROM ticket LIMIT 2").fetchall()
        (_, number), (other, right) = [(key, row.to_bytes(8, "big")) for key, row in rows]
        data = server_file.read_bytes()
        assert data.count(other + right) == 1
        server_file.write_bytes(data.replace(other + right, other + number))
        stores = open_acceptor(server_file)
        with pytest.raises(DamagedStoreError, match="a row in it is not as"):
            stores.tickets.get(urlsafe_b64encode(other).rstrip(b"=").decode(), NOW)
        stores.close()

    @pytest.mark.parametrize("table", ["identity", "ticket", "authority"])
    @pytest.mark.parametrize("value", ["X'ff'", "CAST(X'ff' AS TEXT)", "1.5", "'a'"])
    def test_what_a_client_keeps(self, client_file: Path, table: str, value: str) -> None:
        with closing(sqlite3.connect(client_file)) as connection:
            connection.execute(f"UPDATE {table} SET expires = {value}")
            connection.commit()
        stores = open_initiator(client_file)
        reads: dict[str, Callable[[], object]] = {
            "identity": stores.identities.all,
            "ticket": lambda: stores.tickets.all(0),
            "authority": lambda: stores.authorities.all(0),
        }
        with pytest.raises(DamagedStoreError, match="browserid login"):
            reads[table]()
        stores.close()

    @pytest.mark.parametrize(
        "entries", ["DELETE FROM replay_size", "UPDATE replay_size SET entries = 'many'"]
    )
    def test_the_number_of_assertions(self, server_file: Path, entries: str) -> None:
        with closing(sqlite3.connect(server_file)) as connection:
            connection.execute(entries)
            connection.commit()
        assert "how many assertions" in refusal(server_file)

    def test_a_schema_that_is_not_text(self, server_file: Path) -> None:
        with closing(sqlite3.connect(server_file)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = CAST(sql AS TEXT) || CAST(X'c4' AS TEXT)"
                " WHERE name = 'authority'"
            )
            connection.commit()
        assert "its schema is not text" in refusal(server_file)

    @pytest.mark.parametrize("domain", ["X'ff'", "CAST(X'ff' AS TEXT)", "7"])
    def test_a_full_cache_with_a_name_that_is_none(self, client_file: Path, domain: str) -> None:
        database = SqliteDatabase(client_file, INITIATOR_SCHEMA)
        cache = SqliteAuthorityCache(database, max_entries=1)
        database.change(f"UPDATE authority SET domain = {domain}")
        with suppress(StoreError):
            cache.put("example.net", DOCUMENT)
        assert cache.get("example.net", NOW) in (None, DOCUMENT)
        database.close()


@pytest.fixture
def left_behind(folder: Path) -> Path:
    """The file of an acceptor whose process has died in the middle of its work."""
    path = folder / "server.db"
    open_acceptor(path).close()

    alive = []

    def work() -> str:
        alive.append(open_acceptor(path))  # or it would be closed before the end
        fill_server(alive[0])
        return "died"

    assert in_child(work) == "died"
    assert beside(path, LOG).exists()
    assert beside(path, INDEX).exists()
    return path


def refusal(path: Path) -> str:
    """Why a store cannot be used, as everybody is told from then on."""
    told = []
    for _ in range(3):
        with pytest.raises(DamagedStoreError) as caught:
            open_acceptor(path)
        assert "bidtool reset --server" in caught.value.remedy
        told.append(caught.value.message)
    return told[0]


class TestLog:
    def test_it_is_taken_up_when_its_process_has_died(self, left_behind: Path) -> None:
        stores = open_acceptor(left_behind)
        assert not any(stores.replay.insert(*entry) for entry in RECORDED)
        stores.close()

    def test_one_that_is_altered(self, left_behind: Path) -> None:
        for chance, path in copies(left_behind, 60):
            flip(beside(path, LOG), chance)
            use_server(path)

    def test_one_that_is_cut_short(self, left_behind: Path) -> None:
        for chance, path in copies(left_behind, 30):
            log = beside(path, LOG)
            log.write_bytes(log.read_bytes()[: chance.randrange(log.stat().st_size)])
            assert "its log had" in refusal(path)

    def test_one_that_is_gone(self, left_behind: Path) -> None:
        beside(left_behind, LOG).unlink()
        assert "its log had" in refusal(left_behind)
        assert beside(left_behind, LOST).exists()

    def test_an_index_that_is_altered(self, left_behind: Path) -> None:
        for chance, path in copies(left_behind, 40):
            flip(beside(path, INDEX), chance)
            use_server(path)

    def test_an_index_that_is_cut_short_says_nothing(self, left_behind: Path) -> None:
        beside(left_behind, INDEX).write_bytes(b"short")
        use_server(left_behind)

    def test_one_that_another_process_writes_to(self, left_behind: Path) -> None:
        """Whose log it is shows in the locks: nothing is missed of one that is used."""
        stores = open_acceptor(left_behind)
        assert stores.replay.insert(b"n" * 32, FAR)
        script = """
import sys
from browserid_sasl.store import open_acceptor
stores = open_acceptor(sys.argv[1])
print(stores.replay.insert(b"n" * 32, int(sys.argv[2])), flush=True)
stores.close()
"""
        for _ in range(2):
            command = [sys.executable, "-c", script, str(left_behind), str(FAR)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            assert done.stdout == "False\n"
        stores.close()

    def test_one_that_is_removed_while_it_is_used(
        self, server_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "_TRUST_SECONDS", -1.0)
        stores = open_acceptor(server_file)
        assert stores.replay.insert(b"n" * 32, FAR)
        beside(server_file, LOG).unlink()
        for _ in range(2):
            with pytest.raises(DamagedStoreError, match="its log was removed while it was used"):
                stores.replay.insert(b"o" * 32, FAR)
        stores.close()
        assert "part of what was written to it is lost" in refusal(server_file)


class TestFilesThatAreGone:
    def test_a_server_misses_its_file(self, server_file: Path) -> None:
        server_file.unlink()
        assert "it is gone, server.db-made is left of it" in refusal(server_file)

    def test_a_server_that_runs_misses_its_file(
        self, server_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "_TRUST_SECONDS", -1.0)
        stores = open_acceptor(server_file)
        stores.replay.insert(b"n" * 32, FAR)
        for suffix in ("", LOG, INDEX):
            beside(server_file, suffix).unlink()
        with pytest.raises(DamagedStoreError, match="it is gone"):
            stores.replay.insert(b"n" * 32, FAR)

    def test_a_server_does_not_work_with_an_empty_file(self, server_file: Path) -> None:
        server_file.write_bytes(b"")
        assert "it is empty" in refusal(server_file)

    def test_a_client_begins_again(self, client_file: Path) -> None:
        client_file.unlink()
        assert open_initiator(client_file).identities.all() == []

    def test_a_log_without_its_file_is_nobody_elses(self, client_file: Path) -> None:
        beside(client_file, LOG).touch(0o600)
        client_file.unlink()
        with pytest.raises(DamagedStoreError, match="it is gone, client.db-wal is left of it"):
            open_initiator(client_file)

    def test_the_mark_of_an_older_store_is_made_up_for(self, server_file: Path) -> None:
        beside(server_file, MADE).unlink()
        open_acceptor(server_file).close()
        assert beside(server_file, MADE).stat().st_mode & 0o777 == 0o600


class TestBeginningAnew:
    def test_what_was_there_is_kept_aside(self, left_behind: Path) -> None:
        beside(left_behind, LOG).write_bytes(b"")
        assert "its log had" in refusal(left_behind)
        moved = begin_anew(left_behind, ACCEPTOR_SCHEMA, NOW)
        assert moved[0].name == "server.db-21000101T000000Z"
        assert all(path.exists() for path in moved)
        stores = open_acceptor(left_behind)
        assert stores.replay.insert(*RECORDED[0])
        assert not stores.replay.insert(*RECORDED[0])
        stores.close()

    def test_there_need_not_be_anything(self, folder: Path) -> None:
        assert begin_anew(folder / "client.db", INITIATOR_SCHEMA, NOW) == []
        assert open_initiator(folder / "client.db").identities.all() == []

    def test_a_move_that_was_interrupted_can_be_finished(self, left_behind: Path) -> None:
        left_behind.rename(left_behind.with_name("elsewhere.db"))
        assert "it is gone, server.db-wal is left of it" in refusal(left_behind)
        assert [path.name[:13] for path in begin_anew(left_behind, ACCEPTOR_SCHEMA, NOW)] == [
            "server.db-wal",
            "server.db-shm",
        ]
        open_acceptor(left_behind).close()

    def test_a_place_where_nothing_can_be_moved(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot be opened"):
            begin_anew(tmp_path / "file" / "server.db", ACCEPTOR_SCHEMA, NOW)
