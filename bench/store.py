"""What an acceptor's stores cost, with 1,000 and with 1,000,000 entries of each kind.

The figures are CPU time, the system's included, with the write-ahead log's checkpoints spread over
the operations that cause them. The two files take turns within one process.
"""

from __future__ import annotations

import os
import sqlite3
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from browserid_sasl.gss.admission import OneByOne
from browserid_sasl.gss.ports import Entry
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.store import AcceptorStores, memory_acceptor, open_acceptor
from browserid_sasl.store.base import system_clock

SMALL, LARGE = 1_000, 1_000_000
ROUNDS = 9
#: Enough for each round to contain checkpoints.
OPERATIONS = 2000
POWER_OPERATIONS = 50

NOW = system_clock()
ASSERTION_LIFE = 300_000
TICKET_LIFE = 36_000_000


@dataclass
class Subject:
    """Stores under measurement.

    :param entries: how many there are of each kind to begin with.
    """

    stores: AcceptorStores
    entries: int
    times: dict[str, list[float]] = field(default_factory=dict)

    def round(self) -> None:
        """One round: so many assertions, tickets, tickets looked up, and both as a login does."""
        digests = [os.urandom(32) for _ in range(OPERATIONS)]
        tickets = [_ticket(_tid(os.urandom(32)), number) for number in range(OPERATIONS)]
        not_after = NOW + ASSERTION_LIFE * (1 + len(self.times.get("replay insert", ())))
        insert, put, get = (
            self.stores.replay.insert,
            self.stores.tickets.put,
            self.stores.tickets.get,
        )
        self._time(
            "replay insert",
            lambda: [insert(digest, not_after + n) for n, digest in enumerate(digests)],
        )
        self._time("ticket put", lambda: [put(ticket) for ticket in tickets])
        self._time("ticket get", lambda: [get(ticket.tid, NOW) for ticket in tickets])
        logins = [
            Entry(os.urandom(32), not_after + number, _ticket(_tid(os.urandom(32)), number))
            for number in range(OPERATIONS)
        ]
        admit = self.stores.admission or OneByOne(self.stores.replay, self.stores.tickets)
        self._time("insert and put", lambda: [admit((login,)) for login in logins])

    def _time(self, name: str, action: Callable[[], object]) -> None:
        start = time.process_time()
        action()
        elapsed = (time.process_time() - start) / OPERATIONS * 1e6
        self.times.setdefault(name, []).append(elapsed)

    def results(self) -> dict[str, float]:
        """Median over the rounds of the mean time of each operation, in us.

        A re-authentication gets a ticket, inserts an assertion and puts another ticket.
        """
        figures = {name: median(values) for name, values in self.times.items()}
        return figures | {"re-authentication": figures["ticket get"] + figures["insert and put"]}


def run() -> list[str]:
    """Measure, and give the table as lines of text."""
    with TemporaryDirectory() as folder:
        subjects = [
            Subject(memory_acceptor(), 0),
            Subject(filled(Path(folder, "small.db"), SMALL), SMALL),
            Subject(filled(Path(folder, "large.db"), LARGE), LARGE),
        ]
        for _ in range(ROUNDS):
            for subject in subjects:
                subject.round()
        power = _power_time(Path(folder, "power.db"))
        for subject in subjects:
            subject.stores.close()
    memory, small, large = (subject.results() for subject in subjects)
    heading = f"{'CPU us an operation':<20} {'memory':>8} {SMALL:>10,} {LARGE:>10,} {'ratio':>6}"
    return [
        heading,
        *(
            f"{name:<20} {memory[name]:>8.1f} {small[name]:>10.1f} {large[name]:>10.1f}"
            f" {large[name] / small[name]:>6.2f}"
            for name in small
        ),
        f'A replay insert with durability = "power" waits {power:.1f} ms for this disk.',
    ]


def _power_time(path: Path) -> float:
    """Time on the clock of an insert that waits for the disk, in ms."""
    stores = open_acceptor(path, durability="power")
    start = time.perf_counter()
    for _ in range(POWER_OPERATIONS):
        stores.replay.insert(os.urandom(32), NOW)
    elapsed = time.perf_counter() - start
    stores.close()
    return elapsed / POWER_OPERATIONS * 1000


def filled(path: Path, entries: int) -> AcceptorStores:
    """Stores with so many assertions and as many tickets; see `filled_with`."""
    return filled_with(path, entries, entries)


def filled_with(path: Path, assertions: int, tickets: int) -> AcceptorStores:
    """Stores with so many assertions and tickets.

    They are spread over the time they are valid for, as logins at a steady rate leave them.
    """
    stores = open_acceptor(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        connection.execute(_REPLAY_ROWS, {"now": NOW, "life": ASSERTION_LIFE, "count": assertions})
        connection.execute(_TICKET_ROWS, _ticket_values(tickets))
        connection.execute("UPDATE replay_size SET entries = ?", (assertions,))
        connection.execute("COMMIT")
    return stores


# SQLite counts by itself, and draws what looks like chance: rows from here would take minutes.
_NUMBERS: Final = """
    WITH RECURSIVE numbered(number) AS (
        SELECT 0 WHERE :count > 0
        UNION ALL SELECT number + 1 FROM numbered WHERE number + 1 < :count
    )
"""
_REPLAY_ROWS: Final = f"""
    {_NUMBERS} INSERT INTO replay
    SELECT :now + :life * number / :count, randomblob(32) FROM numbered
"""  # noqa: S608 - these are our own words
_TICKET_ROWS: Final = f"""
    {_NUMBERS} INSERT INTO ticket
    SELECT ((:now + :life * number / :count) / 1000 << 24) + number % 1000, randomblob(32),
        :subject, :issuer, :audience, :ark, :curve, :now + :life * number / :count - :life,
        :now + :life * number / :count, :renew_until, FALSE, FALSE, '{{}}',
        abs(random() % 4294967296), ''
    FROM numbered
"""  # noqa: S608


def _ticket_values(count: int) -> dict[str, object]:
    model = _ticket("", 0)
    names = "subject", "issuer", "audience", "ark", "curve", "renew_until"
    same = {name: getattr(model, name) for name in names}
    return same | {"now": NOW, "life": TICKET_LIFE, "count": count}


def _ticket(tid: str, number: int) -> AcceptorTicket:
    return AcceptorTicket(
        tid=tid,
        subject="alice@example.org",
        issuer="example.org",
        audience="imap/mail.example.org",
        ark=bytes(32),
        curve="P-256",
        issued_at=NOW,
        expires=NOW + TICKET_LIFE + number,
        renew_until=NOW + 7 * 86_400_000,
    )


def _tid(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


if __name__ == "__main__":
    print(*run(), sep="\n")
