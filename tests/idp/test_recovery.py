"""Recovery codes: each once, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.recovery import RecoveryCodes
from browserid_sasl.idp.schema import bring_up_to_date
from tests.support.auditing import audit_log
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN

BOB = f"bob@{DOMAIN}"
CLIENT = "192.0.2.1"
NOW = 1_800_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "provider.sqlite")
    bring_up_to_date(database)
    accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
    for address in (ALICE, BOB):
        accounts.add_without_password(address, NOW)
    return database


@pytest.fixture
def codes(database: Database, tmp_path: Path) -> RecoveryCodes:
    return RecoveryCodes(database, audit_log(database, tmp_path))


def test_there_are_ten_and_each_is_good_once(codes: RecoveryCodes) -> None:
    made = codes.renew(ALICE, CLIENT, NOW)
    assert len(set(made)) == codes.left(ALICE) == 10
    for left, code in enumerate(made):
        assert codes.use(ALICE, code, CLIENT, NOW)
        assert not codes.use(ALICE, code, CLIENT, NOW)
        assert codes.left(ALICE) == 9 - left


def test_another_set_takes_the_place_of_the_first(codes: RecoveryCodes) -> None:
    old, new = codes.renew(ALICE, CLIENT, NOW), codes.renew(ALICE, CLIENT, NOW)
    assert not any(codes.use(ALICE, code, CLIENT, NOW) for code in old)
    assert all(codes.use(ALICE, code, CLIENT, NOW) for code in new)


def test_they_are_their_owner_s(codes: RecoveryCodes) -> None:
    code, *_ = codes.renew(ALICE, CLIENT, NOW)
    assert not codes.use(BOB, code, CLIENT, NOW)
    codes.renew(BOB, CLIENT, NOW)
    codes.remove(BOB)
    assert (codes.left(BOB), codes.left(ALICE)) == (0, 10)
    assert codes.use(ALICE, code, CLIENT, NOW)


def test_people_copy_them_from_paper(codes: RecoveryCodes) -> None:
    while "0" not in (code := codes.renew(ALICE, CLIENT, NOW)[0]) or "1" not in code:
        pass
    typed = f" {code.upper().replace('-', ' ').replace('0', 'O').replace('1', 'l')} "
    assert codes.use(ALICE, typed, CLIENT, NOW)


@pytest.mark.parametrize("code", ["", "-", "x" * 100_000, "0000-0000-0000-0000", "\ud800"])
def test_what_is_no_code(codes: RecoveryCodes, code: str) -> None:
    codes.renew(ALICE, CLIENT, NOW)
    assert not codes.use(ALICE, code, CLIENT, NOW)


def test_they_are_not_kept_themselves(codes: RecoveryCodes, tmp_path: Path) -> None:
    made = codes.renew(ALICE, CLIENT, NOW)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for code in made:
            assert code.encode() not in content
            assert code.replace("-", "").encode() not in content


def test_they_go_with_the_account(codes: RecoveryCodes, database: Database) -> None:
    codes.renew(ALICE, CLIENT, NOW)
    Accounts(database, DOMAIN, hasher=CHEAP_HASHER).remove(ALICE)
    assert codes.left(ALICE) == 0


def test_what_happens_is_logged(codes: RecoveryCodes, tmp_path: Path) -> None:
    code, *_ = codes.renew(ALICE, CLIENT, NOW)
    codes.use(ALICE, code, CLIENT, NOW)
    lines = (tmp_path / "audit.log").read_text().splitlines()
    made, used = map(json.loads, lines)
    assert made["event"] == "recovery-codes-made"
    assert (used["event"], used["email"], used["left"]) == ("recovery-code-used", ALICE, 9)
