"""The table of states: what can be reached, what can fail, and that nothing leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import pytest

from browserid_sasl.errors import BrowserIDError, Code, CredentialError, LocalProtocolError
from browserid_sasl.gss import acceptor as acceptor_module
from browserid_sasl.gss import initiator as initiator_module
from browserid_sasl.gss import tokens
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.claims import Response
from browserid_sasl.gss.initiator import InitiatorOptions
from browserid_sasl.gss.states import (
    ACCEPTOR,
    INITIATOR,
    AcceptorEvent,
    AcceptorState,
    InitiatorEvent,
    InitiatorState,
    Machine,
    Send,
    Table,
    Transition,
)
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from tests.support.exchanges import first_token, log_in
from tests.support.refusal import refused
from tests.support.world import World

FINAL = {"ESTABLISHED", "FAILED"}


@dataclass(frozen=True)
class Side:
    """One of the two tables."""

    table: Table[Any, Any]
    states: Any
    events: Any
    failure: Enum


SIDES = {
    "initiator": Side(INITIATOR, InitiatorState, InitiatorEvent, InitiatorEvent.FAILURE),
    "acceptor": Side(ACCEPTOR, AcceptorState, AcceptorEvent, AcceptorEvent.REFUSED),
}
each_side = pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)


@each_side
class TestTheTable:
    def test_every_state_can_be_reached(self, side: Side) -> None:
        reached = {side.states.START}
        for _ in side.states:
            reached |= {arrow.to for (state, _), arrow in side.table.items() if state in reached}
        assert reached == set(side.states)

    def test_every_event_can_happen(self, side: Side) -> None:
        assert {event for _, event in side.table} == set(side.events)

    def test_the_final_states_are_final_and_no_others(self, side: Side) -> None:
        left = {state for state, _ in side.table}
        assert {state.name for state in side.states if state not in left} == FINAL

    def test_every_other_state_can_fail(self, side: Side) -> None:
        for state in side.states:
            if state.name not in FINAL:
                assert side.table[state, side.failure].to.name == "FAILED"

    def test_only_a_failure_leads_to_failed(self, side: Side) -> None:
        for (_, event), arrow in side.table.items():
            assert (arrow.to.name == "FAILED") == (event is side.failure)

    def test_nothing_leads_back_to_the_start_and_every_exchange_ends(self, side: Side) -> None:
        def longest(state: Any, seen: tuple[Any, ...]) -> int:
            assert state not in seen
            after = [arrow.to for (at, _), arrow in side.table.items() if at is state]
            return 1 + max((longest(to, (*seen, state)) for to in after), default=0)

        assert longest(side.states.START, ()) <= 4


class TestWhatIsSent:
    def test_an_acceptor_that_refuses_says_so(self) -> None:
        for (_, event), arrow in ACCEPTOR.items():
            assert (arrow.send is Send.ERROR) == (event is AcceptorEvent.REFUSED)

    def test_an_initiator_that_fails_says_nothing(self) -> None:
        for (_, event), arrow in INITIATOR.items():
            if event is InitiatorEvent.FAILURE:
                assert arrow.send is Send.NOTHING

    def test_everything_that_can_be_sent_is_sent_somewhere(self) -> None:
        sent = {arrow.send for arrow in INITIATOR.values()}
        assert sent | {arrow.send for arrow in ACCEPTOR.values()} == set(Send)


class TestTheMachine:
    def test_it_moves_along_an_arrow(self) -> None:
        machine = Machine(INITIATOR, InitiatorState.START)
        assert machine.permits(InitiatorEvent.BEGIN_WITH_TICKET)
        machine.fire(InitiatorEvent.BEGIN_WITH_TICKET)
        assert machine.state is InitiatorState.SENT_TICKET

    def test_it_does_not_move_where_there_is_none(self) -> None:
        for state in AcceptorState:
            for event in AcceptorEvent:
                machine = Machine(ACCEPTOR, state)
                if machine.permits(event):
                    continue
                with refused(Code.INVALID_USAGE, event.name, LocalProtocolError):
                    machine.fire(event)
                assert machine.state is state


# Every arrow is taken by a real exchange.


def failing(action: Callable[[], object]) -> None:
    with pytest.raises(BrowserIDError):
        action()


def straight() -> None:
    log_in(World())


def with_ticket() -> None:
    world = World()
    log_in(world)
    log_in(world)


def with_ticket_and_proof() -> None:
    world = World()
    log_in(world)
    log_in(world, InitiatorOptions(extra_round_trip=True))


def with_proof() -> None:
    log_in(World(), InitiatorOptions(extra_round_trip=True))


def ticket_lost(options: InitiatorOptions | None = None) -> None:
    world = World()
    log_in(world)
    for ticket in world.server_stores.tickets.all(world.clock()):
        world.server_stores.tickets.delete(ticket.tid)
    log_in(world, options)


def ticket_lost_with_proof() -> None:
    ticket_lost(InitiatorOptions(extra_round_trip=True))


def nobody_signed_in() -> None:
    class Nobody:
        @property
        def identity(self) -> str:
            raise CredentialError(Code.INTERACT_REQUIRED, "nobody is signed in")

    failing(World().initiator(credentials=Nobody()).step)


def answer_broken_after_certificate() -> None:
    initiator = World().initiator()
    initiator.step()
    failing(lambda: initiator.step(b"C,~broken"))


def answer_broken_after_ticket() -> None:
    world = World()
    log_in(world)
    initiator = world.initiator()
    initiator.step()
    failing(lambda: initiator.step(b"C,~broken"))


def refuses(acceptor: Acceptor) -> None:
    """What is broken, with an error token that says why."""
    token = acceptor.step(b"c,broken")
    assert token is not None
    backed = BackedAssertion.parse(tokens.unframe(token, TokenId.ACCEPTOR))
    error = Response.parse(backed.assertion.claims).error
    assert error is not None
    assert acceptor.failure is not None
    assert error.code is acceptor.failure.code


def assertion_broken() -> None:
    refuses(World().acceptor())


def certificate_broken() -> None:
    world = World()
    log_in(world)
    presented = first_token(world)
    acceptor = World().acceptor()
    acceptor.step(presented)
    refuses(acceptor)


def proof_broken() -> None:
    world = World()
    acceptor = world.acceptor()
    acceptor.step(first_token(world, InitiatorOptions(extra_round_trip=True)))
    refuses(acceptor)


EXCHANGES = [
    straight,
    with_ticket,
    with_ticket_and_proof,
    with_proof,
    ticket_lost,
    ticket_lost_with_proof,
    nobody_signed_in,
    answer_broken_after_certificate,
    answer_broken_after_ticket,
    assertion_broken,
    certificate_broken,
    proof_broken,
]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[Enum, Enum]]]:
    """Every arrow that a context takes."""
    arrows: set[tuple[Enum, Enum]] = set()

    class Recording(Machine[Any, Any]):
        def fire(self, event: Any) -> Transition[Any]:
            arrows.add((self.state, event))
            return super().fire(event)

    monkeypatch.setattr(initiator_module, "Machine", Recording)
    monkeypatch.setattr(acceptor_module, "Machine", Recording)
    yield arrows


def test_contexts_take_every_arrow_and_no_other(taken: set[tuple[Enum, Enum]]) -> None:
    for run in EXCHANGES:
        run()
    assert taken == set(INITIATOR) | set(ACCEPTOR)


SENDING = [
    pytest.param(side.table, row, id=f"{row[0].name}-{row[1].name}")
    for side in SIDES.values()
    for row in side.table
    # An initiator that fails raises the reason, and has nobody to send a token to.
    if row[1] is not InitiatorEvent.FAILURE
]


@pytest.mark.parametrize(("table", "row"), SENDING)
@pytest.mark.parametrize("send", Send)
def test_a_row_that_names_another_token_breaks_logins(
    table: Table[Any, Any], row: tuple[Any, Any], send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = table[row]
    if send is true.send:
        return
    monkeypatch.setitem(cast(dict[Any, Any], table), row, Transition(true.to, send))
    with pytest.raises((BrowserIDError, AssertionError, pytest.fail.Exception)):
        for run in EXCHANGES:
            run()
