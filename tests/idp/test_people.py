"""The people of a domain, as an administrator finds them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import insert

from browserid_sasl.identity.addresses import MAX_ADDRESS
from browserid_sasl.idp.backends import Vouched
from browserid_sasl.idp.database import Account
from browserid_sasl.idp.folder import Provider
from tests.support.authenticator import Authenticator
from tests.support.grants import ALICE, BOB, CLIENT, DOMAIN, NOW, provider_in
from tests.support.provider import CHEAP_HASHER
from tests.support.statements import statements

CAROL = f"carol@{DOMAIN}"
MANY = 100_000
PAGE = 50


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    provider = provider_in(tmp_path)
    provider.accounts._hasher = CHEAP_HASHER
    return provider


def found(provider: Provider, text: str, after: str = "") -> list[str]:
    return [each.email for each in provider.people.search(text, NOW, PAGE, after=after)]


def test_each_has_what_can_be_signed_in_with(provider: Provider) -> None:
    provider.accounts.set_password(ALICE, "secret", NOW)
    provider.administrators.add(ALICE, "uid 0", NOW)
    passkeys = provider.passkeys
    answer = Authenticator().create(passkeys.registration_options(ALICE, NOW))
    passkeys.register(ALICE, answer, "", CLIENT, NOW)
    provider.invitations.make(BOB, "uid 0", NOW)
    provider.outside.vouch("staff", Vouched(CAROL, "1"), CLIENT, NOW)
    alice, bob, carol = provider.people.search("", NOW, PAGE)
    assert (alice.password, alice.passkeys, alice.administrator) == (True, 1, True)
    assert (alice.backend, alice.second_factor, alice.invited) == ("", False, False)
    assert (bob.invited, bob.can_sign_in, bob.administrator) == (True, False, False)
    assert (carol.backend, carol.password, carol.can_sign_in) == ("staff", False, True)
    assert provider.people.find(ALICE, NOW) == alice
    assert provider.people.find(f"nobody@{DOMAIN}", NOW) is None


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("", [ALICE, "a_b@example.test", BOB]),
        ("ALI", [ALICE]),
        ("_", ["a_b@example.test"]),
        ("%", []),
        ("\\", []),
        ("a%b", []),
        ("' OR 1=1 --", []),
        ("\0", []),
    ],
)
def test_a_text_stands_for_itself(provider: Provider, text: str, emails: list[str]) -> None:
    provider.accounts.add_without_password("a_b@example.test", NOW)
    assert sorted(found(provider, text)) == sorted(emails)


def test_page_by_page(provider: Provider) -> None:
    provider.accounts.add_without_password(CAROL, NOW)
    first = [each.email for each in provider.people.search("", NOW, 2)]
    assert first == [ALICE, BOB]
    assert found(provider, "", after=first[-1]) == [CAROL]


def test_a_text_that_is_longer_than_an_address_is_in_none(provider: Provider) -> None:
    for length in (MAX_ADDRESS + 1, 60_000):
        assert found(provider, "a" * length) == []


def test_a_hundred_thousand_are_found_by_an_index(provider: Provider) -> None:
    """A page takes as long as one of ten people; a search reads addresses, and nothing else."""
    with provider.database.transaction() as session:
        session.execute(
            insert(Account),
            [
                {"email": f"p{n:06}@{DOMAIN}", "password": "", "created": NOW, "changed": NOW}
                for n in range(MANY)
            ],
        )
    with statements() as asked:
        page = found(provider, "", after=f"p{MANY // 2:06}@{DOMAIN}")
        assert page[0] == f"p{MANY // 2 + 1:06}@{DOMAIN}"
        assert len(page) == PAGE
        began = time.process_time()
        assert found(provider, "p09999") == [f"p09999{n}@{DOMAIN}" for n in range(10)]
        assert time.process_time() - began < 2
    for statement, parameters in asked:
        if not statement.startswith("SELECT"):
            continue
        with provider.database.reading() as session:
            plan = session.connection().exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
            assert not [row[3] for row in plan if row[3].startswith(("SCAN", "USE TEMP"))], (
                statement
            )
