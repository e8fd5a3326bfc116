"""Servers as somebody names them, and as they are guessed."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.candidates import Candidate, Source, guesses, read_option


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("mail.example.org", [(993, "tls"), (143, "starttls")]),
        ("Mail.Example.org/starttls", [(143, "starttls")]),
        ("mail.example.org:993", [(993, "tls")]),
        ("mail.example.org:143", [(143, "starttls")]),
        ("mail.example.org:1993", [(1993, "tls"), (1993, "starttls")]),
        ("mail.example.org:1993/starttls", [(1993, "starttls")]),
        ("localhost:143/tls", [(143, "tls")]),
    ],
)
def test_what_somebody_names(text: str, meant: list[tuple[int, str]]) -> None:
    named = read_option(text, Kind.IMAP)
    assert [(each.port, each.security) for each in named] == meant
    assert {each.source for each in named} == {Source.OPTION}
    assert {each.host for each in named} == {text.partition("/")[0].partition(":")[0].lower()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":993",
        "192.0.2.1",
        "[2001:db8::1]:993",
        "mail.example.org:",
        "mail.example.org:0",
        "mail.example.org:65536",
        "mail.example.org:imaps",
        "mail.example.org:993/",
        "mail.example.org:993/none",
        "imaps://mail.example.org",
        "mail example.org",
        "mail.example.org\n",
        "mail.example.org:٩٩٣",
    ],
)
def test_what_nobody_means(text: str) -> None:
    with pytest.raises(BrowserIDError) as caught:
        read_option(text, Kind.IMAP)
    assert caught.value.code is Code.INVALID_PARAMETER


def test_usual_names_are_guessed_with_tls_first() -> None:
    found = [(each.host, each.port) for each in guesses("example.org", Kind.SUBMISSION)]
    assert found == [
        (host, port)
        for host in ("smtp.example.org", "mail.example.org", "example.org")
        for port in (465, 587)
    ]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("example.org", True),
        ("mail.example.org", True),
        ("notexample.org", False),
        ("example.org.attacker.test", False),
    ],
)
def test_whose_name_it_is(host: str, own: bool) -> None:
    candidate = Candidate(Kind.IMAP, host, 993, Security.TLS, Source.DNS)
    assert candidate.belongs_to("example.org") is own
