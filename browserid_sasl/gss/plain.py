"""Contexts for plain GSS-API use, without SASL around them (PROTOCOL.md section 4.2).

The first token says which mechanism it is of (RFC 2743 section 3.1); the later ones are bare. An
acceptor learns the mechanism from that token, so it offers several and takes the one that is
named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.context import SecurityContext, established
from browserid_sasl.gss.initiator import Initiator
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_oid
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.gss.steps import Steps, at_once


class PlainInitiator:
    """An initiator whose first token has the frame of RFC 2743.

    :param mechanism: its mechanism.
    :param initiator: does the work.
    """

    def __init__(self, mechanism: Mechanism, initiator: Initiator) -> None:
        self._mechanism = mechanism
        self._initiator = initiator

    @property
    def complete(self) -> bool:
        """Whether the context is established; a last token may have to be sent first."""
        return self._initiator.state is InitiatorState.ESTABLISHED

    @property
    def context(self) -> SecurityContext:
        """The established context; see `Initiator.context`."""
        return self._initiator.context

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the acceptor's token, or none to begin; see `Initiator.step`."""
        first = self._initiator.state is InitiatorState.START
        answer = self._initiator.step(token)
        if first and answer is not None:
            return tokens.wrap_initial(self._mechanism.oid, answer)
        return answer


class MechanismAcceptors(Protocol):
    """Makes the acceptor, when the first token has named the mechanism."""

    def __call__(self, mechanism: Mechanism) -> Acceptor:
        """A new acceptor of this mechanism."""


class PlainAcceptor:
    """An acceptor that takes the mechanism the first token names.

    :param mechanisms: the mechanisms that are offered.
    :param make_acceptor: makes the acceptor.
    """

    def __init__(self, mechanisms: Iterable[Mechanism], make_acceptor: MechanismAcceptors) -> None:
        self._mechanisms = frozenset(mechanisms)
        self._make_acceptor = make_acceptor
        self._acceptor: Acceptor | None = None

    @property
    def complete(self) -> bool:
        """Whether the context is established."""
        return self._acceptor is not None and self._acceptor.state is AcceptorState.ESTABLISHED

    @property
    def awaits_proof(self) -> bool:
        """Whether the initiator has been verified, and only the extra round trip is to come."""
        return self._acceptor is not None and self._acceptor.state is AcceptorState.AWAIT_PROOF

    @property
    def failure(self) -> BrowserIDError | None:
        """Why the context failed, None while it has not; see `Acceptor.failure`."""
        return self._acceptor.failure if self._acceptor else None

    @property
    def context(self) -> SecurityContext:
        """The established context; see `Acceptor.context`."""
        return self._acceptor.context if self._acceptor else established(None)

    def step(self, token: bytes) -> bytes | None:
        """Take the initiator's token; see `Acceptor.step`.

        :raises RemoteProtocolError: bad-token-header, token-truncated, wrong-size or wrong-mech:
            before the mechanism is known, nothing can be answered.
        """
        return at_once(self.steps(token))

    def steps(self, token: bytes) -> Steps[bytes | None]:
        """Like `step`, for who records the assertions of several contexts together."""
        if self._acceptor is None:
            oid, token = tokens.unwrap_initial(token)
            mechanism = mechanism_by_oid(oid)
            if mechanism is None or mechanism not in self._mechanisms:
                raise RemoteProtocolError(
                    Code.WRONG_MECH,
                    f"the token is of the mechanism {'.'.join(map(str, oid))}",
                    "offered are " + ", ".join(sorted(row.name for row in self._mechanisms)),
                )
            self._acceptor = self._make_acceptor(mechanism)
        return (yield from self._acceptor.steps(token))
