"""The search: who is asked, who is tried, and who counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.candidates import Candidate, Source, read_option
from browserid_sasl.proxy.finding.records import Records
from browserid_sasl.proxy.finding.search import Found, Search

ADDRESS = "alice@example.org"
OURS = ("BROWSERID-AES128-PLUS", "BROWSERID-AES128", "PLAIN")
IMAP = Candidate(Kind.IMAP, "mail.example.org", 993, Security.TLS, Source.DNS)
SMTP = Candidate(Kind.SUBMISSION, "mail.example.org", 465, Security.TLS, Source.DNS)


class World:
    """A network.

    :param servers: the mechanisms that are offered, by host and port.
    """

    def __init__(
        self,
        servers: Mapping[tuple[str, int], Sequence[str]],
        *records: Candidate,
        document: Sequence[Candidate] = (),
        refused: frozenset[tuple[Kind, Security]] = frozenset(),
    ) -> None:
        self._servers = servers
        self._records = Records(records, refused)
        self._document = document
        self.asked: list[Candidate] = []

    def find(self) -> Found:
        return asyncio.run(self.search.find(ADDRESS))

    @property
    def search(self) -> Search:
        return Search(
            self._look_up, lambda address: list(self._document), self._probe, ["BROWSERID-AES128"]
        )

    async def _look_up(self, domain: str) -> Records:
        assert domain == "example.org"
        return self._records

    async def _probe(self, candidate: Candidate) -> Sequence[str]:
        self.asked.append(candidate)
        offered = self._servers.get((candidate.host, candidate.port))
        if offered is None:
            raise RemoteProtocolError(Code.UNAVAILABLE, "nobody is there")
        return offered


def test_what_dns_says_and_is_good_is_taken() -> None:
    world = World({("mail.example.org", 993): OURS, ("mail.example.org", 465): OURS}, IMAP, SMTP)
    found = world.find()
    assert found.servers == (IMAP, SMTP)
    # Only what nobody has told is guessed.
    guessed = {each.kind for each in world.asked if each.source is Source.GUESS}
    assert guessed == {Kind.POP, Kind.SIEVE}


def test_the_first_that_is_good_counts() -> None:
    bad, good = replace(IMAP, host="a.example.org"), replace(IMAP, host="b.example.org")
    world = World({("a.example.org", 993): ["PLAIN"], ("b.example.org", 993): OURS}, bad, good)
    found = world.find()
    assert found.servers == (good,)
    assert found.tried[0].candidate == bad
    assert "no login with BROWSERID-AES128" in found.tried[0].why


def test_a_document_comes_after_dns_and_before_guesses() -> None:
    told = replace(IMAP, host="told.example.org", source=Source.AUTOCONFIG)
    world = World(
        {("told.example.org", 993): OURS, ("imap.example.org", 993): OURS}, document=[told]
    )
    assert world.find().servers == (told,)


def test_usual_names_are_tried() -> None:
    world = World({("imap.example.org", 143): ["BROWSERID-AES128"], ("example.org", 4190): OURS})
    assert [str(each) for each in world.find().servers] == [
        "imap.example.org:143 (starttls)",
        "example.org:4190 (starttls)",
    ]


def test_what_the_domain_says_it_has_not_is_not_guessed() -> None:
    refused = frozenset({(Kind.POP, Security.TLS), (Kind.POP, Security.STARTTLS)})
    world = World({("pop.example.org", 995): OURS}, refused=refused)
    assert world.find().servers == ()
    assert not [each for each in world.asked if each.kind is Kind.POP]


def test_nothing_is_tried_twice() -> None:
    world = World({}, IMAP, document=[replace(IMAP, source=Source.AUTOCONFIG)])
    world.find()
    assert len({each.place for each in world.asked}) == len(world.asked)


@pytest.mark.parametrize("source", [Source.DNS, Source.AUTOCONFIG])
def test_another_domains_server_is_for_the_person_to_judge(source: Source) -> None:
    other = replace(IMAP, host="mail.hoster.test", source=source)
    world = World({("mail.hoster.test", 993): OURS}, other)
    assert world.find().elsewhere(ADDRESS) == [other]
    named = asyncio.run(world.search.see(read_option("mail.hoster.test:993", Kind.IMAP)))
    assert [each.host for each in named.servers] == ["mail.hoster.test"]
    assert named.elsewhere(ADDRESS) == []


def test_of_hosts_that_were_named_no_other_counts() -> None:
    other = replace(IMAP, host="mail.hoster.test", port=1993)
    servers = [("mail.hoster.test", 1993), ("mail.hoster.test", 587), ("mail.example.org", 993)]
    world = World(dict.fromkeys(servers, OURS), IMAP, other)
    found = asyncio.run(world.search.find(ADDRESS, ["mail.hoster.test"]))
    assert [(each.host, each.port) for each in found.servers] == servers[:2]
    assert {each.host for each in world.asked} == {"mail.hoster.test"}


def test_a_mechanism_of_another_strength_is_not_ours() -> None:
    assert World({("mail.example.org", 993): ["BROWSERID-AES256"]}, IMAP).find().servers == ()
