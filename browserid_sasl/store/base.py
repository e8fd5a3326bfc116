"""Records that outlive a context, and the interfaces of the stores that keep them.

A store is small on purpose: a new one (another database, a cluster) is one file that implements
the protocols below. Times are milliseconds since the epoch and are always passed in; a store that
tidies up while it is written to is given a clock for that alone. Every method may raise
`StoreError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from browserid_sasl.identity.fairness import surplus

#: How long (ms) a replay store remembers an assertion after it expired, unless told otherwise:
#: the largest clock skew that a verifier may permit, and some.
REPLAY_GRACE: Final = 600_000


@dataclass(frozen=True, slots=True)
class AcceptorTicket:
    """What an acceptor remembers of an authenticated initiator (PROTOCOL.md section 5.2).

    :param tid: identifier: base64url SHA-256 of the backed assertion text it was issued for.
    :param subject: e-mail address that was authenticated.
    :param issuer: domain whose identity provider vouched for it.
    :param audience: service principal name the ticket is bound to, without dialect prefix.
    :param ark: authenticator root key, 32 octets, secret.
    :param curve: curve of the mechanisms it serves, ``P-256`` or ``P-521``.
    :param issued_at: ms.
    :param expires: ms, a whole second.
    :param renew_until: ms; no ticket that renews this one lives longer.
    :param mutual: whether the original context was mutually authenticated.
    :param renewed: whether it was issued in a re-authentication.
    :param attributes: the certificate's claims beyond the registered ones.
    """

    tid: str
    subject: str
    issuer: str
    audience: str
    ark: bytes = field(repr=False)
    curve: str
    issued_at: int
    expires: int
    renew_until: int
    mutual: bool = False
    renewed: bool = False
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InitiatorTicket:
    """What an initiator keeps to authenticate again without its key (PROTOCOL.md section 5.2).

    :param identity: the user's e-mail address.
    :param audience: service principal name it is for, without dialect prefix.
    :param curve: curve of the mechanisms it serves, ``P-256`` or ``P-521``.
    :param issuer: domain whose identity provider vouched for `identity`.
    :param tid: identifier to send.
    :param ark: authenticator root key, 32 octets, secret.
    :param issued_at: ms.
    :param expires: ms.
    :param mutual: whether the original context was mutually authenticated.
    :param renewed: whether it came from a re-authentication.
    """

    identity: str
    audience: str
    curve: str
    issuer: str
    tid: str
    ark: bytes = field(repr=False)
    issued_at: int
    expires: int
    mutual: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """A person's key and the certificate an identity provider gave it.

    :param identity: e-mail address.
    :param private_key_pem: PKCS #8 PEM, secret.
    :param certificate: the identity certificate (a JWT), or empty before there is one.
    :param expires: the certificate's expiry in ms, 0 without certificate.
    """

    identity: str
    private_key_pem: bytes = field(repr=False)
    certificate: str
    expires: int


@dataclass(frozen=True, slots=True)
class CachedDocument:
    """An identity provider's support document as fetched (PROTOCOL.md section 2).

    :param body: the JSON octets.
    :param expires: ms until which it may be used without asking again.
    """

    body: bytes
    expires: int


class ReplayStore(Protocol):
    """The memory of assertions already presented (PROTOCOL.md section 5.3)."""

    def insert(self, digest: bytes, not_after: int) -> bool:
        """Record an assertion unless it is there, atomically across threads and processes.

        The record survives the death of the process as soon as this returns.

        :param digest: what `identity.verifier.replay_digest` gives, 32 octets.
        :param not_after: ms after which the assertion says itself that it is void. It has to be
            a function of what `digest` covers alone (not of a local setting such as the
            permitted skew), so that equal digests always come with equal times: an
            implementation may order its records by it.
        :returns: True if it was new, False if it had been presented before.
        """

    def purge(self, now: int) -> int:
        """Forget what expired before `now` by more than the store's grace; how many went."""


class AcceptorTicketStore(Protocol):
    """An acceptor's tickets by identifier (PROTOCOL.md section 5.2)."""

    def put(self, ticket: AcceptorTicket) -> bool:
        """Store a ticket; False, and nothing changed, if its identifier is there already."""

    def get(self, tid: str, now: int) -> AcceptorTicket | None:
        """The ticket with this identifier, None if there is none or it expired at `now` (ms)."""

    def delete(self, tid: str) -> bool:
        """Forget a ticket; whether it was there."""

    def all(self, now: int) -> Iterable[AcceptorTicket]:
        """Every ticket that has not expired at `now` (ms), the newest first."""

    def purge(self, now: int) -> int:
        """Forget tickets that expired before `now` (ms); how many went."""


class Admission(Protocol):
    """A replay store and a ticket store that can be written to as one.

    Not needed where there are both: it saves a login the second of two writes.
    """

    def __call__(self, digest: bytes, not_after: int, ticket: AcceptorTicket) -> tuple[bool, bool]:
        """Record an assertion and, if it is new, store the ticket issued for it: both or neither.

        :returns: what `ReplayStore.insert` and `AcceptorTicketStore.put` would.
        """


class InitiatorTicketStore(Protocol):
    """An initiator's tickets by identity, audience and curve (PROTOCOL.md section 5.2)."""

    def put(self, ticket: InitiatorTicket) -> None:
        """Store a ticket in place of the one for the same identity, audience and curve."""

    def get(self, identity: str, audience: str, curve: str, now: int) -> InitiatorTicket | None:
        """The ticket for these, None if there is none or it expired at `now` (ms)."""

    def delete(self, identity: str, audience: str, tid: str) -> bool:
        """Forget a ticket; whether it was there.

        The identifier alone would not do: servers choose it, and one could choose another's.
        """

    def all(self, now: int) -> Iterable[InitiatorTicket]:
        """Every ticket that has not expired at `now` (ms)."""

    def purge(self, now: int) -> int:
        """Forget tickets that expired before `now` (ms); how many went."""


class IdentityStore(Protocol):
    """A person's keys and certificates by e-mail address."""

    def put(self, record: IdentityRecord) -> None:
        """Store a record in place of the one for the same identity."""

    def get(self, identity: str) -> IdentityRecord | None:
        """The record of this identity, None if there is none."""

    def delete(self, identity: str) -> bool:
        """Forget an identity, its key included; whether it was there."""

    def all(self) -> Iterable[IdentityRecord]:
        """Every record, in the order of their addresses."""


class AuthorityCache(Protocol):
    """Support documents by domain (PROTOCOL.md section 2).

    What a domain publishes about another one is under ``domain?domain=other``. A cache is bounded,
    and `too_many_documents` says what goes.
    """

    def get(self, domain: str, now: int) -> CachedDocument | None:
        """The document of this domain, None if there is none or it expired at `now` (ms)."""

    def put(self, domain: str, document: CachedDocument) -> None:
        """Store a document in place of the one for the same domain."""

    def delete(self, domain: str) -> bool:
        """Forget a document; whether it was there."""

    def all(self, now: int) -> Iterable[tuple[str, CachedDocument]]:
        """Every document that has not expired at `now` (ms), with its domain."""


def too_many_documents(domains: Sequence[str], most: int) -> list[str]:
    """Which entries of a full authority cache have to go.

    They are those of the party that has the most of them, so that nobody can push out the
    documents of others by publishing one for each of a thousand names.

    :param domains: what is in it, the entries that were stored longest ago at the front. (Those
        that expire soonest would be those of careful providers, and never those of a stranger.)
    :param most: how many may stay.
    """
    return surplus(((entry, entry.rpartition("=")[2]) for entry in domains), most)


@dataclass(frozen=True, slots=True)
class AcceptorStores:
    """What an acceptor needs to remember.

    :param close: lets go of files and connections; the stores open them again when used again.
    :param admission: writes to `replay` and `tickets` at once; None if they cannot.
    """

    replay: ReplayStore
    tickets: AcceptorTicketStore
    authorities: AuthorityCache
    close: Callable[[], None]
    admission: Admission | None = None


@dataclass(frozen=True, slots=True)
class InitiatorStores:
    """What an initiator, and the agent that signs for it, need to remember.

    :param close: lets go of files and connections; the stores open them again when used again.
    """

    tickets: InitiatorTicketStore
    identities: IdentityStore
    authorities: AuthorityCache
    close: Callable[[], None]


def system_clock() -> int:
    """The time of day in ms since the epoch."""
    return time.time_ns() // 1_000_000
