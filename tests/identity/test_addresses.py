"""E-mail addresses and domain names as certificates carry them."""

from __future__ import annotations

import socket

import pytest

from browserid_sasl.config import syntax
from browserid_sasl.identity.addresses import (
    domain_of,
    is_domain,
    is_host_name,
    is_same_address,
    read_domain,
    user_name,
    without_needless_quotes,
)

LONGEST_LABEL = "a" * 63

DOMAINS = [
    "example.org",
    "idp.test",
    "a.b.c.d.e",
    "0x8.example",
    "1.2.3.4.example",
    "example.x8",
    "xn--bcher-kva.example",
    "1and1.example",
    "7.example",
    "a--b.example",
    f"{LONGEST_LABEL}.{LONGEST_LABEL}.{LONGEST_LABEL}.{'a' * 61}",
]
NOT_EVEN_HOST_NAMES = [
    "",
    ".",
    "example.org.",
    ".example.org",
    "example..org",
    "-a.example",
    "a-.example",
    "under_score.example",
    "ex ample.org",
    "example.org\n",
    "example.org:443",
    "user@example.org",
    "https://example.org",
    "example.org/path",
    "127.0.0.1",
    "2130706433",
    "example.1",
    "127.1",
    "017700000001",
    "0x7f000001",
    "0x8.0x8.0x8.0x8",
    "8.8.8.0X8",
    "8.8.8.0x",
    "example.0x1f",
    "example.org-",
    "[::1]",
    "::1",
    "b\u00fccher.example",
    "example\u3002org",
    "\u212aelvin.example",
    "Example.org",
    f"{LONGEST_LABEL}a.example",
    f"{LONGEST_LABEL}.{LONGEST_LABEL}.{LONGEST_LABEL}.{'a' * 62}",
]


@pytest.mark.parametrize("text", DOMAINS)
def test_a_host_name_is_a_domain(text: str) -> None:
    assert is_domain(text)
    assert read_domain(text.upper()) == text


@pytest.mark.parametrize("text", NOT_EVEN_HOST_NAMES, ids=ascii)
def test_nothing_else_is(text: str) -> None:
    assert not is_domain(text)
    assert not is_host_name(text)


@pytest.mark.parametrize("text", ["localhost", "intranet", "org", "4f5d6e7a8b9c", "xn--p1ai"])
def test_a_name_without_a_dot_is_that_of_a_host_and_of_no_domain(text: str) -> None:
    assert is_host_name(text)
    assert not is_domain(text)
    assert read_domain(text) is None


@pytest.mark.parametrize("text", [*DOMAINS, *NOT_EVEN_HOST_NAMES], ids=ascii)
def test_the_configuration_has_the_same_rule(text: str) -> None:
    try:
        assert syntax.domain(text) == read_domain(text)
    except syntax.Unfit:
        assert read_domain(text) is None


@pytest.mark.parametrize("text", [*DOMAINS, "localhost", "4f5d6e7a8b9c"])
def test_no_host_name_is_an_address_to_the_systems_resolver(text: str) -> None:
    with pytest.raises(OSError):
        socket.inet_aton(text)


@pytest.mark.parametrize("text", ["\u212aelvin.example", "e\u0130.example", "e\u017f.example"])
def test_case_is_that_of_ascii(text: str) -> None:
    assert read_domain(text) is None
    assert domain_of(f"alice@{text}") is None


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("alice@idp.test", "idp.test"),
        ("Alice@IDP.Test", "idp.test"),
        ("o'hara+tag=x,y/z@example.org", "example.org"),
        ("zo\u00eb@example.org", "example.org"),
        (f"{'a' * 64}@example.org", "example.org"),
    ],
)
def test_an_address_has_a_domain(address: str, domain: str) -> None:
    assert domain_of(address) == domain


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("alice@idp.test", "alice@IDP.test", True),
        ("Alice@idp.test", "alice@idp.test", False),
        ("alice@idp.test", "alice@idp.test.", False),
        ("alice@kelvin.example", "alice@\u212aelvin.example", False),
        ("alice@idp.test", "bob@idp.test", False),
        ("alice", "alice", True),
        ("alice", "Alice", False),
        ("", "@", False),
    ],
)
def test_two_are_one_if_only_the_case_of_the_domain_differs(
    one: str, other: str, same: bool
) -> None:
    assert is_same_address(one, other) is is_same_address(other, one) is same


NOT_ADDRESSES = [
    "",
    "@",
    "alice",
    "alice@",
    "@example.org",
    "alice@bob@example.org",
    "alice @example.org",
    "alice\t@example.org",
    "alice\n@example.org",
    "alice\0@example.org",
    "alice\x7f@example.org",
    "alice@example.org ",
    "alice@exa mple.org",
    "alice@127.0.0.1",
    "alice@0x8.0x8.0x8.0x8",
    "alice@localhost",
    "alice\u200b@example.org",
    "alice\u202e@example.org",
    "alice\u00a0@example.org",
    "alice\ud800@example.org",
    f"{'a' * 65}@example.org",
    f"alice@{'a.' * 125}example",
    "alice@evil.example@",
    "<alice@example.org>",
]


@pytest.mark.parametrize("address", NOT_ADDRESSES, ids=ascii)
def test_what_is_no_address_has_none(address: str) -> None:
    assert domain_of(address) is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("alice@kelvin.example", "alice"),
        ("Alice@KELVIN.example", "Alice"),
        ("alice@kelvin.example.evil.test", "alice@kelvin.example.evil.test"),
        ("alice@sub.kelvin.example", "alice@sub.kelvin.example"),
        ("alice@my-kelvin.example", "alice@my-kelvin.example"),
        ("root@\u212aelvin.example", "root@\u212aelvin.example"),
        ("root@evil.test@kelvin.example", "root@evil.test@kelvin.example"),
        ("@kelvin.example", "@kelvin.example"),
        ("kelvin.example", "kelvin.example"),
        ("alice", "alice"),
        ("", ""),
    ],
)
def test_only_an_address_of_exactly_the_domain_loses_it(address: str, name: str) -> None:
    assert user_name(address, "kelvin.example") == name
    assert user_name(address, "") == address


@pytest.mark.parametrize(
    ("address", "usual"),
    [
        ('"o\'neil+x"@example.org', "o'neil+x@example.org"),
        (r'"a\l\ice"@example.org', "alice@example.org"),
        ('"Alice"@Example.org', "Alice@Example.org"),
        ("alice@example.org", "alice@example.org"),
        ('"o neil"@example.org', '"o neil"@example.org'),
        ('"a@b"@example.org', '"a@b"@example.org'),
        ('"a..b"@example.org', '"a..b"@example.org'),
        ('""@example.org', '""@example.org'),
        ('"a"b@example.org', '"a"b@example.org'),
        ('"a"@b@example.org', '"a"@b@example.org'),
        (r'"a\"@example.org', r'"a\"@example.org'),
        ('"\u00e4"@example.org', '"\u00e4"@example.org'),
    ],
)
def test_quotes_that_are_not_needed_are_left_out(address: str, usual: str) -> None:
    assert without_needless_quotes(address) == usual
