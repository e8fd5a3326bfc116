"""Invitations: whom a link is for, and what spends it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.invitations import LIFE_MS, Invitations
from browserid_sasl.web.refusal import RefusedError
from tests.support.auditing import audit_log
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN

BOB = f"bob@{DOMAIN}"
CLIENT = "192.0.2.1"
NOW = 1_800_000_000_000


@pytest.fixture
def accounts(database: Database) -> Accounts:
    accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
    for address in (ALICE, BOB):
        accounts.add_without_password(address, NOW)
    return accounts


@pytest.fixture
def invitations(database: Database, accounts: Accounts, tmp_path: Path) -> Invitations:
    return Invitations(database, audit_log(database, tmp_path))


def accept(invitations: Invitations, token: str, now: int = NOW) -> str:
    with invitations.accepting(token, CLIENT, now) as email:
        return email


def test_a_look_spends_nothing_and_success_does(invitations: Invitations) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)
    assert [invitations.find(token, NOW) for _ in range(3)] == [ALICE] * 3
    assert accept(invitations, token) == ALICE
    assert invitations.find(token, NOW) is None
    with pytest.raises(RefusedError, match="ask your administrator for another") as caught:
        accept(invitations, token)
    assert (caught.value.status, caught.value.word) == (410, "invitation-spent")


def test_what_fails_spends_nothing_and_changes_nothing(
    invitations: Invitations, accounts: Accounts
) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)
    with pytest.raises(RuntimeError), invitations.accepting(token, CLIENT, NOW) as email:
        accounts.set_password(email, "secret", NOW)
        raise RuntimeError
    assert not accounts.has_password(ALICE)
    with invitations.accepting(token, CLIENT, NOW) as email:
        accounts.set_password(email, "secret", NOW)
    assert accounts.verify(ALICE, "secret", NOW)


def test_of_two_at_once_one_succeeds(invitations: Invitations, accounts: Accounts) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)

    def attempt(password: str) -> bool:
        try:
            with invitations.accepting(token, CLIENT, NOW) as email:
                accounts.set_password(email, password, NOW)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(attempt, "abcd")) == 1


def test_it_ends(invitations: Invitations) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)
    assert invitations.find(token, NOW + LIFE_MS - 1) == ALICE
    assert invitations.find(token, NOW + LIFE_MS) is None
    with pytest.raises(RefusedError):
        accept(invitations, token, NOW + LIFE_MS)
    short = invitations.make(ALICE, "uid 0", NOW, life=1000)
    assert invitations.find(short, NOW + 1000) is None


def test_another_makes_the_one_before_void(invitations: Invitations) -> None:
    stolen, bobs = (invitations.make(email, "uid 0", NOW) for email in (ALICE, BOB))
    token = invitations.make(ALICE, "uid 0", NOW)
    assert invitations.find(stolen, NOW) is None
    assert invitations.find(token, NOW) == ALICE
    assert invitations.find(bobs, NOW) == BOB


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 100_000, "\ud800", "'"])
def test_guesses(invitations: Invitations, token: str) -> None:
    invitations.make(ALICE, "uid 0", NOW)
    assert invitations.find(token, NOW) is None


def test_it_goes_with_the_account(invitations: Invitations, accounts: Accounts) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)
    accounts.remove(ALICE)
    accounts.add_without_password(ALICE, NOW)
    assert invitations.find(token, NOW) is None


def test_the_token_is_kept_nowhere(invitations: Invitations, tmp_path: Path) -> None:
    token = invitations.make(ALICE, "uid 0", NOW)
    accept(invitations, token)
    for path in tmp_path.iterdir():
        assert token.encode() not in path.read_bytes()
    events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(event["event"], event["email"]) for event in events] == [
        ("invited", ALICE),
        ("invitation-accepted", ALICE),
    ]
