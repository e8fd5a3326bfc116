"""Who is on a list: exact domains and addresses, and nobody who only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.identity.allow_list import EVERYONE, AllowList

LIST = AllowList(frozenset({"example.org", "staff.example.net", "Bob@example.com"}))


@pytest.mark.parametrize(
    "address",
    [
        *("alice@example.org", "alice@EXAMPLE.ORG", "Bob@Example.Org", "bob@staff.example.net"),
        *("Bob@example.com", "Bob@EXAMPLE.com", "jörg@example.org", "*@example.org"),
    ],
)
def test_a_domain_compares_without_case_and_the_part_before_it_exactly(address: str) -> None:
    assert LIST.admits(address)


@pytest.mark.parametrize(
    "address",
    [
        # Another domain with the name in it.
        *("alice@example.org.evil.test", "alice@evilexample.org", "alice@sub.example.org"),
        *("alice@example.net", "alice@org", "alice@example.orgevil", "alice@example-org"),
        *("alice@exampleXorg", "alice@xn--example.org"),
        # Another spelling of the name.
        *("alice@example.org.", "alice@.example.org", "alice@example..org", "alice@example.org\n"),
        *(
            "alice@\uff45xample.org",
            "alice@\u0435xample.org",
            "alice@example。org",
            "alice@exam\u00adple.org",
        ),
        *("alice@\u017ftaff.example.net", "alice@e\u0301xample.org", "alice@\u212a.org"),
        # Another person, or none.
        *("bob@example.com", "BOB@example.com", "Bob@sub.example.com", "alice@example.com"),
        *("Bob@example.com.evil.test", "Bob.@example.com", "\u0412ob@example.com", "Bob"),
        # Not an address.
        *(
            "",
            "@",
            "@example.org",
            "example.org",
            "alice@",
            "*",
            EVERYONE + "@",
            "Bob@example.com@",
        ),
        *("alice@example.org@evil.test", "alice@evil.test@example.org", "al ice@example.org"),
        *(
            "alice@example.org\0",
            "alice\n@example.org",
            "alice@example.org/x",
            f"{'a' * 65}@example.org",
        ),
    ],
)
def test_nobody_else_is_on_it(address: str) -> None:
    assert not LIST.admits(address)


def test_an_empty_list_admits_nobody() -> None:
    assert not AllowList(frozenset()).admits("alice@example.org")


def test_everyone_is_every_address_and_nothing_else() -> None:
    everyone = AllowList(frozenset({EVERYONE}))
    assert everyone.admits("alice@example.org")
    assert everyone.admits("eve@evil.test")
    assert not everyone.admits("eve")
    assert not everyone.admits("eve@evil.test@example.org")


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_surrounds_a_name_makes_it_another(before: str, after: str) -> None:
    domain = f"{before}example.org{after}"
    if domain.lower() != "example.org":
        assert not LIST.admits(f"alice@{domain}")
