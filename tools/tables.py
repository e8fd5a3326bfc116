"""Tables made from the code: mechanisms, keys, error codes, limits and times."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from browserid_sasl.cli.program import STATUSES
from browserid_sasl.config import Config
from browserid_sasl.errors import Code
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.krb5.enctypes import ENCTYPES
from tools.diagrams import DERIVATIONS


def mechanisms() -> Iterator[str]:
    """The mechanisms, with their cryptography."""
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


def keys() -> Iterator[str]:
    """How each key is derived, and by which function."""
    rows = (
        (f"`{row.name}`", f"`derive({row.source}, {row.salt})`", f"`{row.function.__name__}`")
        for row in DERIVATIONS
    )
    return _table(("key", "is", "in `browserid_sasl.gss.keys`"), rows)


def error_codes() -> Iterator[str]:
    """The reasons for failure."""
    rows = (
        (f"`{code.text}`", f"{code.table} {code.number}", f"`{code.wire:#x}`", _major(code))
        for code in Code
    )
    return _table(("code", "number", "`gss-min`", "GSS major status"), rows)


def exit_statuses() -> Iterator[str]:
    """How the commands end."""
    rows = ((f"{number}", meaning) for number, meaning in STATUSES)
    return _table(("status", "meaning"), rows)


def _major(code: Code) -> str:
    return f"{code.major.name} (`{int(code.major):#x}`)"


@dataclass(frozen=True, slots=True)
class Amount:
    """A limit, or a time, that the code or the configuration sets.

    :param what: there is so much of.
    :param where: the constant, as ``module.NAME``, or the option, as ``[section] name``.
    :param unit: of the constant; ``ms`` is shown as a duration.
    """

    what: str
    where: str
    unit: str = ""

    def row(self) -> tuple[str, str, str]:
        """What, how much, and where that is set."""
        return self.what, _quantity(self._value(), self.unit), f"`{self.where}`"

    def _value(self) -> int:
        if not self.where.startswith("["):
            module, _, name = self.where.rpartition(".")
            return _integer(importlib.import_module(f"browserid_sasl.{module}"), name)
        section, _, name = self.where.removeprefix("[").partition("] ")
        suffix = "_ms" if self.unit == "ms" else ""
        return _integer(getattr(Config(), section), name + suffix)


MESSAGES: Final = (
    Amount("context token", "gss.tokens.MAX_LENGTH", "octets"),
    Amount("backed assertion", "identity.backed.MAX_LENGTH", "octets"),
    Amount("certificates in it that are parsed", "identity.backed.MAX_CERTIFICATES"),
    Amount("one signed token (JWT)", "jose.jwt.MAX_LENGTH", "characters"),
    Amount("JSON document", "jose.json.MAX_SIZE", "octets"),
    Amount("levels of nesting in it", "jose.json.MAX_DEPTH"),
    Amount("a number in it", "jose.json.MAX_NUMBER_LENGTH", "digits"),
    Amount("GS2 header", "sasl.gs2.MAX_LENGTH", "octets"),
    Amount("`cb` of an assertion", "gss.claims.MAX_BINDING", "octets"),
    Amount("`nonce`, `jti`, `req`", "gss.claims.MAX_NONCE", "octets"),
    Amount("`opts` of an assertion", "gss.claims.MAX_OPTIONS", "entries"),
    Amount("service principal name", "gss.names.MAX_LENGTH", "characters"),
    Amount("e-mail address", "identity.addresses.MAX_ADDRESS", "characters"),
    Amount("X.509 certificates in `x5c`", "jose.jwt.MAX_X5C"),
    Amount("X.509 certificates in a path", "x509.paths.MAX_CHAIN"),
    Amount(
        "characters of a header with a person's certificate",
        "idp.backends.certificate_headers.MOST",
    ),
    Amount("levels of nesting in a SAML assertion", "attributes.saml.MAX_DEPTH"),
    Amount("attributes of a SAML assertion", "attributes.saml.MAX_ATTRIBUTES"),
    Amount("exported context", "gss.export.MAX_LENGTH", "octets"),
    Amount("one call of the PRF", "krb5.prf.MAX_OUTPUT", "octets"),
)
DISCOVERY: Final = (
    Amount(
        "time to fetch a document, from the look-up of the name on", "[discovery] timeout", "ms"
    ),
    Amount("size of a document", "[discovery] max_size", "octets"),
    Amount("size of its headers and framing", "discovery.https.MAX_OVERHEAD", "octets"),
    Amount("documents fetched at once for strangers", "[discovery] max_lookups"),
    Amount("one in so many of them for one domain", "discovery.rooms.PARTY_SHARE"),
    Amount("delegations followed", "identity.authority.MAX_DELEGATIONS"),
    Amount("keys in a document besides the first", "identity.support.MAX_KEYS"),
    Amount(
        "life of a document in the cache, at the least", "identity.documents.MIN_LIFETIME_MS", "ms"
    ),
    Amount("and at the most", "identity.documents.MAX_LIFETIME_MS", "ms"),
    Amount("time until a domain is asked again", "identity.attempts.RETRY_MS", "ms"),
    Amount("failures that are remembered", "identity.attempts.MAX_REMEMBERED"),
    Amount("a list of revoked keys", "identity.revocations.MAX_LIST", "octets"),
    Amount("keys on it", "identity.revocations.MAX_REVOKED"),
    Amount("time until it is fetched again", "identity.revocation_lists.INTERVAL_MS", "ms"),
    Amount("lists that are kept", "identity.revocation_lists.MAX_PROVIDERS"),
    Amount("keys on all of them", "identity.revocation_lists.MAX_KEPT"),
)
STORES: Final = (
    Amount("assertions remembered", "store.sqlite.MAX_REPLAY_ENTRIES"),
    Amount("in memory", "store.memory.MAX_REPLAY_ENTRIES"),
    Amount("tickets of a server", "store.sqlite.MAX_ACCEPTOR_TICKETS"),
    Amount("in memory", "store.memory.MAX_TICKETS"),
    Amount("attributes kept with a ticket", "store.sqlite.MAX_ATTRIBUTES_SIZE", "characters"),
    Amount("tickets of a client", "store.sqlite.MAX_INITIATOR_TICKETS"),
    Amount("documents of identity providers", "store.sqlite.MAX_AUTHORITIES"),
    Amount("the file of who may log in", "api.allow_file.MAX_SIZE", "octets"),
)
PROVIDER: Final = (
    Amount("size of a request", "web.bodies.MAX_SIZE", "octets"),
    Amount("size of an RSA key", "idp.weak_keys.MAX_RSA_BITS", "bits"),
    Amount("time until its body is there", "web.bodies._BODY_TIME_S", "s"),
    Amount("a browser's answer with a passkey", "idp.passkey_answers.MAX_RESPONSE", "characters"),
    Amount("time in which it has to come", "idp.challenges.LIFE_MS", "ms"),
    Amount("passkeys of an account", "idp.passkeys.MOST_PASSKEYS"),
    Amount("keys of an account that are certified", "idp.renewals.MOST_KEYS"),
    Amount("life of a one-time code", "idp.codes.CODE_LIFE_MS", "ms"),
    Amount("life of a code for another device", "idp.devices.LIFE_MS", "ms"),
    Amount("wrong ones of an account in that time", "idp.devices.TRIES"),
    Amount("devices that wait for their persons", "idp.devices.MOST_WAITING"),
    Amount("of them in one network", "idp.devices.MOST_OF_NETWORK"),
    Amount("and when half of all wait", "idp.devices.FEWEST_OF_NETWORK"),
    Amount("sign-ins waiting for a processor", "idp.app._MAX_WAITING"),
    Amount("connections", "[idp] max_connections"),
    Amount("of them for one client", "[idp] max_connections_per_client"),
    Amount("time for a TLS handshake", "web.door._HANDSHAKE_S", "s"),
    Amount("time until the head of a request is there", "web.connection._REQUEST_S", "s"),
    Amount("time in which nothing of an answer is taken", "web.connection._TAKE_S", "s"),
    Amount("wrong passwords without a wait", "[idp] failed_sign_ins"),
    Amount("time for which they count", "[idp] failed_sign_in_window", "ms"),
)
MAIL: Final = (
    Amount("octets of a line before the login, on either side", "proxy.stream.MAX_LINE"),
    Amount("octets of a literal in an IMAP command before the login", "proxy.imap.MAX_LITERAL"),
    Amount("capabilities of an IMAP server", "proxy.imap.MAX_CAPABILITIES"),
    Amount("lines of another server's list", "proxy.server.MOST_LINES"),
    Amount("octets that are held in a direction, after the login", "proxy.end.WINDOW"),
    Amount("time for a server to be there and greet", "proxy.upstream.CONNECT_S", "s"),
    Amount("time for a server to judge a login", "proxy.upstream.LOGIN_S", "s"),
    Amount("time for a mail program to log in", "proxy.listeners.LOG_IN_S", "s"),
    Amount("wrong logins of a connection", "proxy.conversation.MOST_TRIES"),
    Amount("longest wait after a wrong password", "proxy.gate.LONGEST_DELAY_S", "s"),
    Amount("connections of an agent's mail programs", "proxy.proxy.MOST_CONNECTIONS"),
    Amount("of them to one service", "proxy.proxy.MOST_OF_SERVICE"),
    Amount("of them not logged in yet", "proxy.proxy.MOST_STRANGERS"),
)
TIMES: Final = (
    Amount("An assertion is good for", "[client] assertion_lifetime", "ms"),
    Amount("Clocks may differ by", "[server] clock_skew", "ms"),
    Amount("Beyond its expiry an assertion is remembered for", "store.base.REPLAY_GRACE", "ms"),
    Amount("A certificate is issued for", "[idp] certificate_life", "ms"),
    Amount("A certificate may be issued for", "[server] max_certificate_life", "ms"),
    Amount("A ticket is good for", "[server] ticket_lifetime", "ms"),
    Amount(
        "From a login with a certificate, tickets are renewed for",
        "[server] ticket_renew_limit",
        "ms",
    ),
)


def limits(amounts: Iterable[Amount]) -> Iterator[str]:
    """Bounds on what another party can make us do."""
    return _table(("what", "limit", "where it is set"), (amount.row() for amount in amounts))


def times(amounts: Iterable[Amount]) -> Iterator[str]:
    """How long things are good for."""
    return _table(("", "by default", "where it is set"), (amount.row() for amount in amounts))


def _integer(holder: Any, name: str) -> int:
    value = getattr(holder, name)
    if not isinstance(value, int):
        raise TypeError(f"{name} is not a number")
    return value


_DURATIONS: Final = (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def _quantity(value: int, unit: str) -> str:
    if unit != "ms":
        return f"{value:,} {unit}".rstrip()
    name, size = next(row for row in _DURATIONS if value % row[1] == 0 and value >= 2 * row[1])
    return f"{value // size} {name}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
