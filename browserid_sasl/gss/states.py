"""The state machine of a security context, as one table a side.

Theory of operation
-------------------

A context is set up by at most five messages. The initiator speaks first, with an assertion that
its ticket or its certificate stands behind. The acceptor answers with a response, and usually
both are done::

    initiator                                    acceptor
    START            -- c, ticket or certificate -->  START
    SENT_*           <-- C, response ---------------  ESTABLISHED
    ESTABLISHED

Two detours exist. A ticket the acceptor does not know is answered with the error reauth-failed,
and the initiator then presents a certificate, once::

    SENT_TICKET      <-- C, reauth-failed ----------  AWAIT_CERTIFICATE
    SENT_CERTIFICATE -- c, certificate ------------>  AWAIT_CERTIFICATE
                     <-- C, response ---------------  ESTABLISHED

And either side can ask for an extra round trip, which proves freshness by the acceptor's own
random number instead of its memory of assertions::

    SENT_*           <-- C, response with jti ------  AWAIT_PROOF
    ESTABLISHED      -- c, proof ------------------>  AWAIT_PROOF
                                                      ESTABLISHED

Whatever goes wrong ends in FAILED. An acceptor that refuses sends an error token first, so that
the person at the other end learns why. An event that is not in the table for a state is a
protocol error: of the other side if a message caused it, of the calling program otherwise.

The tables below are the only place where states change. `Machine` looks transitions up; the
contexts ask it and hold no flags of their own. What an arrow sends is named in the row, and sent
because it is: the contexts make the token that the row they have moved along names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from browserid_sasl.errors import Code, LocalProtocolError


class Send(Enum):
    """What a transition sends."""

    NOTHING = "nothing"
    TICKET_ASSERTION = "assertion signed with a ticket's key"
    CERTIFICATE_ASSERTION = "assertion under a certificate"
    PROOF = "proof for the extra round trip"
    RESPONSE = "response"
    RESPONSE_WITH_JTI = "response with a jti"
    REAUTH_FAILED = "error token reauth-failed"
    ERROR = "error token"


class InitiatorState(Enum):
    """Where an initiator stands."""

    START = "nothing was sent"
    SENT_TICKET = "waits for the answer to a re-authentication"
    SENT_CERTIFICATE = "waits for the answer to a certificate"
    ESTABLISHED = "the context is established"
    FAILED = "the context has failed"


class InitiatorEvent(Enum):
    """What happens to an initiator."""

    BEGIN_WITH_TICKET = "there is a ticket for the service"
    BEGIN_WITH_CERTIFICATE = "there is no ticket"
    RESPONSE = "a valid response came"
    RESPONSE_WITH_JTI = "a valid response with a jti came"
    REAUTH_FAILED = "the acceptor does not know the ticket"
    FAILURE = "an error token or an invalid response came, or there is no credential"


class AcceptorState(Enum):
    """Where an acceptor stands."""

    START = "nothing came"
    AWAIT_CERTIFICATE = "waits for a certificate instead of a ticket"
    AWAIT_PROOF = "waits for the proof of the extra round trip"
    ESTABLISHED = "the context is established"
    FAILED = "the context has failed"


class AcceptorEvent(Enum):
    """What happens to an acceptor."""

    TICKET_UNKNOWN = "a re-authentication came for a ticket that is not there"
    ACCEPTED = "a valid assertion came"
    ACCEPTED_PENDING_PROOF = "a valid assertion came and the extra round trip is asked for"
    PROVEN = "a valid proof came"
    REFUSED = "what came is not valid"


StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)


@dataclass(frozen=True, slots=True)
class Transition(Generic[StateT]):
    """An arrow of the diagram.

    :param to: the state it leads to.
    :param send: what is sent on the way.
    """

    to: StateT
    send: Send = Send.NOTHING


Table = Mapping[tuple[StateT, EventT], Transition[StateT]]

_I = InitiatorState
_IE = InitiatorEvent
INITIATOR: Final[Table[InitiatorState, InitiatorEvent]] = {
    (_I.START, _IE.BEGIN_WITH_TICKET): Transition(_I.SENT_TICKET, Send.TICKET_ASSERTION),
    (_I.START, _IE.BEGIN_WITH_CERTIFICATE): Transition(
        _I.SENT_CERTIFICATE, Send.CERTIFICATE_ASSERTION
    ),
    (_I.START, _IE.FAILURE): Transition(_I.FAILED),
    (_I.SENT_TICKET, _IE.RESPONSE): Transition(_I.ESTABLISHED),
    (_I.SENT_TICKET, _IE.RESPONSE_WITH_JTI): Transition(_I.ESTABLISHED, Send.PROOF),
    (_I.SENT_TICKET, _IE.REAUTH_FAILED): Transition(
        _I.SENT_CERTIFICATE, Send.CERTIFICATE_ASSERTION
    ),
    (_I.SENT_TICKET, _IE.FAILURE): Transition(_I.FAILED),
    (_I.SENT_CERTIFICATE, _IE.RESPONSE): Transition(_I.ESTABLISHED),
    (_I.SENT_CERTIFICATE, _IE.RESPONSE_WITH_JTI): Transition(_I.ESTABLISHED, Send.PROOF),
    (_I.SENT_CERTIFICATE, _IE.FAILURE): Transition(_I.FAILED),
}

_A = AcceptorState
_AE = AcceptorEvent
ACCEPTOR: Final[Table[AcceptorState, AcceptorEvent]] = {
    (_A.START, _AE.ACCEPTED): Transition(_A.ESTABLISHED, Send.RESPONSE),
    (_A.START, _AE.ACCEPTED_PENDING_PROOF): Transition(_A.AWAIT_PROOF, Send.RESPONSE_WITH_JTI),
    (_A.START, _AE.TICKET_UNKNOWN): Transition(_A.AWAIT_CERTIFICATE, Send.REAUTH_FAILED),
    (_A.START, _AE.REFUSED): Transition(_A.FAILED, Send.ERROR),
    (_A.AWAIT_CERTIFICATE, _AE.ACCEPTED): Transition(_A.ESTABLISHED, Send.RESPONSE),
    (_A.AWAIT_CERTIFICATE, _AE.ACCEPTED_PENDING_PROOF): Transition(
        _A.AWAIT_PROOF, Send.RESPONSE_WITH_JTI
    ),
    (_A.AWAIT_CERTIFICATE, _AE.REFUSED): Transition(_A.FAILED, Send.ERROR),
    (_A.AWAIT_PROOF, _AE.PROVEN): Transition(_A.ESTABLISHED),
    (_A.AWAIT_PROOF, _AE.REFUSED): Transition(_A.FAILED, Send.ERROR),
}


class Machine(Generic[StateT, EventT]):
    """A position in a table.

    :param table: `INITIATOR` or `ACCEPTOR`.
    :param start: the state to begin in.
    """

    def __init__(self, table: Table[StateT, EventT], start: StateT) -> None:
        self._table = table
        self._state = start

    @property
    def state(self) -> StateT:
        """The current state."""
        return self._state

    def permits(self, event: EventT) -> bool:
        """Whether the event has a transition from the current state."""
        return (self._state, event) in self._table

    def expect(self, event: EventT) -> None:
        """See that an exchange is under way, before a token of it is looked at.

        :param event: one that has a transition from every state of it.
        :raises LocalProtocolError: context-established when it is over.
        """
        if not self.permits(event):
            raise LocalProtocolError(
                Code.CONTEXT_ESTABLISHED, "the exchange is over: no token is due"
            )

    def fire(self, event: EventT) -> Transition[StateT]:
        """Move along the event's transition.

        :returns: the transition, whose `send` says what to send now.
        :raises LocalProtocolError: invalid-usage when the table has no such transition.
        """
        transition = self._table.get((self._state, event))
        if transition is None:
            raise LocalProtocolError(
                Code.INVALID_USAGE, f"{event.name} is not possible in state {self._state.name}"
            )
        self._state = transition.to
        return transition


def not_to_be_sent(send: Send, event: Enum) -> LocalProtocolError:
    """The error to raise when a row names a token that cannot be made at its event."""
    return LocalProtocolError(
        Code.INVALID_USAGE, f"{event.name} has nothing to make the {send.value} of"
    )
