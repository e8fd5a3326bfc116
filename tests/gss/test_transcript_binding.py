"""Transcript binding: a server's X.509 signature says which message it answers.

Without it somebody in the middle who has an account of their own can have the server sign an
answer to *them*, and pass it on as the answer to their victim.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from browserid_sasl.errors import Code, PeerRefusedError, RemoteProtocolError
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism, mechanism_by_name
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.gss.tickets import InitiatorTicket
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose import b64, jwt
from tests.support import vectors
from tests.support.exchanges import (
    initiator_tickets,
    log_in,
    server_credential,
    server_trust,
    signed_by_server,
)
from tests.support.forging import claims_of, last_token, resigned
from tests.support.refusal import refused
from tests.support.vectors import OURS, Vector
from tests.support.world import AES128, ALICE, HOUR, IMAP, START, Person, World, key

MALLORY = "mallory@idp.test"
REQUIRED = InitiatorOptions(mutual=Mutual.REQUIRED)
STRICT = InitiatorOptions(mutual=Mutual.REQUIRED, transcript_binding=True)
CREDENTIAL = server_credential("RS256")
ENDS: dict[str, dict[str, Any]] = {
    "initiator": {"trust": server_trust()},
    "acceptor": {"credential": CREDENTIAL},
}

each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda row: row.name)
OLD = [row for row in MECHANISMS if not row.binds_transcript]
NEW = [row for row in MECHANISMS if row.binds_transcript]


def begun(world: World, options: InitiatorOptions = REQUIRED) -> tuple[Initiator, bytes]:
    """A client that has sent its message."""
    initiator = world.initiator(options, trust=server_trust())
    return initiator, initiator.step() or b""


def answered(world: World, token: bytes) -> bytes:
    return world.acceptor(credential=CREDENTIAL).step(token) or b""


def digest(token: bytes) -> str:
    return b64.encode(hashlib.sha256(token[2:]).digest())


class TestTheServersSide:
    @each_mechanism
    def test_what_the_x509_key_signs_says_what_it_answers(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        initiator, token = begun(world)
        answer = answered(world, token)
        assert last_token(answer).header.x5c
        assert claims_of(answer)["req"] == digest(token)
        assert claims_of(answer)["req"] == BackedAssertion.parse(token[2:]).ticket_id
        initiator.step(answer)
        assert initiator.context.mutual

    @each_mechanism
    def test_what_another_key_signs_does_not(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        token = world.initiator().step() or b""
        assert "req" not in claims_of(answered(world, token))

    def test_nor_does_the_answer_to_a_ticket(self) -> None:
        world = World()
        log_in(world, REQUIRED, **ENDS)
        _, token = begun(world)
        assert "tkt" in claims_of(token)
        assert "req" not in claims_of(answered(world, token))

    def test_an_error_that_the_x509_key_signs_has_it_too(self) -> None:
        world = World()
        initiator, token = begun(world)
        world.acceptor().step(token)
        replayed = answered(world, token)
        assert claims_of(replayed)["gss-min"] == Code.REPLAYED_ASSERTION.wire
        assert claims_of(replayed)["req"] == digest(token)
        with pytest.raises(PeerRefusedError) as refusal:
            initiator.step(replayed)
        assert refusal.value.authenticated

    def test_after_a_lost_ticket_it_is_that_of_the_message_with_the_certificate(self) -> None:
        world = World(mechanism=mechanism_by_name("BROWSERID-A128S2"))
        lost = InitiatorTicket(
            ALICE, str(IMAP), "P-256", "idp.test", "t", bytes(32), START, START + HOUR, mutual=True
        )
        world.client_tickets.put(lost)
        initiator, first = begun(world)
        acceptor = world.acceptor(credential=CREDENTIAL)
        second = initiator.step(acceptor.step(first)) or b""
        answer = acceptor.step(second) or b""
        assert digest(first) != claims_of(answer)["req"] == digest(second)
        initiator.step(answer)
        assert initiator.context.mutual


class TestTheClientsSide:
    WRONG: tuple[Any, ...] = (
        b64.encode(hashlib.sha256(b"another message").digest()),
        b64.encode(bytes(31)),
        b64.encode(bytes(33)),
        "",
        1,
        True,
        None,
        [],
        {},
    )

    @each_mechanism
    @pytest.mark.parametrize("request_digest", WRONG, ids=ascii)
    def test_another_digest_is_another_message(
        self, mechanism: Mechanism, request_digest: object
    ) -> None:
        world = World(mechanism=mechanism)
        initiator, token = begun(world)
        claims = claims_of(answered(world, token)) | {"req": request_digest}
        forged = jwt.sign(claims, CREDENTIAL.key, x5c=CREDENTIAL.chain)
        self.refuse(initiator, b"C,~" + forged.encode())
        assert initiator_tickets(world) == []

    @pytest.mark.parametrize("mechanism", NEW, ids=lambda row: row.name)
    def test_the_newer_mechanisms_demand_it(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        initiator, token = begun(world)
        older = signed_by_server(answered(world, token), CREDENTIAL, req=None)
        self.refuse(initiator, older, "does not say which message it answers")

    @pytest.mark.parametrize("mechanism", OLD, ids=lambda row: row.name)
    def test_the_others_if_that_is_configured(self, mechanism: Mechanism) -> None:
        for options in (REQUIRED, STRICT):
            world = World(mechanism=mechanism)
            initiator, token = begun(world, options)
            older = signed_by_server(answered(world, token), CREDENTIAL, req=None)
            if options is REQUIRED:
                initiator.step(older)
                assert initiator.context.mutual
            else:
                self.refuse(initiator, older, "does not say which message it answers")

    @each_mechanism
    def test_an_error_is_no_way_round(self, mechanism: Mechanism) -> None:
        for wrong in (self.WRONG[0], None):
            world = World(mechanism=mechanism)
            initiator, token = begun(world, STRICT)
            world.acceptor().step(token)
            error = signed_by_server(answered(world, token), CREDENTIAL, req=wrong)
            self.refuse(initiator, error)

    def test_tickets_go_on_without_it(self) -> None:
        world = World(mechanism=mechanism_by_name("BROWSERID-A128S2"))
        for ticket_used in (False, True, True):
            initiator, _ = log_in(world, STRICT, **ENDS)
            assert initiator.context.mutual
            assert initiator.context.ticket_used is ticket_used

    @pytest.mark.parametrize("mechanism", OLD, ids=lambda row: row.name)
    def test_it_is_heeded_wherever_it_is_found(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        initiator = world.initiator()
        acceptor = world.acceptor()
        token = initiator.step() or b""
        claims = claims_of(acceptor.step(token) or b"") | {"req": self.WRONG[0]}
        forged = b"C,~" + acceptor._seal.sign(claims).encode()
        self.refuse(initiator, forged)

    def refuse(self, initiator: Initiator, answer: bytes, reason: str = "") -> None:
        with refused(Code.MISMATCHED_RP_RESPONSE, reason, RemoteProtocolError):
            initiator.step(answer)
        assert initiator.state is InitiatorState.FAILED


class Misbinding:
    """Mallory, who has an account, between alice and the server.

    :param world: alice's and the server's.
    :param own_point: whether the key agreement is Mallory's, or alice's repeated.
    """

    def __init__(self, world: World, *, own_point: bool) -> None:
        self.world = world
        self.own_point = own_point
        self.acceptor: Acceptor = world.acceptor(credential=CREDENTIAL)

    def answer_for(self, alices: bytes) -> bytes:
        """Log in as oneself with alice's nonce; the server's answer."""
        world = self.world
        mallory = Person(world.clock, identity=MALLORY, user_key=key("mallory"))
        own = world.initiator(REQUIRED, trust=server_trust(), credentials=mallory, tickets=None)
        taken = ("nonce",) if self.own_point else ("nonce", "ecdh")
        claims = claims_of(alices)
        stolen = {name: claims[name] for name in taken if name in claims}
        return self.acceptor.step(resigned(own.step() or b"", key("mallory"), **stolen)) or b""


@pytest.mark.parametrize("own_point", [True, False], ids=["own point", "alice's point"])
class TestMisbinding:
    """The attack of docs/security.md."""

    @each_mechanism
    def test_it_fails(self, mechanism: Mechanism, own_point: bool) -> None:
        world = World(mechanism=mechanism)
        initiator, token = begun(world)
        attack = Misbinding(world, own_point=own_point)
        answer = attack.answer_for(token)
        assert attack.acceptor.context.identity == MALLORY
        assert claims_of(answer)["nonce"] == claims_of(token)["nonce"]
        with refused(Code.MISMATCHED_RP_RESPONSE, "somebody may be between"):
            initiator.step(answer)
        assert initiator_tickets(world) == []

    @pytest.mark.parametrize("mechanism", OLD, ids=lambda row: row.name)
    @pytest.mark.parametrize("options", [REQUIRED, STRICT], ids=["as it is", "strict"])
    def test_through_a_server_that_does_not_bind_it_takes_a_strict_client(
        self, mechanism: Mechanism, own_point: bool, options: InitiatorOptions
    ) -> None:
        world = World(mechanism=mechanism)
        initiator, token = begun(world, options)
        attack = Misbinding(world, own_point=own_point)
        answer = signed_by_server(attack.answer_for(token), CREDENTIAL, req=None)
        if options is STRICT:
            with refused(Code.MISMATCHED_RP_RESPONSE):
                initiator.step(answer)
            return
        initiator.step(answer)
        assert initiator.context.mutual and initiator.context.identity == ALICE
        assert attack.acceptor.context.identity == MALLORY
        same_key = initiator.context.root_key == attack.acceptor.context.root_key
        assert same_key is (mechanism.curve is None or not own_point)


def ours(wanted: Any = lambda vector: True) -> list[str]:
    return vectors.names(wanted, OURS)


def as_answered(vector: Vector) -> bool:
    """Whether nobody has changed the acceptor's answer."""
    return not vector.name.startswith(("req-other", "req-absent"))


def load(name: str) -> Vector:
    return vectors.load(name, OURS)


def nobody(identity: str) -> None:
    raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, "nobody may log in")


class TestRecordings:
    """Octet by octet, what `tests.support.recording` has written down."""

    def test_there_is_one_for_each_mechanism(self) -> None:
        assert {load(name).mechanism for name in ours(lambda v: v.succeeds)} == set(MECHANISMS)

    @pytest.mark.parametrize("name", ours(as_answered))
    def test_the_acceptor_answers_with_the_same_octets(self, name: str) -> None:
        vector = load(name)
        acceptor = vectors.make_acceptor(vector, authorize=None if vector.succeeds else nobody)
        answers = [
            answer
            for message in vector.messages("initiator")
            if (answer := acceptor.step(message)) is not None
        ]
        assert answers == vector.messages("acceptor")
        expected = AcceptorState.ESTABLISHED if vector.succeeds else AcceptorState.FAILED
        assert acceptor.state is expected
        if vector.succeeds:
            assert acceptor.context.mutual and acceptor.context.identity == ALICE

    @pytest.mark.parametrize("name", ours(lambda vector: vector.succeeds))
    def test_the_initiator_sends_the_same_octets_and_believes(self, name: str) -> None:
        vector = load(name)
        initiator = vectors.make_initiator(vector)
        sent = [initiator.step()]
        sent += [initiator.step(answer) for answer in vector.messages("acceptor")]
        assert [token for token in sent if token] == vector.messages("initiator")
        assert initiator.context.mutual

    @pytest.mark.parametrize("name", ours(lambda vector: not vector.succeeds))
    def test_or_does_not(self, name: str) -> None:
        vector = load(name)
        initiator = vectors.make_initiator(vector)
        initiator.step()
        kind = PeerRefusedError if vector.refused_by == "acceptor" else RemoteProtocolError
        with refused(Code.from_wire(vector.data["expect"]["code"]), kind=kind):
            initiator.step(vector.messages("acceptor")[-1])

    @pytest.mark.parametrize("name", ours())
    def test_the_digest_is_over_what_stands_after_the_identifier(self, name: str) -> None:
        vector = load(name)
        answer = vector.answers()[-1]
        certified = [each for each in vector.messages("initiator") if not each.startswith(b"c,~")]
        right = answer.claims.get("req") == digest(certified[-1])
        assert right is as_answered(vector)


def test_a_reader_of_the_table_finds_which_mechanisms_demand_it() -> None:
    assert {row.name for row in NEW} == {"BROWSERID-A128S2", "BROWSERID-A256S2"}
    assert AES128 in OLD
