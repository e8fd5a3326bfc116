"""What a context needs of the world, passed in so that this layer touches none of it.

A store is small on purpose: a new one (another database, a cluster) is one file that implements
the protocols below. Times are milliseconds since the epoch and are always passed in; a store that
tidies up while it is written to is given a clock for that alone. Every method of a store may raise
`StoreError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from browserid_sasl.errors import StoreError
from browserid_sasl.gss.ecdh import Point
from browserid_sasl.gss.mechanisms import Curve
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.jose.jwt import SigningKey, VerificationKey

Clock = Callable[[], int]
"""The time in ms since the epoch."""

RandomSource = Callable[[int], bytes]
"""That many octets from a cryptographic generator."""


class EphemeralKey(Protocol):
    """A key pair made for one exchange; `ecdh.EcdhKey` is one."""

    @property
    def point(self) -> Point:
        """The public point."""

    def agree(self, peer: Point) -> bytes:
        """DHK: the shared x coordinate, padded to the field's size.

        :raises RemoteProtocolError: crypto-error when the peer's point is not on the curve.
        """


EphemeralKeySource = Callable[[Curve], EphemeralKey]
"""A new key pair on this curve; a fixed one reproduces an exchange."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The time and randomness of a context.

    :param clock: the time.
    :param random: random octets.
    :param ephemeral: key pairs for key agreement.
    """

    clock: Clock
    random: RandomSource
    ephemeral: EphemeralKeySource


class CredentialSource(Protocol):
    """A person's signing key and certificate, wherever they are kept."""

    @property
    def identity(self) -> str:
        """The person's e-mail address.

        :raises CredentialError: when nobody is signed in, or it is not clear who is meant.
        """

    def assertion(self, claims: bytes) -> str:
        """Sign an assertion; the key stays where it is.

        :param claims: the payload, ready-made JSON.
        :returns: the backed assertion, ``certificate~assertion``.
        :raises CredentialError: when signing in is needed first.
        """


class ServerTrust(Protocol):
    """An initiator's opinion on acceptors' X.509 certificates (PROTOCOL.md section 4.3)."""

    def verify(self, chain: tuple[bytes, ...], target: ServiceName, now: int) -> VerificationKey:
        """Check a chain, its validity, its purpose and its name.

        :param chain: DER certificates, the acceptor's own first.
        :param target: the service it has to be for.
        :param now: ms.
        :returns: the acceptor's public key.
        :raises RemoteProtocolError: untrusted-x509-cert, bad-subject.
        """


@dataclass(frozen=True, slots=True)
class ServerCredential:
    """An acceptor's X.509 key (PROTOCOL.md section 4.3).

    :param key: signs responses; RSA or P-256.
    :param chain: DER certificates, the key's own first, the trust anchor left out.
    """

    key: SigningKey
    chain: tuple[bytes, ...]


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


@dataclass(frozen=True, slots=True)
class Entry:
    """An assertion that has verified, as it is recorded before anybody is answered.

    :param digest: see `ReplayStore.insert`.
    :param not_after: likewise, ms.
    :param ticket: the one that is issued for it, None without.
    :param issued_at: ms; the assertion cannot have been presented before, but for the clock skew
        that the verifier permits.
    """

    digest: bytes = field(repr=False)
    not_after: int
    ticket: AcceptorTicket | None = None
    issued_at: int = 0


class Doubt(Enum):
    """Why a store cannot tell whether an assertion is new."""

    MAY_BE_FORGOTTEN = "what was recorded when the assertion may have been presented can be lost"


Outcome = tuple[bool, bool] | Doubt | StoreError
"""What `ReplayStore.insert` and `AcceptorTicketStore.put` say of an entry, or why neither could.

No ticket is stored for an assertion that was presented before, nor for one that is in doubt.
"""


class Admission(Protocol):
    """A replay store and a ticket store that can be written to as one.

    Not needed where there are both: it saves a login the second of two writes, and those that come
    together all but one of them.
    """

    def __call__(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Record assertions and the tickets issued for them, each with its ticket or not at all.

        Of entries for the same assertion one is new.

        :returns: one for each entry, in their order.
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
