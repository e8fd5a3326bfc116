"""Files that older versions wrote, in `formats`: nothing is lost, and nobody gets in twice."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from browserid_sasl.errors import DamagedStoreError, StoreError
from browserid_sasl.gss.ports import Entry
from browserid_sasl.identity.ports import CachedDocument
from browserid_sasl.store import open_acceptor, open_initiator
from browserid_sasl.store.sqlite import ACCEPTOR_SCHEMA, INITIATOR_SCHEMA
from tests.support import tickets
from tests.support.forks import in_child
from tests.support.tickets import HOUR, tid

#: When they were written.
NOW = 1_800_000_000_000

acceptor_ticket = partial(tickets.acceptor_ticket, NOW)
initiator_ticket = partial(tickets.initiator_ticket, NOW)
identity_record = partial(tickets.identity_record, NOW)

FORMATS = Path(__file__).with_name("formats")
DOCUMENT = CachedDocument(b'{"public-key": {}}', NOW + HOUR)
ISSUED = [
    acceptor_ticket(
        tid=tid(f"ticket {number}"),
        subject=f"person{number}@example.org",
        attributes={"groups": ["staff"] * number},
        mutual=number == 1,
        renewed=number == 2,
    )
    for number in range(3)
]
PRESENTED = [(sha256(b"%d" % number).digest(), NOW + HOUR) for number in range(3)]


def clock() -> int:
    return NOW


@pytest.fixture
def old(folder: Path) -> Callable[[str], Path]:
    """Makes a copy of a file that an older version has left."""

    def copy(name: str) -> Path:
        folder.mkdir(mode=0o700)
        path = folder / f"{name.partition('-')[0]}.db"
        shutil.copyfile(FORMATS / f"{name}.db", path)
        path.chmod(0o600)
        path.with_name(f"{path.name}-made").touch(mode=0o600)
        return path

    return copy


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        return number


class TestServer:
    def test_assertions_that_were_presented_stay_so(self, old: Callable[[str], Path]) -> None:
        stores = open_acceptor(old("server-3"), clock=clock)
        assert not any(stores.replay.insert(*entry) for entry in PRESENTED)
        assert not stores.replay.insert(sha256(b"3").digest(), NOW + 2 * HOUR)
        assert stores.replay.insert(sha256(b"4").digest(), NOW + HOUR)
        stores.close()

    def test_tickets_and_documents_are_kept(self, old: Callable[[str], Path]) -> None:
        stores = open_acceptor(old("server-3"), clock=clock)
        assert [stores.tickets.get(each.tid, NOW) for each in ISSUED] == ISSUED
        assert len(list(stores.tickets.all(NOW))) == 4
        assert stores.authorities.get("example.org", NOW) == DOCUMENT
        stores.close()

    def test_new_tickets_stand_beside_old_ones(self, old: Callable[[str], Path]) -> None:
        path = old("server-3")
        stores = open_acceptor(path, clock=clock)
        new = acceptor_ticket(key_thumbprint="thumbprint")
        assert stores.admission is not None
        assert stores.admission([Entry(b"a" * 32, NOW + HOUR, new)]) == [(True, True)]
        stores.close()
        assert version(path) == ACCEPTOR_SCHEMA.version
        assert stores.tickets.get(new.tid, NOW) == new
        assert stores.tickets.get(ISSUED[0].tid, NOW) == ISSUED[0]
        stores.close()

    def test_processes_that_open_it_at_once_agree(self, old: Callable[[str], Path]) -> None:
        path = old("server-3")
        begin = threading.Barrier(4)
        outcomes: list[str] = []

        def open_it() -> None:
            begin.wait()
            outcomes.append(in_child(lambda: present(path)))

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == ["False"] * 4

    def test_a_file_that_is_damaged_stays_as_it_was_found(self, old: Callable[[str], Path]) -> None:
        path = old("server-3")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE authority")
        with pytest.raises(DamagedStoreError, match="tables are not as they were made"):
            open_acceptor(path, clock=clock)
        assert version(path) == 3

    def test_the_older_version_that_still_runs_lets_nobody_in(
        self, old: Callable[[str], Path]
    ) -> None:
        path = old("server-3")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            admit = f"INSERT INTO admission VALUES ({', '.join('?' * 17)})"
            connection.execute("SELECT * FROM admission").fetchone()
            open_acceptor(path, clock=clock).close()
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                connection.execute(admit, [None] * 17)


class TestPerson:
    def test_keys_and_tickets_are_kept(self, old: Callable[[str], Path]) -> None:
        path = old("client-2")
        stores = open_initiator(path, clock=clock)
        record = identity_record()
        ticket = initiator_ticket(tid=tid("ticket 0"))
        assert stores.identities.get(record.identity) == record
        assert stores.tickets.get(ticket.identity, ticket.audience, "P-256", NOW) == ticket
        assert stores.authorities.get("example.org", NOW) == DOCUMENT
        renewable = replace(record, renewal="secret", renewal_expires=NOW + HOUR)
        stores.identities.put(renewable)
        stores.close()
        assert version(path) == INITIATOR_SCHEMA.version
        assert list(stores.identities.all()) == [renewable]
        stores.close()


class TestLaterColumns:
    @pytest.mark.parametrize("damage", ["''", "0", "x'7468756D627072696E74'", "'other'"])
    def test_are_covered_by_the_checksum(self, old: Callable[[str], Path], damage: str) -> None:
        path = old("server-3")
        stores = open_acceptor(path, clock=clock)
        kept = acceptor_ticket(key_thumbprint="thumbprint")
        stores.tickets.put(kept)
        stores.close()
        alter(path, f"UPDATE ticket SET key_thumbprint = {damage} WHERE key_thumbprint <> ''")
        with pytest.raises(DamagedStoreError):
            stores.tickets.get(kept.tid, NOW)

    @pytest.mark.parametrize("damage", ["x''", "0", "'other'"])
    def test_are_nothing_else_in_an_old_row(self, old: Callable[[str], Path], damage: str) -> None:
        path = old("server-3")
        stores = open_acceptor(path, clock=clock)
        stores.close()
        alter(path, f"UPDATE ticket SET key_thumbprint = {damage}")
        with pytest.raises(DamagedStoreError):
            stores.tickets.get(ISSUED[0].tid, NOW)


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount


def present(path: Path) -> str:
    """What comes of presenting again what was presented to the older version."""
    try:
        return str(open_acceptor(path, clock=clock).replay.insert(*PRESENTED[0]))
    except StoreError as error:
        return str(error)
