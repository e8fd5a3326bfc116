"""Tables made from the code: mechanisms, error codes, derivations of keys, limits and times."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from browserid_sasl.config import Config
from browserid_sasl.errors import Code
from browserid_sasl.gss.enctypes import ENCTYPES
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from tools.diagrams import DERIVATIONS

def mechanisms() -> Iterator[str]:
    """The table of mechanisms."""
    offered = Config().server.mechanisms
    rows = (
        (
            f"`{row.name}`",
            ".".join(map(str, row.oid)),
            *_cryptography(row),
            "yes" if row.name in offered else "no",
        )
        for row in MECHANISMS
    )
    return _table(
        ("SASL name", "OID", "encryption type", "key agreement", "offered by default"), rows
    )


def _cryptography(row: Mechanism) -> tuple[str, str]:
    if row.curve is None:
        return "none", "none"
    return f"{row.enctype}, {ENCTYPES[row.enctype].name}", f"ECDH on {row.curve.name}"


def error_codes() -> Iterator[str]:
    """The table of error codes."""
    rows = (
        (f"`{code.text}`", f"{code.table} {code.number}", f"`{code.wire:#x}`", _major(code))
        for code in Code
    )
    return _table(("code", "number", "`gss-min`", "GSS major status"), rows)


def _major(code: Code) -> str:
    return f"{code.major.name} (`{int(code.major):#x}`)"


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on what another party can make us do.

    :param what: is bounded.
    :param where: the constant, as ``package.module.NAME``, or the option, as ``[section] name``.
    :param unit: of the constant; ``ms`` is shown as a duration.
    """

    what: str
    where: str
    unit: str = ""

    def row(self) -> tuple[str, str, str]:
        """What, how much, and where it is set."""
        return self.what, _quantity(self._value(), self.unit), f"`{self.where}`"

    def _value(self) -> int:
        if self.where.startswith("["):
            section, name = self.where.removeprefix("[").split("] ")
            suffix = "_ms" if self.unit == "ms" else ""
            return _integer(getattr(Config(), section), name + suffix)
        module, _, name = self.where.rpartition(".")
        return _integer(importlib.import_module(f"browserid_sasl.{module}"), name)


LIMITS: Final = {
    "message-limits": (
        Limit("context token", "gss.tokens.MAX_LENGTH", "octets"),
        Limit("backed assertion", "identity.backed.MAX_LENGTH", "octets"),
        Limit("certificates in it that are parsed", "identity.backed.MAX_CERTIFICATES"),
        Limit("one signed token (JWT)", "jose.jwt.MAX_LENGTH", "characters"),
        Limit("JSON document", "jose.json.MAX_SIZE", "octets"),
        Limit("levels of nesting in it", "jose.json.MAX_DEPTH"),
        Limit("digits of a number in it", "jose.json.MAX_NUMBER_LENGTH"),
        Limit("GS2 header", "sasl.gs2.MAX_LENGTH", "octets"),
        Limit("`cb` of an assertion", "gss.claims.MAX_BINDING", "octets"),
        Limit("`nonce` and `jti`", "gss.claims.MAX_NONCE", "octets"),
        Limit("`opts` of an assertion", "gss.claims.MAX_OPTIONS", "entries"),
        Limit("service principal name", "gss.names.MAX_LENGTH", "characters"),
        Limit("e-mail address", "identity.addresses.MAX_ADDRESS", "characters"),
        Limit("X.509 certificates in `x5c`", "jose.jwt.MAX_X5C"),
        Limit("X.509 certificates in a chain", "gss.x509.MAX_CHAIN"),
        Limit("output of one call of the PRF", "gss.prf.MAX_OUTPUT", "octets"),
    ),
    "discovery-limits": (
        Limit("time to fetch one document, name resolution included", "[discovery] timeout", "ms"),
        Limit("size of a document", "[discovery] max_size", "octets"),
        Limit("delegations followed", "identity.authority.MAX_DELEGATIONS"),
        Limit("further keys in a document", "identity.support.MAX_KEYS"),
        Limit("a document is cached at least", "identity.authority.MIN_LIFETIME_MS", "ms"),
        Limit("and at most", "identity.authority.MAX_LIFETIME_MS", "ms"),
        Limit(
            "a failure is remembered, and a domain is not asked again for new keys,",
            "identity.authority.RETRY_MS",
            "ms",
        ),
        Limit("for this many domains", "identity.authority._MAX_REMEMBERED"),
    ),
    "store-limits": (
        Limit("assertions remembered", "store.sqlite.MAX_REPLAY_ENTRIES"),
        Limit("the same, in memory", "store.memory.MAX_REPLAY_ENTRIES"),
        Limit("tickets of a server", "store.sqlite.MAX_ACCEPTOR_TICKETS"),
        Limit("tickets of a client", "store.sqlite.MAX_INITIATOR_TICKETS"),
        Limit("the same, in memory", "store.memory.MAX_TICKETS"),
        Limit("attributes kept with a ticket", "store.sqlite.MAX_ATTRIBUTES_SIZE", "characters"),
        Limit("documents cached", "store.sqlite.MAX_AUTHORITIES"),
    ),
    "provider-limits": (
        Limit("request", "idp.certification.MAX_SIZE", "octets"),
        Limit("password", "idp.accounts.MAX_PASSWORD", "characters"),
        Limit("wrong passwords without a wait", "[idp] failed_sign_ins"),
        Limit("and they count for", "[idp] failed_sign_in_window", "ms"),
        Limit("life of a certificate", "[idp] certificate_life", "ms"),
    ),
    "times": (
        Limit("an assertion is good for", "[client] assertion_lifetime", "ms"),
        Limit("clocks may differ by", "[server] clock_skew", "ms"),
        Limit(
            "a replay store remembers an assertion beyond its expiry for",
            "store.base.REPLAY_GRACE",
            "ms",
        ),
        Limit("a certificate is issued for", "[idp] certificate_life", "ms"),
        Limit("a certificate is accepted that was issued for", "[server] max_certificate_life", "ms"),
        Limit("a ticket is good for", "[server] ticket_lifetime", "ms"),
        Limit(
            "a ticket can be renewed by use, counted from the login with a certificate, for",
            "[server] ticket_renew_limit",
            "ms",
        ),
    ),
}


def _limit_table(limits: Iterable[Limit]) -> Iterator[str]:
    return _table(("what", "at most", "where it is set"), (limit.row() for limit in limits))


def _time_table(limits: Iterable[Limit]) -> Iterator[str]:
    return _table(("", "by default", "where it is set"), (limit.row() for limit in limits))


def _integer(holder: Any, name: str) -> int:
    value = getattr(holder, name)
    if not isinstance(value, int):
        raise TypeError(f"{name} is not a number")
    return value


_DURATIONS: Final = (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def _quantity(value: int, unit: str) -> str:
    if unit != "ms":
        return f"{value:,} {unit}".rstrip()
    name, size = next(row for row in _DURATIONS if value >= row[1] and value % row[1] == 0)
    return f"{value // size} {name}" if (name, value) != ("days", size) else "24 h"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
