"""The search for a domain's servers: told by options, by DNS, by a document, guessed; then tried.

A server counts that proves its name by TLS and offers a mechanism of the person's. What nobody
proves, the name in DNS, never leads to another domain's server without the person's consent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from browserid_sasl.agent.apart import apart
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.gss.mechanisms import PLUS
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.candidates import Candidate, Source, everywhere, guesses
from browserid_sasl.proxy.finding.records import Records

_AT_ONCE: Final = 16

Probe = Callable[[Candidate], Awaitable[Sequence[str]]]
"""The SASL mechanisms that a server offers under TLS that was verified. Raises BrowserIDError."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A server that is not the one.

    :param why: in words.
    :param answered: whether it has said what it offers.
    """

    candidate: Candidate
    why: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a search.

    :param servers: at most one of a kind.
    :param tried: what was no good.
    :param silent: why the name servers are not believed to have said all; empty if they are.
    """

    servers: tuple[Candidate, ...]
    tried: tuple[Tried, ...]
    silent: str = ""

    def told(self, kinds: Iterable[Kind]) -> list[Tried]:
        """What is worth telling of those that are no good: what was guessed only if it answered."""
        wanted = set(kinds)
        return [
            each
            for each in self.tried
            if each.candidate.kind in wanted
            and (each.answered or each.candidate.source is not Source.GUESS)
        ]

    def elsewhere(self, address: str) -> list[Candidate]:
        """The servers that are another domain's, and that the person has not named."""
        domain = domain_of(address) or ""
        return [
            each
            for each in self.servers
            if each.source is not Source.OPTION and not each.belongs_to(domain)
        ]


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look, and how.

    :param look_up: asks the name servers of a domain.
    :param fetch: gets the servers of an address from its domain's document. Takes its time.
    :param probe: asks a server.
    :param mechanisms: those of the person, without ``-PLUS``.
    """

    look_up: Callable[[str], Awaitable[Records]]
    fetch: Callable[[str], list[Candidate]]
    probe: Probe
    mechanisms: Sequence[str]

    async def find(self, address: str, hosts: Sequence[str] = ()) -> Found:
        """The servers of an address, one of each kind as far as there are any.

        :param hosts: those that count; none for the domain's, and what it says.
        """
        domain = domain_of(address) or ""
        records, document = await asyncio.gather(self.look_up(domain), apart(self.fetch, address))
        stages: list[list[Candidate]] = [list(records.candidates), document]
        if hosts:
            stages = [[each for each in stage if each.host in hosts] for stage in stages]
            stages.append([each for host in hosts for each in everywhere(host)])
        else:
            stages.append(
                [
                    each
                    for kind in Kind
                    for each in guesses(domain, kind)
                    if (kind, each.security) not in records.refused
                ]
            )
        found = await self._try_stages(stages)
        return Found(found.servers, found.tried, records.silent)

    async def see(self, named: Iterable[Candidate]) -> Found:
        """Those of the servers that the person has named that are good."""
        return await self._try_stages([list(named)])

    async def _try_stages(self, stages: Sequence[Sequence[Candidate]]) -> Found:
        servers: dict[Kind, Candidate] = {}
        tried: list[Tried] = []
        known: set[tuple[Kind, str, int, Security]] = set()
        places = asyncio.Semaphore(_AT_ONCE)
        for stage in stages:
            wanted = [
                each for each in stage if each.kind not in servers and each.place not in known
            ]
            known |= {each.place for each in wanted}
            of_kinds = ([each for each in wanted if each.kind is kind] for kind in Kind)
            for found in await asyncio.gather(*(self._first(each, places) for each in of_kinds)):
                servers |= {each.kind: each for each in found.servers}
                tried += found.tried
        ordered = tuple(servers[kind] for kind in Kind if kind in servers)
        return Found(ordered, tuple(tried))

    async def _first(self, candidates: Sequence[Candidate], places: asyncio.Semaphore) -> Found:
        """The first that is good; those after it are not waited for."""
        tasks = [asyncio.create_task(self._try(each, places)) for each in candidates]
        tried: list[Tried] = []
        try:
            for candidate, task in zip(candidates, tasks, strict=True):
                why = await task
                if why is None:
                    return Found((candidate,), tuple(tried))
                tried.append(why)
        finally:
            for task in tasks:
                task.cancel()
        return Found((), tuple(tried))

    async def _try(self, candidate: Candidate, places: asyncio.Semaphore) -> Tried | None:
        """Why a server is no good; None if it is."""
        async with places:
            try:
                offered = await self.probe(candidate)
            except BrowserIDError as error:
                return Tried(candidate, error.message)
        if any(name.removesuffix(PLUS) in self.mechanisms for name in offered):
            return None
        wanted = " or ".join(self.mechanisms)
        return Tried(candidate, f"it offers no login with {wanted}", answered=True)
