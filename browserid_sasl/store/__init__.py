"""What outlives a login: assertions presented, tickets, keys, and identity providers' documents.

An acceptor and an initiator are each given a bundle of stores:

    from browserid_sasl import store

    stores = store.open_acceptor("/var/lib/browserid/server.db")  # or open_initiator
    stores = store.memory_acceptor()                              # or memory_initiator

`base` has the bundles, `sqlite` the stores in a file shared by the threads and processes of one
host, and `memory` those of one process.
"""

from __future__ import annotations

from browserid_sasl.gss.ports import (
    AcceptorTicketStore,
    Admission,
    InitiatorTicketStore,
    ReplayStore,
)
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.identity.ports import (
    AuthorityCache,
    CachedDocument,
    IdentityRecord,
    IdentityStore,
)
from browserid_sasl.store.base import REPLAY_GRACE, AcceptorStores, InitiatorStores
from browserid_sasl.store.memory import memory_acceptor, memory_initiator
from browserid_sasl.store.sqlite import open_acceptor, open_initiator

__all__ = [
    "REPLAY_GRACE",
    "AcceptorStores",
    "AcceptorTicket",
    "AcceptorTicketStore",
    "Admission",
    "AuthorityCache",
    "CachedDocument",
    "IdentityRecord",
    "IdentityStore",
    "InitiatorStores",
    "InitiatorTicket",
    "InitiatorTicketStore",
    "ReplayStore",
    "memory_acceptor",
    "memory_initiator",
    "open_acceptor",
    "open_initiator",
]
