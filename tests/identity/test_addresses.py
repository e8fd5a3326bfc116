"""E-mail addresses and domain names as certificates carry them."""

from __future__ import annotations

import pytest

from browserid_sasl.identity.addresses import domain_of, is_domain, read_domain

LONGEST_LABEL = "a" * 63

DOMAINS = [
    "example.org",
    "idp.test",
    "localhost",
    "a.b.c.d.e",
    "xn--bcher-kva.example",
    "1and1.example",
    "7.example",
    "a--b.example",
    f"{LONGEST_LABEL}.{LONGEST_LABEL}.{LONGEST_LABEL}.{'a' * 61}",
]
NOT_DOMAINS = [
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


@pytest.mark.parametrize("text", NOT_DOMAINS, ids=ascii)
def test_nothing_else_is(text: str) -> None:
    assert not is_domain(text)


@pytest.mark.parametrize("text", ["\u212aelvin.example", "e\u0130.example", "e\u017f.example"])
def test_case_is_that_of_ascii(text: str) -> None:
    assert read_domain(text) is None
    assert domain_of(f"alice@{text}") is None


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("alice@idp.test", "idp.test"),
        ("Alice@IDP.Test", "idp.test"),
        ("a@localhost", "localhost"),
        ("o'hara+tag=x,y/z@example.org", "example.org"),
        ("zo\u00eb@example.org", "example.org"),
        (f"{'a' * 64}@example.org", "example.org"),
    ],
)
def test_an_address_has_a_domain(address: str, domain: str) -> None:
    assert domain_of(address) == domain


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
