"""Domains that people take for one another."""

from __future__ import annotations

import pytest

from browserid_sasl.identity import look_alikes as module
from browserid_sasl.identity.look_alikes import _look, letters_of, look_alikes, shown_domain


def ace(label: str) -> str:
    """A label in ASCII."""
    return f"xn--{label.encode('punycode').decode()}"


@pytest.mark.parametrize(
    "other",
    [
        *("examp1e.org", "exarnple.org", "exampie.org", "ex-ample.org", "examp-le.org"),
        *(ace(each) + ".org" for each in ("exämple", "\u0435\u0445\u0430mple", "ex\u03b1mple")),
    ],
)
def test_what_looks_like_a_domain_is_noticed(other: str) -> None:
    assert list(look_alikes(["a.test", "example.org", other])) == [("example.org", other)]


@pytest.mark.parametrize("other", ["example.net", "sample.org", "examples.org", "org.example"])
def test_what_does_not_is_not(other: str) -> None:
    assert list(look_alikes(["example.org", other])) == []


def test_a_domain_is_no_look_alike_of_itself() -> None:
    assert list(look_alikes(["example.org", "example.org"])) == []


def test_all_pairs_are_found_with_one_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def look(domain: str) -> str:
        looked_at.append(domain)
        return _look(domain)

    monkeypatch.setattr(module, "_look", look)
    others = [f"a{number}.test" for number in range(2, 100)]
    domains = ["one.test", *others, "0ne.test", "ohe.test", "on-e.test"]
    assert list(look_alikes(domains)) == [
        ("one.test", "0ne.test"),
        ("one.test", "on-e.test"),
        ("0ne.test", "on-e.test"),
    ]
    assert looked_at == domains


def test_people_see_the_letters() -> None:
    assert shown_domain(f"www.{ace('bücher')}.example") == "www.bücher.example"
    assert shown_domain("example.org") == "example.org"


@pytest.mark.parametrize(
    "label",
    [
        *("xn--", "xn--a", "xn--example-", "xn--99999999999"),
        # Capitals, compatibility forms and invisible ones would be a second spelling.
        *(ace("Bücher"), ace("büche\N{LATIN SMALL LIGATURE FI}"), ace("a\u200bb"), ace("a\u202eb")),
        ace("u\N{COMBINING DIAERESIS}ber"),
    ],
)
def test_what_stands_for_nothing_or_for_another_is_no_label(label: str) -> None:
    assert letters_of(label) is None
