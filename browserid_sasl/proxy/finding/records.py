"""What a domain's name servers say of its mail servers (RFC 6186, RFC 8314 section 5.1, RFC 5804).

Nobody proves by DNS that they are the domain's: a name that is not the domain's own is for the
person to judge (RFC 6186 section 6).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from browserid_sasl.identity.addresses import in_lower_case, is_host_name
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.candidates import Candidate, Source

LIMIT_S: Final = 6.0
"""How long name servers are waited for."""

_LABELS: Final = (
    ("_imaps", Kind.IMAP, Security.TLS),
    ("_imap", Kind.IMAP, Security.STARTTLS),
    ("_pop3s", Kind.POP, Security.TLS),
    ("_pop3", Kind.POP, Security.STARTTLS),
    ("_submissions", Kind.SUBMISSION, Security.TLS),
    ("_submission", Kind.SUBMISSION, Security.STARTTLS),
    ("_sieve", Kind.SIEVE, Security.STARTTLS),
)
_MOST: Final = 8
"""Servers of a label that are looked at."""


@dataclass(frozen=True, slots=True)
class Records:
    """What was said.

    :param candidates: in the order in which they are to be tried.
    :param refused: what the domain says that it does not have: a target of ``.``.
    :param silent: why nothing is known of some, in words; empty if all were answered.
    """

    candidates: tuple[Candidate, ...]
    refused: frozenset[tuple[Kind, Security]]
    silent: str = ""


async def look_up(domain: str, resolver: dns.asyncresolver.Resolver | None = None) -> Records:
    """Ask the name servers. A server that is slow, lies or is not there costs `LIMIT_S`.

    :param resolver: None for that of the system.
    """
    try:
        resolver = resolver or dns.asyncresolver.Resolver()
    except dns.exception.DNSException as error:
        return Records((), frozenset(), str(error))
    answers = await asyncio.gather(
        *(_ask(resolver, f"{each[0]}._tcp.{domain}.") for each in _LABELS)
    )
    candidates: list[Candidate] = []
    refused: set[tuple[Kind, Security]] = set()
    for (_, kind, security), answer in zip(_LABELS, answers, strict=True):
        if isinstance(answer, str):
            continue
        if [str(each.target) for each in answer] == ["."]:
            refused.add((kind, security))
            continue
        for host, port in _usable(in_order(answer, random.SystemRandom())):
            candidates.append(Candidate(kind, host, port, security, Source.DNS))
    silent = next((each for each in answers if isinstance(each, str)), "")
    return Records(tuple(candidates), frozenset(refused), silent)


def in_order(records: Iterable[Any], chance: random.Random) -> list[Any]:
    """Records as RFC 2782 has them tried: by priority, and by lot as they weigh."""
    left, ordered = sorted(records, key=lambda each: (each.priority, each.weight)), []
    while left:
        first = [each for each in left if each.priority == left[0].priority]
        weights = [each.weight for each in first]
        [drawn] = chance.choices(first, weights) if any(weights) else first[:1]
        ordered.append(drawn)
        left.remove(drawn)
    return ordered


def _usable(records: Sequence[Any]) -> Iterator[tuple[str, int]]:
    for each in records[:_MOST]:
        host = in_lower_case(each.target.to_text(omit_final_dot=True))
        if is_host_name(host) and each.port:
            yield host, each.port


async def _ask(resolver: dns.asyncresolver.Resolver, name: str) -> list[Any] | str:
    """The records of a name, or why they are not known."""
    try:
        return list(await resolver.resolve(name, "SRV", search=False, lifetime=LIMIT_S))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.resolver.LifetimeTimeout:
        return f"the name servers do not answer within {LIMIT_S:g} s"
    except (dns.exception.DNSException, OSError) as error:
        return f"the name servers do not answer ({type(error).__name__})"
