"""Logins in the small world, and what the two ends need for mutual authentication."""

from __future__ import annotations

from functools import cache
from typing import Any

from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.x509.trust import X509Trust
from tests.support.certificates import Issued, authority, issue, names
from tests.support.forging import altered, claims_of
from tests.support.world import IMAP, World, exchange, key


def log_in(
    world: World,
    options: InitiatorOptions | None = None,
    *,
    initiator: dict[str, Any] | None = None,
    acceptor: dict[str, Any] | None = None,
) -> tuple[Initiator, Acceptor]:
    """An exchange that has to succeed.

    :param initiator: further arguments of the initiator.
    :param acceptor: further arguments of the acceptor.
    """
    ours = world.initiator(options, **(initiator or {}))
    theirs = world.acceptor(**(acceptor or {}))
    exchange(ours, theirs)
    assert ours.state is InitiatorState.ESTABLISHED
    assert theirs.state is AcceptorState.ESTABLISHED, theirs.failure
    return ours, theirs


def first_token(world: World, options: InitiatorOptions | None = None, **further: Any) -> bytes:
    """What an initiator sends first."""
    token = world.initiator(options, **further).step()
    assert token is not None
    return token


def acceptor_tickets(world: World) -> list[AcceptorTicket]:
    """The server's tickets, the newest first."""
    return list(world.server_stores.tickets.all(world.clock()))


def initiator_tickets(world: World) -> list[InitiatorTicket]:
    """The person's tickets."""
    return list(world.client_tickets.all(world.clock()))


@cache
def root(name: str = "root") -> Issued:
    """An authority for servers' certificates."""
    return authority(name)


@cache
def server_certificate(algorithm: str = "ES256") -> Issued:
    """The certificate of the world's server."""
    private: Any = key("server", algorithm).key
    return issue("server", root(), names([IMAP.host]), key=private)


def server_credential(algorithm: str = "ES256") -> ServerCredential:
    """The server's X.509 key."""
    issued = server_certificate(algorithm)
    return ServerCredential(PrivateKey.from_pem(issued.key_pem), (issued.der,))


def signed_by_server(answer: bytes, credential: ServerCredential, **changes: Any) -> bytes:
    """The answer with other claims, under the server's X.509 key; None takes one away."""
    claims = altered(claims_of(answer), changes)
    return b"C,~" + jwt.sign(claims, credential.key, x5c=credential.chain).encode()


def server_trust(name: str = "root") -> X509Trust:
    """A person's trust in the authority of this name."""
    return X509Trust([root(name).certificate])
