"""The audit log: what is in it, and what never is."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from browserid_sasl.errors import StoreError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import AuditLog, Entry, Event, Question, Retention
from browserid_sasl.idp.database import Database
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from tests.support.auditing import audit_log
from tests.support.provider import (
    ALICE,
    CHEAP_HASHER,
    DOMAIN,
    PASSWORD,
    RunningProvider,
    running_provider,
)
from tests.support.statements import statements

NOW = 1_795_282_504_224
BOB = f"bob@{DOMAIN}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def events(running: RunningProvider) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.audit_log().splitlines()]


@pytest.fixture
def log(database: Database, tmp_path: Path) -> AuditLog:
    return audit_log(database, tmp_path)


def everything(log: AuditLog, most: int = 1_000, **question: Any) -> list[Entry]:
    return log.search(Question(**question), most)


def test_a_line_of_the_file_is_a_json_object(log: AuditLog, path: Path) -> None:
    log.write(Event.SIGNED_IN, NOW, email=ALICE, client="198.51.100.7")
    assert path.read_text() == (
        '{"time":"2026-11-21T17:35:04.224Z","event":"signed-in",'
        '"email":"alice@example.test","client":"198.51.100.7"}\n'
    )


def test_an_entry_says_what_the_line_says_and_which_host_has_written_it(log: AuditLog) -> None:
    log.write(Event.CERTIFIED, NOW, email=ALICE, client="198.51.100.7", machine="dé\0sk", expires=7)
    (entry,) = everything(log)
    assert entry.members() == {
        "id": 1,
        "time": "2026-11-21T17:35:04.224Z",
        "event": "certified",
        "email": ALICE,
        "client": "198.51.100.7",
        "machine": "dé\0sk",
        "expires": 7,
        "host": socket.gethostname(),
    }


def test_a_name_cannot_make_up_a_line(log: AuditLog, path: Path) -> None:
    log.write(Event.SIGNED_IN, NOW, email='x"}\n{"event":"certified"')
    assert len(path.read_text().splitlines()) == 1


def place(found: list[Entry]) -> tuple[int, int] | None:
    """Where the next page begins."""
    return (found[-1].time, found[-1].id) if found else None


class TestSearch:
    @pytest.fixture(autouse=True)
    def filled(self, log: AuditLog) -> None:
        log.write(Event.SIGNED_IN, NOW, email=ALICE, client="198.51.100.7")
        log.write(Event.SIGN_IN_FAILED, NOW + 1, email=BOB, client="198.51.100.7", wait=0)
        log.write(Event.CERTIFIED, NOW + 2, email=ALICE, client="198.51.100.8", machine="100%_Desk")
        log.write(Event.KEY_CREATED, NOW + 3, key="0123", by="uid 0")

    @pytest.mark.parametrize(
        ("question", "found"),
        [
            ({}, [4, 3, 2, 1]),
            ({"email": ALICE}, [3, 1]),
            ({"event": "certified"}, [3]),
            ({"client": "198.51.100.7"}, [2, 1]),
            ({"client": "198.51.100.7", "email": ALICE}, [1]),
            ({"since": NOW + 1}, [4, 3, 2]),
            ({"until": NOW + 1}, [1]),
            ({"since": NOW + 1, "until": NOW + 3}, [3, 2]),
            ({"text": "BOB@"}, [2]),
            ({"text": "%_d"}, [3]),
            ({"text": "_"}, [3]),
            ({"text": "uid 0"}, [4]),
            ({"text": "'; DROP TABLE audit; --"}, []),
            ({"email": "nobody@example.test"}, []),
        ],
    )
    def test_what_somebody_looks_for(
        self, log: AuditLog, question: dict[str, Any], found: list[int]
    ) -> None:
        assert [entry.id for entry in everything(log, **question)] == found

    def test_page_by_page(self, log: AuditLog) -> None:
        first = everything(log, 3)
        assert [entry.id for entry in first] == [4, 3, 2]
        rest = log.search(Question(), 3, before=(first[-1].time, first[-1].id))
        assert [entry.id for entry in rest] == [1]

    def test_page_by_page_where_a_clock_was_behind_and_of_one_moment(self, log: AuditLog) -> None:
        for _ in range(3):
            log.write(Event.SIGNED_IN, NOW + 1, email=ALICE)
        found: list[Entry] = []
        while page := log.search(Question(), 2, before=place(found)):
            found += page
        assert [entry.id for entry in found] == [4, 3, 7, 6, 5, 2, 1]

    @pytest.mark.parametrize("given", ["email", "client", "event"])
    def test_the_entries_of_a_search_are_read_in_order_and_no_others(
        self, log: AuditLog, database: Database, given: str
    ) -> None:
        """However many there are of one event."""
        question = Question(**{given: "signed-in", "event": "signed-in"}, since=NOW, until=NOW + 9)
        with statements() as asked:
            log.search(question, 2, before=(NOW, 1))
        [statement] = [each for each in asked if "FROM audit" in each[0]]
        with database.reading() as session:
            plan = session.connection().exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement[0]}", statement[1]
            )
            assert [row[3] for row in plan] == [
                f"SEARCH audit USING INDEX audit_{given} ({given}=? AND time>? AND time<?)"
            ]


def test_what_is_done_for_somebody_says_for_whom(log: AuditLog) -> None:
    with log.by("carol@example.test"):
        log.write(Event.REVOKED, NOW, email=ALICE)
        log.write(Event.INVITED, NOW, email=ALICE, by="uid 0")
    log.write(Event.REVOKED, NOW, email=BOB)
    assert [entry.details for entry in everything(log)] == [
        {},
        {"by": "uid 0"},
        {"by": "carol@example.test"},
    ]


class TestWithWhatItRecords:
    """An entry is there together with the change that it records, or neither is."""

    def test_what_is_undone_has_no_entry(self, log: AuditLog, database: Database) -> None:
        with pytest.raises(ZeroDivisionError), database.transaction():
            log.write(Event.SIGNED_IN, NOW)
            raise ZeroDivisionError
        assert everything(log) == []

    def test_where_the_file_cannot_be_written_nothing_takes_place(
        self, log: AuditLog, database: Database, path: Path
    ) -> None:
        path.mkdir()
        accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
        with pytest.raises(StoreError, match="audit log .* cannot be written"):
            accounts.add_without_password(ALICE, NOW, lambda: log.write(Event.ACCOUNT_ADDED, NOW))
        assert not accounts.exists(ALICE)
        assert everything(log) == []

    def test_where_the_database_cannot_be_written_neither_does(
        self, log: AuditLog, database: Database, path: Path
    ) -> None:
        with database.transaction() as session:
            session.execute(text("DROP TABLE audit"))
        accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
        with pytest.raises(StoreError):
            accounts.add_without_password(ALICE, NOW, lambda: log.write(Event.ACCOUNT_ADDED, NOW))
        assert not accounts.exists(ALICE)
        assert not path.exists()


class TestRetention:
    """The database keeps so many entries, for so long; purged now and then, a bit at a time."""

    def test_the_oldest_go_first(self, database: Database, tmp_path: Path) -> None:
        log = audit_log(database, tmp_path, Retention(entries=100))
        for number in range(300):
            log.write(Event.SIGNED_IN, NOW, number=number)
        kept = [entry.id for entry in everything(log)]
        assert 100 <= len(kept) < 200
        assert kept == list(range(300, 300 - len(kept), -1))
        assert len((tmp_path / "audit.log").read_text().splitlines()) == 300

    def test_what_is_too_old_goes(self, database: Database, tmp_path: Path) -> None:
        log = audit_log(database, tmp_path, Retention(life=1_000))
        for number in range(64):
            log.write(Event.SIGNED_IN, NOW + number // 32 * 1_000)
        assert [entry.id for entry in everything(log)] == list(range(64, 32, -1))


def test_a_sign_in_and_what_was_certified_are_recorded(running: RunningProvider) -> None:
    key = PrivateKey.generate("ES256").public_key
    request = {"email": ALICE, "password": PASSWORD, "public-key": key.to_json()}
    assert running.post("/certify", json=request).status_code == 200
    *_, signed_in, certified = events(running)
    assert signed_in.items() >= {
        "event": "signed-in", "email": ALICE, "client": "127.0.0.1"
    }.items()  # fmt: skip
    assert (
        certified.items()
        >= {
            "event": "certified",
            "email": ALICE,
            "client": "127.0.0.1",
            "key": b64.encode(key.thumbprint),
            "expires": running.clock.now + 3_600_000,
        }.items()
    )


@pytest.mark.parametrize("email", [ALICE, f"nobody@{DOMAIN}"])
def test_a_failure_is_recorded_with_the_wait_it_costs(running: RunningProvider, email: str) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": email, "password": "wrong", "public-key": key}
    for _ in range(7):
        running.post("/certify", json=request)
    failures = [event for event in events(running) if event["event"] == "sign-in-failed"]
    assert [failure["wait"] for failure in failures] == [0, 0, 0, 0, 1_000]
    assert {failure["email"] for failure in failures} == {email}
    assert {failure["client"] for failure in failures} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("proxies", "said", "client"),
    [
        ((), "198.51.100.7", "127.0.0.1"),
        (("203.0.113.0/24",), "198.51.100.7", "127.0.0.1"),
        (("127.0.0.1",), "198.51.100.7", "198.51.100.7"),
        (("127.0.0.0/8",), "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        (("127.0.0.1",), "x" * 1000, "127.0.0.1"),
        (("127.0.0.1",), '198.51.100.7"}{"event":"certified', "127.0.0.1"),
        (("127.0.0.1",), "fe80::1%x", "127.0.0.1"),
        (("127.0.0.1",), "2001:DB8:0::7", "2001:db8::7"),
        (("127.0.0.1",), "::ffff:198.51.100.7", "198.51.100.7"),
        (("127.0.0.1",), "nonsense, 127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_clients_address_is_its_own_or_what_a_known_proxy_says(
    tmp_path: Path, proxies: tuple[str, ...], said: str, client: str
) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": ALICE, "password": PASSWORD, "public-key": key}
    with running_provider(tmp_path / "provider", proxies=proxies) as running:
        running.post("/certify", json=request, headers={"X-Forwarded-For": said})
        assert events(running)[-1]["client"] == client


def test_nothing_is_certified_that_cannot_be_recorded(running: RunningProvider) -> None:
    path = running.folder.path / "audit.log"
    path.unlink()
    path.mkdir()
    key = PrivateKey.generate("ES256").public_key.to_json()
    request = {"email": ALICE, "password": PASSWORD, "public-key": key}
    response = running.post("/certify", json=request)
    assert response.status_code == 500
    assert "certificate" not in response.json()


def test_nothing_to_be_hidden_is_in_the_log_nor_in_what_the_server_says(
    running: RunningProvider,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = PrivateKey.generate("ES256").public_key.to_json()
    good = {"email": ALICE, "password": PASSWORD, "public-key": key}
    running.post("/certify", json=good)
    running.post("/certify", json=good | {"password": "a wrong secret"})
    running.post("/certify", json=good | {"email": f"x@{DOMAIN}", "password": "another secret"})
    running.post("/certify", json=good | {"public-key": {}, "password": "a third secret"})
    running.post("/certify", json={"email": "a fourth secret", "password": PASSWORD})
    (running.folder.path / "keys" / "keys.json").unlink()
    running.post("/certify", json=good)
    assert "cannot be read" in caplog.text
    said = running.audit_log() + "".join(capfd.readouterr()) + caplog.text
    for secret in (PASSWORD, "secret", "PRIVATE KEY", "argon2"):
        assert secret not in said
