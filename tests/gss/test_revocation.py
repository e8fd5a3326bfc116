"""A key that its provider has revoked, at the acceptor (PROTOCOL.md section 8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.gss.initiator import InitiatorOptions
from browserid_sasl.gss.states import AcceptorState
from browserid_sasl.gss.steps import at_once
from browserid_sasl.identity.revocation_lists import INTERVAL_MS
from tests.support.exchanges import acceptor_tickets, first_token, initiator_tickets, log_in
from tests.support.refusal import refused
from tests.support.revocations import Lists, publishing, thumbprint, watching
from tests.support.world import World, key

ROUND_TRIP = InitiatorOptions(extra_round_trip=True)
REASON = "revoked"


@pytest.fixture
def world() -> World:
    world = World()
    world.provider.documents["idp.test"] = publishing(key("idp"))
    return world


def revoke(world: World, lists: Lists) -> None:
    """Revoke Alice's key, and let the minute pass."""
    lists.revoke(key("alice").public_key)
    world.clock.now += INTERVAL_MS


def test_a_certificate_is_refused(world: World) -> None:
    lists = watching(world)
    log_in(world)
    revoke(world, lists)
    acceptor = world.acceptor()
    acceptor.step(first_token(world, tickets=None))
    assert acceptor.failure is not None
    assert acceptor.failure.code is Code.EXPIRED_CERT
    assert REASON in str(acceptor.failure)


def test_a_ticket_is_refused_and_then_the_certificate(world: World) -> None:
    lists = watching(world)
    log_in(world)
    revoke(world, lists)
    initiator, acceptor = world.initiator(), world.acceptor()
    token = initiator.step()
    assert token is not None
    answer = acceptor.step(token)
    assert acceptor.state is AcceptorState.AWAIT_CERTIFICATE
    assert answer is not None
    second = initiator.step(answer)
    assert second is not None
    acceptor.step(second)
    assert acceptor.failure is not None
    assert acceptor.failure.code is Code.EXPIRED_CERT


def test_a_ticket_does_not_come_back_when_its_key_has_left_the_list(world: World) -> None:
    lists = watching(world)
    log_in(world)
    revoke(world, lists)
    world.acceptor().step(first_token(world))
    assert acceptor_tickets(world) == []
    lists.revoked.clear()
    world.clock.now += INTERVAL_MS
    acceptor = world.acceptor()
    acceptor.step(first_token(world))
    assert acceptor.state is AcceptorState.AWAIT_CERTIFICATE


def test_a_ticket_that_was_renewed_is_still_the_keys(world: World) -> None:
    lists = watching(world)
    log_in(world)
    log_in(world)
    renewed = acceptor_tickets(world)[0]
    assert renewed.renewed
    assert renewed.key_thumbprint == thumbprint(key("alice").public_key)
    revoke(world, lists)
    acceptor = world.acceptor()
    acceptor.step(first_token(world))
    assert acceptor.state is AcceptorState.AWAIT_CERTIFICATE


def test_a_tickets_key_is_remembered_before_anybody_looks(world: World) -> None:
    log_in(world)
    lists = watching(world)
    revoke(world, lists)
    acceptor = world.acceptor()
    acceptor.step(first_token(world))
    assert acceptor.state is AcceptorState.AWAIT_CERTIFICATE


def test_a_ticket_from_before_keys_were_remembered_is_not_taken(world: World) -> None:
    """Nobody can say whether its key was revoked; its owner's certificate can be looked at."""
    log_in(world)
    [ticket] = acceptor_tickets(world)
    store = world.server_stores.tickets
    store.delete(ticket.tid)
    store.put(replace(ticket, key_thumbprint=""))
    assert log_in(world)[1].context.ticket_used
    [_, old] = acceptor_tickets(world)
    watching(world)
    for renewed in acceptor_tickets(world):
        assert renewed.key_thumbprint == ""
        store.delete(renewed.tid)
    store.put(replace(old, key_thumbprint=""))
    assert not log_in(world)[1].context.ticket_used


def test_others_are_not_refused(world: World) -> None:
    lists = watching(world)
    log_in(world)
    revoke(world, lists)
    world.person.user_key = key("another of alice's")
    acceptor = log_in(world, initiator={"tickets": None})[1]
    assert not acceptor.context.ticket_used


@pytest.mark.parametrize("by_ticket", [False, True])
def test_a_revocation_during_the_extra_round_trip(world: World, by_ticket: bool) -> None:
    lists = watching(world)
    if by_ticket:
        log_in(world)
    tickets = len(acceptor_tickets(world))
    initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
    token = initiator.step()
    assert token is not None
    answer = acceptor.step(token)
    assert acceptor.state is AcceptorState.AWAIT_PROOF
    revoke(world, lists)
    assert answer is not None
    proof = initiator.step(answer)
    assert proof is not None
    acceptor.step(proof)
    assert acceptor.failure is not None
    assert acceptor.failure.code is (Code.REAUTH_FAILED if by_ticket else Code.EXPIRED_CERT)
    assert len(acceptor_tickets(world)) == max(0, tickets - 1)


@pytest.mark.parametrize("by_ticket", [False, True])
def test_a_revocation_before_the_program_begins_to_use_the_context(
    world: World, by_ticket: bool
) -> None:
    lists = watching(world)
    if by_ticket:
        log_in(world)
    acceptor = log_in(world)[1]
    at_once(acceptor.check_running())
    revoke(world, lists)
    with refused(Code.REAUTH_FAILED if by_ticket else Code.EXPIRED_CERT):
        at_once(acceptor.check_running())


def test_without_a_list_that_is_required(world: World) -> None:
    lists = watching(world, required=True)
    log_in(world)
    lists.answers = False
    world.clock.now += 10 * INTERVAL_MS
    acceptor = world.acceptor()
    acceptor.step(first_token(world))
    assert isinstance(acceptor.failure, DiscoveryError)
    assert acceptor.failure.code is Code.UNAVAILABLE
    assert len(acceptor_tickets(world)) == 1


def test_without_a_list_that_is_not_required(world: World) -> None:
    lists = watching(world)
    lists.answers = False
    log_in(world)
    assert log_in(world)[1].context.ticket_used
    assert len(initiator_tickets(world)) == 1


def test_nobody_looks_who_was_not_told_to(world: World) -> None:
    lists = watching(world)
    del world.verifier_options["revoked"]
    lists.revoke(key("alice").public_key)
    log_in(world)
    assert log_in(world)[1].context.ticket_used
    assert lists.fetched == []
