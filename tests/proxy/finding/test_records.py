"""What name servers say of a domain's mail servers, and what is made of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dns.asyncresolver
import dns.resolver
import pytest

from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding import records
from browserid_sasl.proxy.finding.candidates import Candidate, Source
from browserid_sasl.proxy.finding.records import Records, in_order
from tests.support.name_server import BROKEN, SILENT, Zone, name_server

DOMAIN = "example.org"


def looked_up(zone: Zone) -> Records:
    with name_server({f"{label}._tcp.{DOMAIN}": told for label, told in zone.items()}) as server:
        return asyncio.run(records.look_up(DOMAIN, server.resolver))


def test_each_label_is_a_service_and_a_way() -> None:
    labels = ("_imaps", "_imap", "_pop3s", "_pop3", "_submissions", "_submission", "_sieve")
    zone = {label: [f"0 1 {port} Mail.example.org."] for port, label in enumerate(labels, 1)}
    found = [(each.kind, each.port, each.security) for each in looked_up(zone).candidates]
    assert found == [
        (Kind.IMAP, 1, Security.TLS),
        (Kind.IMAP, 2, Security.STARTTLS),
        (Kind.POP, 3, Security.TLS),
        (Kind.POP, 4, Security.STARTTLS),
        (Kind.SUBMISSION, 5, Security.TLS),
        (Kind.SUBMISSION, 6, Security.STARTTLS),
        (Kind.SIEVE, 7, Security.STARTTLS),
    ]
    assert {each.host for each in looked_up(zone).candidates} == {"mail.example.org"}


def test_a_lower_priority_comes_first() -> None:
    told = looked_up({"_imaps": ["20 9 993 second.example.org.", "10 0 1993 first.example.org."]})
    assert told.candidates == (
        Candidate(Kind.IMAP, "first.example.org", 1993, Security.TLS, Source.DNS),
        Candidate(Kind.IMAP, "second.example.org", 993, Security.TLS, Source.DNS),
    )
    assert told.silent == ""


@dataclass(frozen=True)
class Record:
    name: str
    priority: int
    weight: int


def test_the_lot_falls_as_they_weigh() -> None:
    chance = random.Random(1)
    heavy, light, last = Record("heavy", 1, 90), Record("light", 1, 10), Record("last", 2, 999)
    drawn = [in_order([last, light, heavy], chance) for _ in range(1000)]
    assert {each[2].name for each in drawn} == {"last"}
    assert 850 < Counter(each[0].name for each in drawn)["heavy"] < 950
    assert in_order([Record("a", 1, 0), Record("b", 1, 0)], chance)[0].name == "a"


def test_a_dot_says_that_there_is_none() -> None:
    told = looked_up({"_pop3s": ["0 0 0 ."], "_imaps": ["0 1 993 mail.example.org."]})
    assert told.refused == {(Kind.POP, Security.TLS)}
    assert [each.kind for each in told.candidates] == [Kind.IMAP]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("0 1 0 mail.example.org.", id="port 0"),
        pytest.param("0 1 993 192.0.2.1.", id="an address"),
        pytest.param(r"0 1 993 ma\032il.example.org.", id="a space"),
        pytest.param(r"0 1 993 mail\010.example.org.", id="a line"),
        pytest.param("0 1 993 under_score.example.org.", id="no host's name"),
    ],
)
def test_what_is_no_server_is_left_out(record: str) -> None:
    assert looked_up({"_imaps": [record]}).candidates == ()


def test_no_more_than_a_few_are_looked_at() -> None:
    zone = {"_imaps": [f"{number} 1 993 m{number}.example.org." for number in range(40)]}
    told = looked_up(zone)
    assert [each.host for each in told.candidates] == [f"m{n}.example.org" for n in range(8)]


def test_no_records_are_no_failure() -> None:
    assert looked_up({}) == Records((), frozenset())


def test_a_server_that_is_broken_is_told_and_costs_only_its_own() -> None:
    told = looked_up({"_imaps": ["0 1 993 mail.example.org."], "_sieve": BROKEN})
    assert [each.kind for each in told.candidates] == [Kind.IMAP]
    assert told.silent


def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LIMIT_S", 0.5)
    told = looked_up({"_imaps": SILENT})
    assert told.candidates == ()
    assert "do not answer within" in told.silent


def test_a_system_without_name_servers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> dns.asyncresolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", none)
    told = asyncio.run(records.look_up(DOMAIN))
    assert told.candidates == ()
    assert told.silent
