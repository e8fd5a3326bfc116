"""How the backends are: asked now, within a bound, and by however many at once not more often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.idp import health
from browserid_sasl.idp.backends import (
    Backend,
    Denial,
    DeniedError,
    Identity,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.health import Health, State
from browserid_sasl.idp.outside import Backends
from tests.support.patience import PATIENCE, wait_until


class Asked:
    """A backend that counts how often it is asked."""

    def __init__(self, name: str, answer: Callable[[], list[str]]) -> None:
        self.name = name
        self.times = 0
        self._answer = answer

    def check(self, identity: Identity) -> Vouched:
        raise AssertionError

    def probe(self) -> list[str]:
        self.times += 1
        return self._answer()


class Silent:
    """One that cannot be asked."""

    name = "header"

    def check(self, identity: Identity) -> Vouched:
        raise AssertionError


def failing(error: Exception) -> Callable[[], list[str]]:
    def fail() -> list[str]:
        raise error

    return fail


def test_each_says_how_it_is_in_the_order_in_which_they_are_asked(database: Database) -> None:
    named: list[Backend] = [
        Asked("good", list),
        Asked("half", lambda: ["ldap://b: it is down"]),
        Asked("down", failing(UnavailableError("no answer"))),
        Asked("odd", failing(DeniedError(Denial.GONE))),
        Silent(),
    ]
    order = ["half", "accounts", "good", "down", "odd", "header"]
    assert Health(Backends(order, named), database).of_all() == [
        State("half", ("ldap://b: it is down",)),
        State("accounts"),
        State("good"),
        State("down", ("no answer",)),
        State("odd", ("it denies what it is asked: gone",)),
        State("header", asked=False),
    ]


def test_the_own_accounts_are_those_of_the_database(database: Database, tmp_path: Path) -> None:
    with database.transaction() as session:
        session.connection().exec_driver_sql("DROP TABLE domain")
    [state] = Health(Backends(), database).of_all()
    assert "cannot be used" in state.faults[0]


def test_who_does_not_answer_is_not_waited_for_nor_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread hangs, however many look."""
    monkeypatch.setattr(health, "GOOD_FOR_S", 3_600.0)
    over = threading.Event()

    def hang() -> list[str]:
        over.wait(PATIENCE)
        return []

    slow, quick = Asked("slow", hang), Asked("quick", list)
    looked_at = Health(Backends(["slow", "quick"], [slow, quick]), database, patience=0.2)
    try:
        with ThreadPoolExecutor(8) as pool:
            for states in pool.map(lambda _: looked_at.of_all(), range(16)):
                assert states[0] == State("slow", ("it has not answered in time",))
        assert slow.times == 1
        assert quick.times == 1
    finally:
        over.set()
    wait_until(lambda: looked_at.of_all()[0] == State("slow"), "the answer")
    assert slow.times == 1


def test_what_fails_unexpectedly_is_not_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Callable[[], list[str]]] = [list, failing(ZeroDivisionError("secret")), list]

    def answer() -> list[str]:
        return answers.pop(0)()

    looked_at = Health(Backends(["odd"], [Asked("odd", answer)]), database, PATIENCE)
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)
    found = [looked_at.of_all()[0] for _ in range(3)]
    assert [bool(each.faults) for each in found] == [False, True, False]
    assert "secret" not in found[1].faults[0]
    assert "ZeroDivisionError" in caplog.text


def test_where_no_thread_can_be_had_it_is_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Asked("good", list)
    looked_at = Health(Backends(["good"], [backend]), database)

    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        assert looked_at.of_all()[0].faults
    assert looked_at.of_all() == [State("good")]


def test_an_answer_is_good_for_some_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 3_600.0)
    backend = Asked("good", list)
    looked_at = Health(Backends(["good"], [backend]), database)
    for _ in range(3):
        looked_at.of_all()
    assert backend.times == 1
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)
    looked_at.of_all()
    assert backend.times == 2


def test_it_takes_one_of_the_places_of_sign_ins(database: Database) -> None:
    """A backend that is asked for all that it may be asked is not asked for more."""
    backend = Asked("good", list)
    backends = Backends(["good"], [backend])
    while backends._rooms["good"].acquire(blocking=False):
        pass
    [state] = Health(backends, database).of_all()
    assert "wait for an answer" in state.faults[0]
    assert backend.times == 0
