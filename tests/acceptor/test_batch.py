"""Logins that are verified in one turn: written down together, answered when that is done."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from browserid_sasl.acceptor.conversation import Conversation
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.errors import Code
from browserid_sasl.gss.ports import Entry, Outcome
from browserid_sasl.gss.steps import Recording
from browserid_sasl.store import database as database_module
from browserid_sasl.store.companions import LOG, beside
from browserid_sasl.store.sqlite import SqliteAdmission
from tests.acceptor.test_conversation import FakeHost, begin, converse, message_of
from tests.support.site import Site


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A worker with a store in a file, in the middle of a turn."""
    host = FakeHost(Servers(Site(tmp_path).config, "localhost"))
    host.records_at_once = False
    return host


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each transaction had."""
    sizes: list[int] = []
    admit = SqliteAdmission.__call__

    def noted(self: SqliteAdmission, entries: Sequence[Entry]) -> list[Outcome]:
        sizes.append(len(entries))
        return admit(self, entries)

    monkeypatch.setattr(SqliteAdmission, "__call__", noted)
    return sizes


def words(host: FakeHost) -> list[str]:
    return [line.split("\t")[0] for line in host.sent]


def ask(host: FakeHost, message: bytes, id: int = 1) -> Conversation:
    conversation = converse(host)
    conversation.receive(begin(id, message, "bid"))
    return conversation


def test_they_are_answered_when_all_are_written_down(host: FakeHost, written: list[int]) -> None:
    for _ in range(3):
        ask(host, message_of(host))
    assert host.sent == host.log == []
    host.batch.record()
    assert written == [3]
    assert words(host) == ["OK"] * 3
    assert len(host.log) == 3
    assert host.logins == 0


def test_a_replay_in_the_same_turn_is_refused(host: FakeHost, written: list[int]) -> None:
    message = message_of(host)
    ask(host, message)
    ask(host, message_of(host))
    ask(host, message)
    host.batch.record()
    assert written == [3]
    assert words(host) == ["OK", "OK", "FAIL"]
    assert f"bid_code={Code.REPLAYED_ASSERTION.text}" in host.sent[-1]
    ask(host, message)
    host.batch.record()
    assert words(host)[-1] == "FAIL"


def test_a_store_that_fails_refuses_nobody_and_admits_nobody(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_TRUST_SECONDS", -1.0)
    ask(host, message_of(host))
    host.batch.record()
    for _ in range(3):
        ask(host, message_of(host))
    beside(host.servers.config.store.server_directory / "server.db", LOG).unlink()
    host.batch.record()
    assert words(host) == ["OK", *["FAIL"] * 3]
    assert all("\ttemp\t" in line for line in host.sent[1:])
    assert all("login undecided" in line for line in host.log[1:])


def test_a_mistake_of_ours_is_a_failure_of_each(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: SqliteAdmission, entries: Sequence[Entry]) -> list[Outcome]:
        raise ZeroDivisionError

    monkeypatch.setattr(SqliteAdmission, "__call__", broken)
    for _ in range(2):
        ask(host, message_of(host))
    host.batch.record()
    assert words(host) == ["FAIL"] * 2
    assert all("\ttemp\t" in line and "ZeroDivisionError" in line for line in host.sent)


def test_one_that_is_given_up_meanwhile_gets_no_answer(host: FakeHost) -> None:
    cancelled, closed, other = (ask(host, message_of(host)) for _ in range(3))
    cancelled.receive(b"CANCEL\t1\n")
    closed.close()
    host.batch.record()
    assert words(host) == ["OK"]
    assert [line.split(":")[0] for line in host.log] == ["login abandoned"] * 2 + [
        "login succeeded"
    ]
    assert not other.over
    assert host.logins == 0


def test_a_further_message_meanwhile_is_out_of_turn(host: FakeHost) -> None:
    conversation = ask(host, message_of(host))
    conversation.receive(b"CONT\t1\tYWJj\n")
    assert words(host) == ["FAIL"]
    host.batch.record()
    assert words(host) == ["FAIL"]
    assert host.logins == 0


def test_another_login_with_its_number_is_not_answered_in_its_place(host: FakeHost) -> None:
    conversation = ask(host, message_of(host))
    conversation.receive(b"CANCEL\t1\n" + begin(1))
    host.batch.record()
    assert host.sent == ["CONT\t1\t"]
    assert host.logins == 1


def test_each_entry_gets_its_own_outcome(host: FakeHost) -> None:
    def admission(entries: Sequence[Entry]) -> Sequence[Outcome]:
        return [(entry.not_after > 1, False) for entry in entries]

    outcomes: dict[int, Outcome] = {}
    for time in range(4):
        recording = Recording(Entry(bytes(32), time), admission)
        host.batch.add(recording, partial(outcomes.__setitem__, time))
    assert len(host.batch) == 4
    host.batch.record()
    assert outcomes == {time: (time > 1, False) for time in range(4)}
    assert not host.batch
