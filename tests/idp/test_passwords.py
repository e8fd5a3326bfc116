"""What is kept of passwords, and what a password is compared with where there is none."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.passwords import Cost, StandIns
from tests.support.provider import CHEAP_HASHER, DOMAIN

DEARER = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
STRANGERS = [f"nobody{number}@{DOMAIN}" for number in range(200)]


def people(database: Database, hasher: PasswordHasher, name: str) -> list[str]:
    """Twenty with passwords of a cost."""
    accounts = Accounts(database, DOMAIN, hasher=hasher)
    addresses = [f"{name}{number}@{DOMAIN}" for number in range(20)]
    assert all(accounts.add(address, "secret", 1) for address in addresses)
    return addresses


def dear(stand_ins: StandIns, now: int) -> set[str]:
    """The strangers with whom it takes as long as it took with everybody once."""
    return {each for each in STRANGERS if "$m=16,t=2,p=1$" in stand_ins.hash(each, now)}


def test_the_usual_cost_is_owasps(database: Database) -> None:
    Accounts(database, DOMAIN).add(f"alice@{DOMAIN}", "secret", 1)
    [account] = Accounts(database, DOMAIN).all()
    assert account.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Cost(64, 3).hasher().memory_cost == 65_536


def test_without_accounts_it_is_todays(database: Database) -> None:
    assert "$m=8,t=1,p=1$" in StandIns(database, CHEAP_HASHER).hash(STRANGERS[0], 1)


def test_what_stands_in_is_nobodys_password(database: Database) -> None:
    hashed = StandIns(database, CHEAP_HASHER).hash(STRANGERS[0], 1)
    with pytest.raises(VerificationError):
        CHEAP_HASHER.verify(hashed, "")


def test_after_the_cost_was_changed_strangers_are_as_slow_as_accounts_are(
    database: Database,
) -> None:
    """None in a hundred would be, if all had today's cost: whoever is slow has an account."""
    people(database, DEARER, "old")
    stand_ins = StandIns(database, CHEAP_HASHER)
    assert dear(stand_ins, 1) == set(STRANGERS)
    people(database, CHEAP_HASHER, "new")
    assert dear(stand_ins, 2) == set(STRANGERS)
    half = dear(stand_ins, 60_001)
    assert 50 < len(half) < 150
    assert dear(StandIns(database, CHEAP_HASHER), 1) == half, "another time says who is nobody"


def test_who_has_used_a_password_since_then_is_no_longer(database: Database) -> None:
    accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
    for email in people(database, DEARER, "old"):
        assert accounts.verify(email, "secret", 2)
    assert dear(StandIns(database, CHEAP_HASHER), 3) == set()
