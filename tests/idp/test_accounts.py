"""Accounts: their addresses, and what is kept of their passwords."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from tests.support.provider import CHEAP_HASHER

ALICE = "alice@example.test"


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, "example.test", hasher=CHEAP_HASHER)


def test_an_account_is_verified_by_its_password(accounts: Accounts) -> None:
    assert accounts.add(ALICE, "secret", 1)
    assert accounts.verify(ALICE, "secret", 2)
    assert not accounts.verify(ALICE, "Secret", 2)
    assert not accounts.verify("bob@example.test", "secret", 2)


def test_an_account_is_not_added_twice(accounts: Accounts) -> None:
    assert accounts.add(ALICE, "secret", 1)
    assert not accounts.add("Alice@Example.test", "other", 2)
    assert accounts.verify(ALICE, "secret", 3)


def test_accounts_are_listed_by_address(accounts: Accounts) -> None:
    accounts.add("bob@example.test", "secret", 1)
    accounts.add(ALICE, "secret", 2)
    listed = [(account.email, account.created) for account in accounts.all()]
    assert listed == [(ALICE, 2), ("bob@example.test", 1)]


def test_a_password_is_replaced(accounts: Accounts) -> None:
    accounts.add(ALICE, "old", 1)
    accounts.set_password(ALICE, "new", 2)
    assert accounts.verify(ALICE, "new", 3)
    assert not accounts.verify(ALICE, "old", 3)
    assert accounts.all()[0].changed == 2


def test_an_account_is_removed(accounts: Accounts) -> None:
    accounts.add(ALICE, "secret", 1)
    assert accounts.remove(ALICE)
    assert not accounts.remove(ALICE)
    assert not accounts.verify(ALICE, "secret", 2)


def test_an_account_without_a_password_has_none_that_could_be_guessed(accounts: Accounts) -> None:
    assert accounts.add_without_password("Alice@example.test", 1)
    assert not accounts.add_without_password(ALICE, 2)
    assert accounts.exists(ALICE)
    assert not accounts.has_password(ALICE)
    assert not accounts.verify(ALICE, "", 2)
    assert not accounts.verify(ALICE, "secret", 2)
    accounts.set_password(ALICE, "secret", 3)
    assert accounts.has_password(ALICE)
    assert accounts.verify(ALICE, "secret", 4)


def test_a_password_is_taken_away(accounts: Accounts) -> None:
    accounts.add(ALICE, "secret", 1)
    accounts.remove_password(ALICE, 2)
    assert not accounts.has_password(ALICE)
    assert not accounts.verify(ALICE, "secret", 3)
    assert accounts.all()[0].changed == 2


def test_whoever_has_no_account_has_no_password(accounts: Accounts) -> None:
    assert not accounts.exists(ALICE)
    assert not accounts.has_password(ALICE)


def test_nobody_gets_a_password_without_an_account(accounts: Accounts) -> None:
    with pytest.raises(LocalProtocolError, match="there is no account") as raised:
        accounts.set_password(ALICE, "secret", 1)
    assert "add-user" in raised.value.remedy


@pytest.mark.parametrize("password", ["", "x" * 1025, "\udc80"])
def test_some_passwords_cannot_be(accounts: Accounts, password: str) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be used") as raised:
        accounts.add(ALICE, password, 1)
    assert raised.value.code is Code.INVALID_PARAMETER
    assert accounts.all() == []


@pytest.mark.parametrize("password", ["x", "x" * 1024, "pass word ", "\u5bc6\u7801", "a\nb"])
def test_most_can(accounts: Accounts, password: str) -> None:
    accounts.add(ALICE, password, 1)
    assert accounts.verify(ALICE, password, 2)


def test_the_password_itself_is_not_kept(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add(ALICE, "a password to look for", 1)
    for path in tmp_path.iterdir():
        assert b"a password to look for" not in path.read_bytes()


def test_a_hash_is_made_anew_when_its_cost_is_no_longer_todays(
    accounts: Accounts, database: Database
) -> None:
    accounts.add(ALICE, "secret", 1)
    costlier = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    today = Accounts(database, "example.test", hasher=costlier)
    assert not today.verify(ALICE, "wrong", 2)
    assert accounts.all()[0].changed == 1
    assert today.verify(ALICE, "secret", 3)
    assert "m=16,t=2,p=1" in today.all()[0].password
    assert today.verify(ALICE, "secret", 4)
    assert today.all()[0].changed == 3


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Alice@EXAMPLE.test", ALICE),
        ("first.last+tag@example.test", "first.last+tag@example.test"),
        ("x@example.test", "x@example.test"),
        ("a" * 64 + "@example.test", "a" * 64 + "@example.test"),
        ('"Alice"@example.test', ALICE),
        ('"o\'neil+x"@example.test', "o'neil+x@example.test"),
        ('"a\\l\\ice"@example.test', ALICE),
    ],
)
def test_addresses_are_kept_in_lower_case_and_without_quotes(
    accounts: Accounts, text: str, address: str
) -> None:
    assert accounts.address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@",
        "@example.test",
        "alice@other.test",
        "alice@sub.example.test",
        "alice@@example.test",
        ".alice@example.test",
        "alice.@example.test",
        "al..ice@example.test",
        "al ice@example.test",
        '"al ice"@example.test',
        '"alice@example.test"@example.test',
        '"alice"bob@example.test',
        '"alice@example.test',
        '"@example.test',
        '""@example.test',
        "alice\n@example.test",
        "\u0131@example.test",
        "\u212aate@example.test",
        "a" * 65 + "@example.test",
    ],
)
def test_others_are_not_accounts(accounts: Accounts, text: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        accounts.address(text)
    assert raised.value.remedy


def test_looking_for_nobody_takes_as_long_as_for_somebody(database: Database) -> None:
    accounts = Accounts(database, "example.test")
    accounts.add(ALICE, "secret", 1)
    accounts.add_without_password("passkey@example.test", 1)
    times: dict[str, list[float]] = {
        address: [] for address in (ALICE, "nobody@example.test", "passkey@example.test")
    }
    for _ in range(4):
        for email, taken in times.items():
            started = time.process_time()
            assert not accounts.verify(email, "wrong", 2)
            taken.append(time.process_time() - started)
    known, unknown, without = (min(taken) for taken in times.values())
    assert 0.5 < unknown / known < 2
    assert 0.5 < without / known < 2
