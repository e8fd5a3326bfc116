"""The bundles of stores that an acceptor and an initiator are given, and what all stores share.

What a store has to do is said where it is needed: `gss.ports` and `identity.ports`. A new one
(another database, a cluster) is one file that implements these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.gss.ports import (
    AcceptorTicketStore,
    Admission,
    InitiatorTicketStore,
    ReplayStore,
)
from browserid_sasl.identity.fairness import surplus
from browserid_sasl.identity.ports import AuthorityCache, IdentityStore

#: How long (ms) a replay store remembers an assertion after it expired, unless told otherwise:
#: the largest clock skew that a verifier may permit, and some.
REPLAY_GRACE: Final = 600_000


#: Characters of JSON that a ticket's attributes may take.
MAX_ATTRIBUTES_SIZE: Final = 65_536


def attributes_too_long(size: int) -> StoreError:
    """The error that a certificate has too many claims for a ticket.

    :param size: of them, in characters of JSON.
    """
    return StoreError(
        Code.BUFFER_TOO_LONG,
        f"the certificate's claims take {size} characters, a ticket holds {MAX_ATTRIBUTES_SIZE}",
        "have the identity provider put less into its certificates",
    )


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
    :param waits: whether they are on another host, and take their time.
    """

    replay: ReplayStore
    tickets: AcceptorTicketStore
    authorities: AuthorityCache
    close: Callable[[], None]
    admission: Admission | None = None
    waits: bool = False


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
