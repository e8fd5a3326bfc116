"""The acceptor: whom it lets in, what it answers, what it stores and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError, StoreError
from browserid_sasl.gss import keys
from browserid_sasl.gss.acceptor import Acceptor, AcceptorOptions, ExchangeStores
from browserid_sasl.gss.admission import OneByOne
from browserid_sasl.gss.context import PROTECTION_FLAGS, ContextFlag
from browserid_sasl.gss.dialects import DRAFT_04, DRAFT_07, Dialect
from browserid_sasl.gss.initiator import InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import Entry, Outcome
from browserid_sasl.gss.states import AcceptorState
from browserid_sasl.gss.tickets import AcceptorTicket
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.verifier import Verifier
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.algorithms import algorithm_for
from browserid_sasl.jose.keys import PrivateKey, PublicKey, Spelling
from browserid_sasl.jose.secrets import SecretKey
from tests.support.exchanges import (
    acceptor_tickets,
    first_token,
    initiator_tickets,
    log_in,
    server_credential,
    server_trust,
)
from tests.support.forging import certificate_in, claims_of, last_token, resigned
from tests.support.refusal import refused
from tests.support.world import (
    ALICE,
    HOUR,
    IMAP,
    START,
    World,
    exchange,
    key,
    support_document,
)

MINUTE = 60_000
DAY = 24 * HOUR
SKEW = 5 * MINUTE
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NO_EXCHANGE = mechanism_by_name("BROWSERID")
AES256 = mechanism_by_name("BROWSERID-AES256")
ROUND_TRIP = InitiatorOptions(extra_round_trip=True)
MUTUAL = InitiatorOptions(mutual=Mutual.REQUIRED)

each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda row: row.name)
with_exchange = pytest.mark.parametrize(
    "mechanism", [row for row in MECHANISMS if row.curve], ids=lambda row: row.name
)
each_dialect = pytest.mark.parametrize("dialect", [DRAFT_04, DRAFT_07], ids=lambda row: row.name)


def refuse(acceptor: Acceptor, token: bytes, code: Code) -> dict[str, Any]:
    """Expect a refusal; what the error token says."""
    answer = acceptor.step(token)
    assert acceptor.state is AcceptorState.FAILED
    assert acceptor.failure is not None
    assert acceptor.failure.code is code, acceptor.failure
    assert answer is not None
    status = claims_of(answer)
    assert status["gss-min"] == code.wire
    assert status["gss-maj"] == code.major
    with refused(Code.CONTEXT_INCOMPLETE):
        _ = acceptor.context
    return status


class TestAnInitialLogin:
    @each_dialect
    @each_mechanism
    def test_both_ends_agree_on_the_context(self, mechanism: Mechanism, dialect: Dialect) -> None:
        world = World(mechanism=mechanism)
        initiator, acceptor = log_in(world, InitiatorOptions(dialect=dialect))
        ours, theirs = initiator.context, acceptor.context
        assert (ours.is_initiator, theirs.is_initiator) == (True, False)
        for name in ("mechanism", "identity", "target", "issuer", "expires", "flags", "root_key"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert (theirs.identity, theirs.issuer, theirs.target) == (ALICE, "idp.test", IMAP)
        assert not theirs.ticket_used and not theirs.extra_round_trip and not theirs.mutual

    @with_exchange
    def test_every_login_has_its_own_keys_and_protection(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        roots = {log_in(world, initiator={"tickets": None})[1].context.root_key for _ in range(3)}
        assert len(roots) == 3 and None not in roots
        flags = log_in(world)[1].context.flags
        assert flags == PROTECTION_FLAGS | ContextFlag.TRANSFERABLE

    def test_without_key_exchange_there_is_no_protection_and_no_ticket(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        initiator, acceptor = log_in(world)
        assert acceptor.context.flags == initiator.context.flags == ContextFlag.TRANSFERABLE
        assert acceptor.context.root_key is None
        assert acceptor_tickets(world) == []
        assert initiator_tickets(world) == []

    def test_the_context_ends_with_the_certificate_in_whole_seconds(self) -> None:
        world = World()
        world.clock.now += 999
        _, acceptor = log_in(world)
        assert acceptor.context.expires == START + HOUR
        assert acceptor.context.lifetime(START) == HOUR
        assert acceptor.context.lifetime(START + 2 * HOUR) == 0

    def test_the_certificates_further_claims_are_attributes(self) -> None:
        world = World()
        world.person.claims = {"groups": ["staff"]}
        initiator, acceptor = log_in(world)
        assert acceptor.context.attributes == initiator.context.attributes == {"groups": ["staff"]}

    @pytest.mark.parametrize("algorithm", ["RS256", "DS256", "ES256"])
    def test_the_person_may_have_a_key_of_any_kind(self, algorithm: str) -> None:
        world = World()
        world.person.user_key = key("alice", algorithm)
        log_in(world)

    @pytest.mark.parametrize("spelling", get_args(Spelling))
    def test_keys_of_provider_and_person_may_be_one_bit_short(self, spelling: Spelling) -> None:
        # A widely used implementation makes a third of its keys so.
        short = PrivateKey(
            algorithm_for("RS", 2047, 0, allow_legacy=False),
            rsa.generate_private_key(65537, 2047),
        )
        world = World()
        written = short.public_key.to_json(spelling)
        document = support_document(short) | {"public-key": written}
        world.provider.documents["idp.test"] = document
        world.person.signing_key = world.person.user_key = short
        world.person.claims = {"public-key": written}
        assert log_in(world)[1].context.identity == ALICE

    @each_dialect
    def test_it_answers_in_the_dialect_it_is_addressed_in(self, dialect: Dialect) -> None:
        world = World()
        answer = world.acceptor().step(first_token(world, InitiatorOptions(dialect=dialect)))
        assert answer is not None
        response = last_token(answer)
        assert list(response.claims) == ["exp", dialect.agreement, "tkt"]
        assert response.claims[dialect.agreement].keys() == {"x", "y"}
        assert response.header.alg == "HS256"
        assert answer.startswith(b"C,~")

    def test_without_key_exchange_the_answer_is_not_signed(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        answer = world.acceptor().step(first_token(world))
        assert answer is not None
        assert last_token(answer).header.alg == "none"
        assert list(claims_of(answer)) == ["exp"]

    @pytest.mark.parametrize(
        ("options", "flag"),
        [
            (InitiatorOptions(identify=True), ContextFlag.IDENTIFY),
            (InitiatorOptions(dce_style=True), ContextFlag.DCE_STYLE),
        ],
    )
    def test_it_reports_what_the_initiator_asked_for(
        self, options: InitiatorOptions, flag: ContextFlag
    ) -> None:
        _, acceptor = log_in(World(), options)
        assert flag in acceptor.context.flags


class TestTheAudience:
    def login(self, claimed: str, *names: str, host_alias: bool = False) -> Acceptor:
        world = World()
        world.options = AcceptorOptions(tuple(map(ServiceName.parse, names)), host_alias=host_alias)
        initiator = world.initiator(target=ServiceName.parse(claimed))
        acceptor = world.acceptor()
        token = initiator.step()
        assert token
        acceptor.step(token)
        return acceptor

    @pytest.mark.parametrize(
        "claimed", ["imap/mail.example.com", "imap/MAIL.Example.COM", "imap/mail.example.com."]
    )
    def test_it_is_the_acceptors_name_whatever_the_case_of_the_host(self, claimed: str) -> None:
        acceptor = self.login(claimed, "imap/mail.example.com")
        assert acceptor.context.target == IMAP

    def test_it_may_be_any_of_several_names(self) -> None:
        names = ("imap/mx1.example.com", "imap/mail.example.com", "smtp/mail.example.com")
        for name in names:
            assert str(self.login(name, *names).context.target) == name

    @pytest.mark.parametrize(
        "claimed",
        [
            "imap/mail.example.org",
            "imap/example.com",
            "imap/mail.example.com/extra",
            "IMAP/mail.example.com",
            "smtp/mail.example.com",
            "host/mail.example.com",
        ],
    )
    def test_nothing_else_is_taken_and_both_names_are_told(self, claimed: str) -> None:
        failure = self.login(claimed, "imap/mail.example.com", "imap/other").failure
        assert failure is not None and failure.code is Code.BAD_AUDIENCE
        assert claimed in str(failure) and "this server is imap/mail.example.com" in str(failure)
        assert "`audiences`" in failure.remedy

    def test_the_host_stands_for_its_services_where_that_is_configured(self) -> None:
        acceptor = self.login("host/mail.example.com", str(IMAP), host_alias=True)
        assert str(acceptor.context.target) == "host/mail.example.com"

    @pytest.mark.parametrize("claimed", ["host/other.example.com", "smtp/mail.example.com"])
    def test_but_no_other_host_and_no_other_service(self, claimed: str) -> None:
        failure = self.login(claimed, str(IMAP), host_alias=True).failure
        assert failure is not None and failure.code is Code.BAD_AUDIENCE


class TestTheChannel:
    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    def test_the_assertion_has_to_be_bound_to_it(self, ticket: bool) -> None:
        world = World()
        if ticket:
            log_in(world)
        token = first_token(world, channel_binding=b"channel")
        acceptor = world.acceptor(channel_binding=b"channel")
        acceptor.step(token)
        assert acceptor.context.ticket_used is ticket

    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    @pytest.mark.parametrize(
        ("claimed", "code"),
        [
            (None, Code.MISSING_CHANNEL_BINDINGS),
            (b"", Code.CHANNEL_BINDINGS_MISMATCH),
            (b"channe", Code.CHANNEL_BINDINGS_MISMATCH),
            (b"channel2", Code.CHANNEL_BINDINGS_MISMATCH),
            (b"another", Code.CHANNEL_BINDINGS_MISMATCH),
        ],
    )
    def test_and_not_to_another(self, claimed: bytes | None, code: Code, ticket: bool) -> None:
        world = World()
        if ticket:
            log_in(world)
        token = first_token(world, channel_binding=claimed)
        refuse(world.acceptor(channel_binding=b"channel"), token, code)

    def test_an_acceptor_that_knows_no_binding_does_not_mind_one(self) -> None:
        log_in(World(), initiator={"channel_binding": b"channel"})


class TestTheTime:
    @pytest.mark.parametrize(
        ("later", "code"),
        [
            (5 * MINUTE + SKEW, None),
            (5 * MINUTE + SKEW + 1, Code.EXPIRED_ASSERTION),
            (-SKEW, None),
            (-SKEW - 1, Code.CERT_NOT_YET_VALID),
        ],
    )
    def test_clocks_may_differ_by_the_skew(self, later: int, code: Code | None) -> None:
        world = World()
        token = first_token(world)
        world.clock.now += later
        acceptor = world.acceptor()
        if code is None:
            acceptor.step(token)
            assert acceptor.state is AcceptorState.ESTABLISHED
        else:
            refuse(acceptor, token, code)

    def test_the_skew_is_configurable(self) -> None:
        world = World(verifier_options={"skew": 0})
        token = first_token(world)
        world.clock.now += 5 * MINUTE + 1
        refuse(world.acceptor(), token, Code.EXPIRED_ASSERTION)

    def test_the_error_token_tells_the_acceptors_clock(self) -> None:
        world = World()
        token = first_token(world)
        world.clock.now += DAY
        assert refuse(world.acceptor(), token, Code.EXPIRED_ASSERTION)["iat"] == START + DAY


class TestExpiry:
    """A context never begins after its end, which is in whole seconds."""

    @pytest.mark.parametrize(("left", "code"), [(1, True), (999, True), (1000, None), (1999, None)])
    @pytest.mark.parametrize("round_trip", [False, True])
    def test_the_certificates_last_second_is_too_late(
        self, left: int, code: bool | None, round_trip: bool
    ) -> None:
        world = World()
        world.person.claims = {"exp": START + left}
        acceptor = world.acceptor()
        token = first_token(world, ROUND_TRIP if round_trip else None)
        if code:
            refuse(acceptor, token, Code.CRED_EXPIRED)
            assert acceptor_tickets(world) == []
        else:
            answer = claims_of(acceptor.step(token) or b"")
            assert answer["exp"] == START + 1000 > world.clock()

    def test_a_provider_that_answers_too_late_helps_nobody(self) -> None:
        world = World()
        world.person.claims = {"exp": START + MINUTE}
        token = first_token(world)

        class Slow:
            def keys_for(self, issuer: str, email: str, now: int) -> tuple[PublicKey, ...]:
                world.clock.now += MINUTE
                return (key("idp").public_key,)

            refreshed_keys_for = keys_for

        refuse(world.acceptor(verifier=Verifier(Slow())), token, Code.CRED_EXPIRED)
        assert acceptor_tickets(world) == []

    def test_what_is_written_down_of_a_ticket_is_in_whole_seconds_too(self) -> None:
        world = World()
        log_in(world)
        (ticket,) = acceptor_tickets(world)
        world.server_stores.tickets.delete(ticket.tid)
        world.server_stores.tickets.put(replace(ticket, expires=START + 1999))
        acceptor = world.acceptor()
        assert claims_of(acceptor.step(first_token(world)) or b"")["exp"] == START + 1000
        world.clock.now += 1000
        refuse(world.acceptor(), first_token(world), Code.CRED_EXPIRED)


class TestReplays:
    def variants(self, token: bytes, world: World) -> dict[str, bytes]:
        """The same assertion, written differently."""
        head, _, signature = token.rpartition(b".")
        octets = b64.decode(signature.decode(), "signature")
        s = P256_ORDER - int.from_bytes(octets[32:], "big")
        assertion = token.rpartition(b"~")[2]
        return {
            "as it was": token,
            "with the twin of its signature": head
            + b"."
            + b64.encode(octets[:32] + s.to_bytes(32, "big")).encode(),
            "with padding": token + b"==",
            "under another certificate": b"c,"
            + world.person.certificate().encode()
            + b"~"
            + assertion,
        }

    @pytest.mark.parametrize(
        "variant",
        [
            "as it was",
            "with the twin of its signature",
            "with padding",
            "under another certificate",
        ],
    )
    def test_an_assertion_is_taken_once_however_it_is_written(self, variant: str) -> None:
        world = World()
        world.person.user_key = key("alice", "ES256")
        token = first_token(world)
        world.acceptor().step(token)
        world.clock.now += 1
        again = self.variants(token, world)[variant]
        assert (variant == "as it was") == (again == token)
        refuse(world.acceptor(), again, Code.REPLAYED_ASSERTION)
        assert len(acceptor_tickets(world)) == 1

    @pytest.mark.parametrize("variant", ["as it was", "without the tilde", "with padding"])
    def test_so_is_a_re_authentication(self, variant: str) -> None:
        world = World()
        log_in(world)
        token = first_token(world)
        acceptor = world.acceptor()
        acceptor.step(token)
        assert acceptor.context.ticket_used
        again = {
            "as it was": token,
            "without the tilde": token.replace(b"~", b""),
            "with padding": token + b"=",
        }[variant]
        refuse(world.acceptor(), again, Code.REPLAYED_ASSERTION)
        assert len(acceptor_tickets(world)) == 2

    def test_another_mechanism_is_no_way_round(self) -> None:
        world = World()
        token = first_token(world)
        world.acceptor().step(token)
        world.mechanism = mechanism_by_name("BROWSERID-A128S2")
        refuse(world.acceptor(), token, Code.REPLAYED_ASSERTION)

    def test_an_assertion_that_was_refused_is_not_remembered(self) -> None:
        world = World()
        token = first_token(world, channel_binding=b"channel")
        refuse(world.acceptor(channel_binding=b"x"), token, Code.CHANNEL_BINDINGS_MISMATCH)
        acceptor = world.acceptor(channel_binding=b"channel")
        acceptor.step(token)
        assert acceptor.state is AcceptorState.ESTABLISHED

    def test_it_is_remembered_for_as_long_as_it_says(self) -> None:
        seen: list[int] = []

        class Replays:
            def insert(self, digest: bytes, not_after: int) -> bool:
                seen.append(not_after)
                return True

            def purge(self, now: int) -> int:
                return 0

        world = World()
        world.stores = ExchangeStores(Replays(), None)
        log_in(world)
        assert seen == [START + 5 * MINUTE]

    def test_a_store_that_is_broken_lets_nobody_in(self) -> None:
        class Broken:
            def insert(self, digest: bytes, not_after: int) -> bool:
                raise StoreError(Code.CACHE_ERROR, "the disk is full")

            def purge(self, now: int) -> int:
                return 0

        world = World()
        world.stores = ExchangeStores(Broken(), world.server_stores.tickets)
        refuse(world.acceptor(), first_token(world), Code.CACHE_ERROR)
        assert acceptor_tickets(world) == []

    def test_it_is_written_with_its_ticket_where_the_stores_can(self) -> None:
        written: list[str] = []
        world = World()
        stores = world.server_stores

        def admission(entries: Sequence[Entry]) -> Sequence[Outcome]:
            written.extend(entry.ticket.tid for entry in entries if entry.ticket)
            return OneByOne(stores.replay, stores.tickets)(entries)

        world.stores = ExchangeStores(stores.replay, stores.tickets, admission)
        token = first_token(world)
        assert "tkt" in claims_of(world.acceptor().step(token) or b"")
        assert written == [BackedAssertion.parse(token[2:]).ticket_id]
        refuse(world.acceptor(), token, Code.REPLAYED_ASSERTION)
        assert len(written) == 2

    def test_without_tickets_it_is_written_alone(self) -> None:
        world = World()
        replay = world.server_stores.replay

        def admission(entries: Sequence[Entry]) -> Sequence[Outcome]:
            assert [entry.ticket for entry in entries] == [None]
            return OneByOne(replay, None)(entries)

        world.stores = ExchangeStores(replay, None, admission)
        token = first_token(world)
        assert "tkt" not in claims_of(world.acceptor().step(token) or b"")
        refuse(world.acceptor(), token, Code.REPLAYED_ASSERTION)


class TestBrokenTicketStores:
    def broken(self) -> World:
        world = World()

        class Broken(type(world.server_stores.tickets)):  # type: ignore[misc]
            def put(self, ticket: AcceptorTicket) -> bool:
                raise StoreError(Code.CACHE_ERROR, "the disk is full")

        world.stores = replace(world.stores, tickets=Broken())
        return world

    def test_what_could_not_be_stored_is_not_answered(self) -> None:
        world = self.broken()
        refuse(world.acceptor(), first_token(world), Code.CACHE_ERROR)

    def test_neither_after_the_extra_round_trip(self) -> None:
        world = self.broken()
        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
        answer = acceptor.step(initiator.step() or b"")
        refuse(acceptor, initiator.step(answer) or b"", Code.CACHE_ERROR)


class TestMechanismsWithoutKeyExchange:
    def test_an_assertion_for_key_exchange_is_not_taken(self) -> None:
        # It may have been recorded in an extra round trip, of which the replay store knows
        # nothing, and here nobody would ask for the proof.
        world = World()
        token = first_token(world, ROUND_TRIP)
        world.acceptor().step(token)
        refuse(world.acceptor(mechanism=NO_EXCHANGE), token, Code.INVALID_ASSERTION)

    def test_an_assertion_without_is_not_taken_where_keys_are_exchanged(self) -> None:
        world = World()
        token = first_token(world, mechanism=NO_EXCHANGE)
        refuse(world.acceptor(), token, Code.NO_KEY)

    def test_a_ticket_is_not_taken(self) -> None:
        world = World()
        log_in(world)
        token = first_token(world)
        refuse(world.acceptor(mechanism=NO_EXCHANGE), token, Code.INVALID_EC_CURVE)

    def test_replays_are_refused_even_if_the_extra_round_trip_is_asked_for(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        token = first_token(world, ROUND_TRIP)
        world.acceptor().step(token)
        refuse(world.acceptor(), token, Code.REPLAYED_ASSERTION)


class TestCurves:
    @pytest.mark.parametrize(
        ("offered", "mechanism"),
        [("BROWSERID-AES128", "BROWSERID-AES256"), ("BROWSERID-AES256", "BROWSERID-AES128")],
    )
    def test_the_curve_is_the_mechanisms(self, offered: str, mechanism: str) -> None:
        world = World(mechanism=mechanism_by_name(mechanism))
        token = first_token(world, mechanism=mechanism_by_name(offered))
        refuse(world.acceptor(), token, Code.INVALID_EC_CURVE)

    def test_so_is_a_tickets(self) -> None:
        world = World()
        log_in(world)
        token = first_token(world)
        refuse(world.acceptor(mechanism=AES256), token, Code.INVALID_EC_CURVE)

    @pytest.mark.parametrize(
        "changes",
        [{"x": "AA", "y": "AA"}, {"y": "AQ"}, {"x": "_" * 42 + "8"}],
        ids=["infinity", "off the curve", "beyond the field"],
    )
    def test_points_are_on_it(self, changes: dict[str, str]) -> None:
        world = World()
        token = first_token(world)
        point = claims_of(token)["ecdh"] | changes
        forged = resigned(token, key("alice"), ecdh=point)
        refuse(world.acceptor(), forged, Code.CRYPTO_ERROR)
        assert acceptor_tickets(world) == []


class TestTickets:
    def test_one_is_issued_under_the_hash_of_the_assertion(self) -> None:
        world = World()
        token = first_token(world)
        answer = world.acceptor().step(token)
        assert answer is not None
        (ticket,) = acceptor_tickets(world)
        assert ticket.tid == BackedAssertion.parse(token[2:]).ticket_id
        assert claims_of(answer)["tkt"] == {"tid": ticket.tid, "exp": ticket.expires}
        assert (ticket.subject, ticket.issuer, ticket.audience) == (ALICE, "idp.test", str(IMAP))
        assert (ticket.curve, ticket.renewed, ticket.mutual) == ("P-256", False, False)
        assert ticket.expires == START + 10 * HOUR
        assert ticket.renew_until == START + 7 * DAY

    def test_both_ends_keep_the_same_key_for_it(self) -> None:
        world = World()
        log_in(world)
        (theirs,), (ours,) = acceptor_tickets(world), initiator_tickets(world)
        assert ours.ark == theirs.ark
        assert (ours.tid, ours.expires, ours.curve) == (theirs.tid, theirs.expires, theirs.curve)

    def test_its_times_are_whole_seconds(self) -> None:
        world = World()
        world.clock.now += 999
        log_in(world)
        (ticket,) = acceptor_tickets(world)
        assert (ticket.issued_at, ticket.expires % 1000) == (START, 0)

    def test_none_is_issued_where_that_is_configured(self) -> None:
        world = World()
        world.stores = replace(world.stores, tickets=None)
        initiator, _ = log_in(world)
        assert initiator_tickets(world) == []
        assert initiator.context.root_key

    def test_its_life_is_configurable(self) -> None:
        for lifetime in (HOUR, DAY):
            world = World()
            world.options = AcceptorOptions((IMAP,), ticket_lifetime=lifetime)
            log_in(world)
            assert acceptor_tickets(world)[0].expires == START + lifetime

    def test_without_renewal_it_is_good_for_its_life_and_no_longer(self) -> None:
        world = World()
        world.options = AcceptorOptions((IMAP,), ticket_lifetime=HOUR, ticket_renew_limit=0)
        log_in(world)
        (ticket,) = acceptor_tickets(world)
        assert ticket.expires == START + HOUR
        world.clock.now += HOUR // 2
        _, acceptor = log_in(world)
        assert acceptor.context.ticket_used
        assert acceptor_tickets(world) == [ticket]

    def test_it_outlives_the_certificate_unless_that_is_configured(self) -> None:
        for cap, expected in [(False, 10 * HOUR), (True, HOUR)]:
            world = World()
            world.options = AcceptorOptions((IMAP,), cap_ticket=cap)
            log_in(world)
            assert acceptor_tickets(world)[0].expires == START + expected

    def test_the_cap_holds_for_every_ticket_after_it(self) -> None:
        world = World()
        world.options = AcceptorOptions((IMAP,), cap_ticket=True)
        log_in(world)
        world.clock.now += HOUR // 2
        log_in(world)
        assert {ticket.expires for ticket in acceptor_tickets(world)} == {START + HOUR}

    def test_one_that_is_there_already_is_neither_replaced_nor_announced(self) -> None:
        world = World()
        token = first_token(world)
        tid = BackedAssertion.parse(token[2:]).ticket_id
        planted = AcceptorTicket(
            tid, ALICE, "idp.test", str(IMAP), bytes(32), "P-256", START, START + HOUR, START + DAY
        )
        world.server_stores.tickets.put(planted)
        answer = world.acceptor().step(token)
        assert answer is not None
        assert "tkt" not in claims_of(answer)
        assert acceptor_tickets(world) == [planted]


class TestReAuthentication:
    def test_a_ticket_stands_in_for_the_certificate(self) -> None:
        world = World()
        world.person.claims = {"groups": ["staff"]}
        log_in(world)
        world.provider.documents.clear()
        initiator, acceptor = log_in(world)
        context = acceptor.context
        assert context.ticket_used and initiator.context.ticket_used
        assert (context.identity, context.issuer, context.target) == (ALICE, "idp.test", IMAP)
        assert context.attributes == {"groups": ["staff"]}
        assert context.root_key == initiator.context.root_key
        assert context.expires == initiator.context.expires == START + 10 * HOUR

    @with_exchange
    @each_dialect
    def test_in_every_mechanism_and_dialect(self, mechanism: Mechanism, dialect: Dialect) -> None:
        world = World(mechanism=mechanism)
        options = InitiatorOptions(dialect=dialect)
        assert [log_in(world, options)[1].context.ticket_used for _ in range(3)] == [
            False,
            True,
            True,
        ]

    def test_a_ticket_serves_mechanisms_of_the_same_curve(self) -> None:
        world = World()
        log_in(world)
        world.mechanism = mechanism_by_name("BROWSERID-A128S2")
        assert log_in(world)[1].context.ticket_used

    def test_every_time_with_new_keys(self) -> None:
        world = World()
        roots = {log_in(world)[1].context.root_key for _ in range(5)}
        assert len(roots) == 5

    def test_the_answer_carries_no_point(self) -> None:
        world = World()
        log_in(world)
        answer = world.acceptor().step(first_token(world))
        assert answer is not None
        assert list(claims_of(answer)) == ["exp", "tkt"]
        assert last_token(answer).header.alg == "HS256"

    def test_without_exp_it_counts_from_iat(self) -> None:
        world = World()
        log_in(world)
        (ticket,) = initiator_tickets(world)
        token = resigned(first_token(world), SecretKey(ticket.ark), exp=None, iat=START)
        world.clock.now += SKEW
        acceptor = world.acceptor()
        acceptor.step(token)
        assert acceptor.context.ticket_used
        world.clock.now += 1
        refuse(world.acceptor(), token, Code.EXPIRED_ASSERTION)

    def test_who_does_not_know_the_key_is_refused_for_good(self) -> None:
        world = World()
        log_in(world)
        token = resigned(first_token(world), SecretKey(bytes(32)))
        status = refuse(world.acceptor(), token, Code.INVALID_SIGNATURE)
        assert status["gss-maj"] == 6 << 16

    def test_an_unsigned_one_is_refused(self) -> None:
        world = World()
        log_in(world)
        unsigned = b"c,~" + jwt.unsigned(claims_of(first_token(world))).encode()
        refuse(world.acceptor(), unsigned, Code.MISSING_SIGNATURE)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    def test_one_signed_by_a_persons_key_is_refused(self, algorithm: str) -> None:
        world = World()
        log_in(world)
        token = resigned(first_token(world), key("alice", algorithm))
        refuse(world.acceptor(), token, Code.UNKNOWN_ALGORITHM)

    def test_one_under_a_certificate_is_refused(self) -> None:
        world = World()
        log_in(world)
        token = first_token(world).replace(b"c,~", f"c,{world.person.certificate()}~".encode())
        refuse(world.acceptor(), token, Code.INVALID_ASSERTION)
        refuse(world.acceptor(), resigned(token, key("alice")), Code.INVALID_ASSERTION)

    def test_a_ticket_for_another_audience_is_refused(self) -> None:
        smtp = ServiceName("smtp", IMAP.host)
        world = World()
        world.options = AcceptorOptions((IMAP, smtp))
        log_in(world)
        (ticket,) = initiator_tickets(world)
        aud = f"urn:x-gss:{smtp}"
        token = resigned(first_token(world), SecretKey(ticket.ark), aud=aud)
        refuse(world.acceptor(), token, Code.BAD_AUDIENCE)

    def test_a_ticket_for_a_name_the_server_has_lost_is_refused(self) -> None:
        world = World()
        log_in(world)
        world.options = AcceptorOptions((ServiceName("imap", "other.example.com"),))
        refuse(world.acceptor(), first_token(world), Code.BAD_AUDIENCE)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"nonce": None}, Code.MISSING_NONCE),
            ({"exp": START - SKEW - 1}, Code.EXPIRED_ASSERTION),
            ({"exp": START + 2 * DAY}, Code.INVALID_ASSERTION),
            ({"iat": START + SKEW + 1}, Code.INVALID_ASSERTION),
            ({"nbf": START + SKEW + 1}, Code.ASSERTION_NOT_YET_VALID),
            ({"aud": "urn:x-gss:imap/elsewhere"}, Code.BAD_AUDIENCE),
        ],
        ids=str,
    )
    def test_everything_else_is_checked_too(self, changes: dict[str, Any], code: Code) -> None:
        world = World()
        log_in(world)
        (ticket,) = initiator_tickets(world)
        token = resigned(first_token(world), SecretKey(ticket.ark), **changes)
        refuse(world.acceptor(), token, code)

    def test_the_signature_comes_before_what_is_signed(self) -> None:
        world = World()
        log_in(world)
        bad = {"aud": "urn:x-gss:imap/elsewhere", "nonce": None, "exp": 1}
        token = resigned(first_token(world), SecretKey(bytes(32)), **bad)
        refuse(world.acceptor(), token, Code.INVALID_SIGNATURE)


class TestRenewal:
    def test_a_ticket_is_renewed_with_every_use(self) -> None:
        world = World()
        log_in(world)
        world.clock.now += 9 * HOUR
        log_in(world)
        new, old = acceptor_tickets(world)
        assert new.renewed and not old.renewed
        assert new.tid != old.tid and new.ark != old.ark
        assert new.expires == START + 19 * HOUR
        assert new.renew_until == old.renew_until
        assert initiator_tickets(world)[0].tid == new.tid

    def test_until_the_limit_and_then_a_certificate_is_due(self) -> None:
        world = World()
        log_in(world)
        used, ends = [], set()
        while world.clock.now < START + 7 * DAY + HOUR:
            world.clock.now += 9 * HOUR
            used.append(log_in(world)[1].context.ticket_used)
            ends |= {ticket.expires for ticket in acceptor_tickets(world) if ticket.renewed}
        # 18 times 9 hours are within 7 days; the 19th login is not.
        assert used == [True] * 18 + [False]
        assert max(ends) == START + 7 * DAY

    def test_at_the_limit_the_login_succeeds_without_a_new_ticket(self) -> None:
        world = World()
        world.options = AcceptorOptions((IMAP,), ticket_renew_limit=10 * HOUR)
        log_in(world)
        world.clock.now += 10 * HOUR - 1
        assert log_in(world)[1].context.ticket_used
        assert [ticket.expires for ticket in acceptor_tickets(world)] == [START + 10 * HOUR] * 2


class TestAnUnknownTicket:
    def lost(self) -> World:
        world = World()
        log_in(world)
        for ticket in acceptor_tickets(world):
            world.server_stores.tickets.delete(ticket.tid)
        return world

    def test_a_certificate_is_asked_for_in_the_same_exchange(self) -> None:
        world = self.lost()
        acceptor = world.acceptor()
        initiator = world.initiator()
        answer = acceptor.step(initiator.step() or b"")
        assert answer is not None
        assert acceptor.state is AcceptorState.AWAIT_CERTIFICATE
        assert acceptor.failure is None
        assert last_token(answer).header.alg == "none"
        status = {"gss-maj": 13 << 16, "iat": START, "gss-min": 0x8000000E}
        assert claims_of(answer) == status
        acceptor.step(initiator.step(answer) or b"")
        assert not acceptor.context.ticket_used
        assert acceptor.context.identity == ALICE

    def test_an_expired_one_is_unknown(self) -> None:
        world = World()
        log_in(world)
        world.clock.now += 10 * HOUR - 1
        assert log_in(world)[1].context.ticket_used
        world = World()
        log_in(world)
        token = first_token(world)
        world.clock.now += 10 * HOUR
        answer = world.acceptor().step(token)
        assert answer is not None
        assert claims_of(answer)["gss-min"] == Code.REAUTH_FAILED.wire

    def test_a_server_that_keeps_no_tickets_knows_none(self) -> None:
        world = World()
        log_in(world)
        world.stores = replace(world.stores, tickets=None)
        assert not log_in(world)[1].context.ticket_used

    def test_another_ticket_in_answer_is_an_invalid_assertion_and_final(self) -> None:
        world = World()
        log_in(world)
        good = first_token(world)
        unknown = resigned(good, SecretKey(bytes(32)), tkt={"tid": "unknown"})
        acceptor = world.acceptor()
        acceptor.step(unknown)
        refuse(acceptor, good, Code.INVALID_ASSERTION)
        with refused(Code.CONTEXT_ESTABLISHED, kind=LocalProtocolError):
            acceptor.step(good)

    def test_a_bad_certificate_in_answer_is_final_too(self) -> None:
        world = self.lost()
        acceptor = world.acceptor()
        acceptor.step(first_token(world))
        world.person.signing_key = key("evil")
        refuse(acceptor, first_token(world, tickets=None), Code.INVALID_SIGNATURE)

    def test_the_channel_is_checked_again(self) -> None:
        world = self.lost()
        acceptor = world.acceptor(channel_binding=b"channel")
        acceptor.step(first_token(world, channel_binding=b"channel"))
        other = first_token(world, tickets=None, channel_binding=b"other")
        refuse(acceptor, other, Code.CHANNEL_BINDINGS_MISMATCH)


class Untouched:
    """A replay store that nobody may ask."""

    def insert(self, digest: bytes, not_after: int) -> bool:
        raise AssertionError("the replay store was asked")

    def purge(self, now: int) -> int:
        raise AssertionError("the replay store was asked")


class TestTheExtraRoundTrip:
    @pytest.mark.parametrize("forced", [False, True], ids=["asked for", "demanded"])
    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    @with_exchange
    def test_both_ends_go_on_with_the_new_key(
        self, mechanism: Mechanism, ticket: bool, forced: bool
    ) -> None:
        world = World(mechanism=mechanism)
        if ticket:
            log_in(world)
        world.options = replace(world.options, extra_round_trip=forced)
        initiator, acceptor = log_in(world, None if forced else ROUND_TRIP)
        for context in (initiator.context, acceptor.context):
            assert context.extra_round_trip
            assert context.ticket_used is ticket
        assert initiator.context.root_key == acceptor.context.root_key

    def test_the_replay_store_is_not_touched(self) -> None:
        world = World()
        world.stores = replace(world.stores, replay=Untouched())
        log_in(world, ROUND_TRIP)
        log_in(world, ROUND_TRIP)
        world.options = replace(world.options, extra_round_trip=True)
        log_in(world)

    def test_the_answer_has_a_number_of_its_own_and_waits(self) -> None:
        world = World()
        acceptor = world.acceptor()
        answer = acceptor.step(first_token(world, ROUND_TRIP))
        assert answer is not None
        assert list(claims_of(answer)) == ["exp", "ecdh", "tkt", "jti"]
        assert len(b64.decode(claims_of(answer)["jti"], "jti")) == 16
        assert acceptor.state is AcceptorState.AWAIT_PROOF
        with refused(Code.CONTEXT_INCOMPLETE):
            _ = acceptor.context

    def test_the_ticket_is_stored_after_the_proof(self) -> None:
        world = World()
        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
        answer = acceptor.step(initiator.step() or b"")
        assert answer is not None
        assert acceptor_tickets(world) == []
        assert acceptor.step(initiator.step(answer) or b"") is None
        (ticket,) = acceptor_tickets(world)
        assert claims_of(answer)["tkt"] == {"tid": ticket.tid, "exp": ticket.expires}
        assert initiator_tickets(world)[0].ark == ticket.ark
        world.options = AcceptorOptions((IMAP,))
        assert log_in(world)[1].context.ticket_used

    def test_a_replayed_first_message_does_not_touch_the_victims_ticket(self) -> None:
        world = World()
        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
        token = initiator.step() or b""
        answer = acceptor.step(token)
        attacked = world.acceptor()
        attacked.step(token)
        acceptor.step(initiator.step(answer) or b"")
        before = acceptor_tickets(world)
        refuse(
            attacked, b"c,~" + jwt.sign({}, SecretKey(bytes(32))).encode(), Code.INVALID_SIGNATURE
        )
        late = world.acceptor()
        late.step(token)
        refuse(late, b"c,~" + jwt.unsigned({}).encode(), Code.MISSING_SIGNATURE)
        assert acceptor_tickets(world) == before
        assert log_in(world)[1].context.ticket_used

    def test_even_the_proof_replaces_no_ticket(self) -> None:
        # The initiator itself runs its first message twice.
        world = World()
        initiator, first = world.initiator(ROUND_TRIP), world.acceptor()
        token = initiator.step() or b""
        first_answer = first.step(token)
        offer = initiator._sent
        first.step(initiator.step(first_answer) or b"")
        before = acceptor_tickets(world)
        second = world.acceptor()
        answer = claims_of(second.step(token) or b"")
        assert offer.ephemeral is not None
        point = type(offer.ephemeral.point)(
            b64.decode(answer["ecdh"]["x"], "x"), b64.decode(answer["ecdh"]["y"], "y")
        )
        master = offer.ephemeral.agree(point)
        proof = SecretKey(keys.extra_round_trip_key(master, b64.decode(answer["jti"], "jti")))
        assert second.step(b"c,~" + jwt.sign({}, proof).encode()) is None
        assert second.state is AcceptorState.ESTABLISHED
        assert acceptor_tickets(world) == before

    @pytest.mark.parametrize("case", ["reply", "assertion", "certificate", "response key", "empty"])
    def test_only_the_proof_will_do(self, case: str) -> None:
        world = World()
        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
        token = initiator.step() or b""
        answer = acceptor.step(token) or b""
        proof = initiator.step(answer) or b""
        wrong, code = {
            "reply": (b"c" + answer[1:], Code.INVALID_SIGNATURE),
            "assertion": (token, Code.INVALID_ASSERTION),
            "certificate": (
                b"c," + certificate_in(token).encode() + proof[2:],
                Code.INVALID_ASSERTION,
            ),
            "response key": (
                b"c,~" + jwt.sign({}, SecretKey(b"r" * 32)).encode(),
                Code.INVALID_SIGNATURE,
            ),
            "empty": (b"", Code.TOKEN_TRUNCATED),
        }[case]
        refuse(acceptor, wrong, code)
        assert acceptor_tickets(world) == []
        with refused(Code.CONTEXT_ESTABLISHED):
            acceptor.step(proof)

    @pytest.mark.parametrize(
        ("later", "code"),
        [
            (5 * MINUTE + SKEW, None),
            (5 * MINUTE + SKEW + 1, Code.EXPIRED_ASSERTION),
            (HOUR, Code.EXPIRED_ASSERTION),
        ],
    )
    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    def test_the_proof_comes_while_the_assertion_is_good(
        self, ticket: bool, later: int, code: Code | None
    ) -> None:
        world, acceptor, proof = self.awaiting_proof(ticket=ticket)
        before = acceptor_tickets(world)
        world.clock.now += later
        if code is None:
            assert acceptor.step(proof) is None
            assert acceptor.state is AcceptorState.ESTABLISHED
        else:
            refuse(acceptor, proof, code)
            world.clock.now -= later
            assert acceptor_tickets(world) == before

    @pytest.mark.parametrize("left", [1, 1000, MINUTE])
    def test_it_comes_before_the_certificate_has_expired(self, left: int) -> None:
        world = World()
        world.person.claims = {"exp": START + left}
        world.clock.now -= MINUTE
        acceptor = world.acceptor()
        initiator = world.initiator(ROUND_TRIP)
        answer = acceptor.step(initiator.step() or b"")
        proof = initiator.step(answer) or b""
        world.clock.now = START + left
        refuse(acceptor, proof, Code.CRED_EXPIRED)
        assert acceptor_tickets(world) == []

    @pytest.mark.parametrize("by", ["revocation", "expiry", "no store"])
    def test_it_comes_while_the_ticket_is_there(self, by: str) -> None:
        world, acceptor, proof = self.awaiting_proof(ticket=True, lifetime=MINUTE)
        (ticket,) = acceptor_tickets(world)
        if by == "revocation":
            assert world.server_stores.tickets.delete(ticket.tid)
        if by == "expiry":
            world.clock.now = ticket.expires
        if by == "no store":
            acceptor._stores = replace(acceptor._stores, tickets=None)
        refuse(acceptor, proof, Code.REAUTH_FAILED)
        assert [each for each in acceptor_tickets(world) if each != ticket] == []

    def test_who_was_refused_meanwhile_stays_out(self) -> None:
        world = World()
        permitted = True

        def authorize(identity: str) -> None:
            if not permitted:
                raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, f"{identity} has left")

        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor(authorize=authorize)
        proof = initiator.step(acceptor.step(initiator.step() or b"")) or b""
        permitted = False
        refuse(acceptor, proof, Code.NO_LOCAL_MAPPING)
        assert acceptor_tickets(world) == []

    def awaiting_proof(
        self, *, ticket: bool, lifetime: int = 10 * HOUR
    ) -> tuple[World, Acceptor, bytes]:
        """An acceptor that waits, and the proof it waits for."""
        world = World()
        world.options = replace(world.options, ticket_lifetime=lifetime)
        if ticket:
            log_in(world)
        initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
        answer = acceptor.step(initiator.step() or b"")
        assert acceptor.state is AcceptorState.AWAIT_PROOF
        return world, acceptor, initiator.step(answer) or b""

    def test_proofs_of_two_exchanges_cannot_be_swapped(self) -> None:
        world = World()
        initiator = world.initiator(ROUND_TRIP)
        token = initiator.step() or b""
        first, second = world.acceptor(), world.acceptor()
        answer, _ = first.step(token), second.step(token)
        refuse(second, initiator.step(answer) or b"", Code.INVALID_SIGNATURE)


class TestMutualAuthentication:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    @each_mechanism
    def test_the_answer_is_signed_by_the_servers_key(
        self, mechanism: Mechanism, algorithm: str
    ) -> None:
        world = World(mechanism=mechanism)
        credential = server_credential(algorithm)
        initiator, acceptor = (
            world.initiator(MUTUAL, trust=server_trust()),
            world.acceptor(credential=credential),
        )
        token = initiator.step() or b""
        answer = acceptor.step(token) or b""
        assert initiator.step(answer) is None
        response = last_token(answer)
        assert (response.header.alg, response.header.x5c) == (algorithm, credential.chain)
        assert response.claims["nonce"] == claims_of(token)["nonce"]
        assert initiator.context.mutual and acceptor.context.mutual
        assert initiator.context.root_key == acceptor.context.root_key

    def test_only_if_that_was_asked_for(self) -> None:
        world = World()
        _, acceptor = log_in(world, acceptor={"credential": server_credential()})
        assert not acceptor.context.mutual

    def test_who_asks_has_to_send_a_nonce(self) -> None:
        world = World()
        token = first_token(world, MUTUAL, trust=server_trust())
        forged = resigned(token, key("alice"), nonce=None)
        refuse(world.acceptor(credential=server_credential()), forged, Code.MISSING_NONCE)

    def test_a_server_without_a_key_answers_as_usual(self) -> None:
        preferred = InitiatorOptions(mutual=Mutual.PREFERRED)
        initiator, acceptor = log_in(World(), preferred, initiator={"trust": server_trust()})
        assert not initiator.context.mutual and not acceptor.context.mutual

    def test_it_goes_on_through_tickets(self) -> None:
        world = World()
        ends: dict[str, dict[str, Any]] = {
            "initiator": {"trust": server_trust()},
            "acceptor": {"credential": server_credential()},
        }
        log_in(world, MUTUAL, **ends)
        for _ in range(2):
            initiator, acceptor = log_in(world, MUTUAL, **ends)
            assert acceptor.context.ticket_used
            assert initiator.context.mutual and acceptor.context.mutual

    def test_and_both_ends_report_it_only_where_it_was_asked_for(self) -> None:
        world = World()
        ends: dict[str, dict[str, Any]] = {
            "initiator": {"trust": server_trust()},
            "acceptor": {"credential": server_credential()},
        }
        log_in(world, MUTUAL, **ends)
        initiator, acceptor = log_in(world)
        assert acceptor.context.ticket_used
        assert not initiator.context.mutual and not acceptor.context.mutual
        assert log_in(world, MUTUAL, **ends)[1].context.mutual

    def test_a_ticket_without_it_does_not_gain_it(self) -> None:
        world = World()
        log_in(world)
        preferred = InitiatorOptions(mutual=Mutual.PREFERRED)
        initiator, acceptor = log_in(
            world,
            preferred,
            initiator={"trust": server_trust()},
            acceptor={"credential": server_credential()},
        )
        assert acceptor.context.ticket_used
        assert not initiator.context.mutual and not acceptor.context.mutual

    def test_together_with_the_extra_round_trip(self) -> None:
        options = InitiatorOptions(mutual=Mutual.REQUIRED, extra_round_trip=True)
        initiator, acceptor = log_in(
            World(),
            options,
            initiator={"trust": server_trust()},
            acceptor={"credential": server_credential()},
        )
        assert initiator.context.mutual and acceptor.context.mutual
        assert initiator.context.root_key == acceptor.context.root_key


class TestAuthorization:
    def test_the_application_is_asked_about_the_proven_identity(self) -> None:
        for ticket in (False, True):
            world = World()
            if ticket:
                log_in(world)
            asked: list[str] = []
            acceptor = world.acceptor(authorize=asked.append)
            acceptor.step(first_token(world))
            assert asked == [ALICE]

    def test_it_is_not_asked_about_anybody_who_proves_nothing(self) -> None:
        world = World()
        world.person.signing_key = key("evil")
        asked: list[str] = []
        refuse(world.acceptor(authorize=asked.append), first_token(world), Code.INVALID_SIGNATURE)
        assert asked == []

    @pytest.mark.parametrize("options", [InitiatorOptions(), ROUND_TRIP])
    def test_a_refusal_comes_before_anything_is_stored(self, options: InitiatorOptions) -> None:
        def nobody(identity: str) -> None:
            raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, f"{identity} has no account")

        world = World()
        world.stores = replace(world.stores, replay=Untouched())
        token = first_token(world, options)
        refuse(world.acceptor(authorize=nobody), token, Code.NO_LOCAL_MAPPING)
        assert acceptor_tickets(world) == []


class TestErrorTokens:
    """Signed as the answer would have been, as soon as that is possible (section 4.4)."""

    def refuse_authorized(self, world: World, token: bytes, **further: Any) -> bytes:
        def nobody(identity: str) -> None:
            raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, "no account")

        return world.acceptor(authorize=nobody, **further).step(token) or b""

    @pytest.mark.parametrize("token", [b"", b"x", b"C,~", b"c,", b"c,~a.b.c", b"\xff" * 100])
    def test_before_the_assertion_is_verified_they_are_not_signed(self, token: bytes) -> None:
        answer = World().acceptor().step(token)
        assert answer is not None
        assert answer.startswith(b"C,~")
        assert last_token(answer).header.alg == "none"
        assert list(claims_of(answer)) == ["gss-maj", "iat", "gss-min"]

    def test_a_forged_assertion_gets_an_unsigned_answer(self) -> None:
        world = World()
        world.person.signing_key = key("evil")
        answer = world.acceptor().step(first_token(world)) or b""
        assert last_token(answer).header.alg == "none"

    @each_dialect
    def test_afterwards_with_the_response_key_and_the_point_it_takes(
        self, dialect: Dialect
    ) -> None:
        world = World()
        token = first_token(world, InitiatorOptions(dialect=dialect))
        answer = self.refuse_authorized(world, token)
        assert last_token(answer).header.alg == "HS256"
        members = ["gss-maj", "iat", "gss-min", dialect.agreement]
        assert list(claims_of(answer)) == members

    def test_with_the_servers_key_and_the_nonce(self) -> None:
        world = World()
        token = first_token(world, MUTUAL, trust=server_trust())
        answer = self.refuse_authorized(world, token, credential=server_credential())
        assert last_token(answer).header.x5c
        assert claims_of(answer)["nonce"] == claims_of(token)["nonce"]

    def test_in_re_authentication_without_a_point(self) -> None:
        world = World()
        log_in(world)
        answer = self.refuse_authorized(world, first_token(world))
        assert last_token(answer).header.alg == "HS256"
        assert list(claims_of(answer)) == ["gss-maj", "iat", "gss-min"]

    def test_without_key_exchange_they_are_never_signed(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        answer = self.refuse_authorized(world, first_token(world))
        assert last_token(answer).header.alg == "none"

    def test_a_replay_is_reported_under_the_new_keys(self) -> None:
        world = World()
        token = first_token(world)
        world.acceptor().step(token)
        answer = world.acceptor().step(token) or b""
        assert last_token(answer).header.alg == "HS256"
        assert "ecdh" in claims_of(answer)

    def test_the_keys_of_a_first_attempt_are_not_used_for_the_second(self) -> None:
        world = World()
        log_in(world)
        good = first_token(world)
        acceptor = world.acceptor()
        acceptor.step(resigned(good, SecretKey(bytes(32)), tkt={"tid": "unknown"}))
        answer = acceptor.step(b"c,garbage") or b""
        assert last_token(answer).header.alg == "none"

    def test_an_error_found_outside_is_reported_like_any_other(self) -> None:
        acceptor = World().acceptor()
        error = RemoteProtocolError(Code.BAD_TOKEN_HEADER, "no header")
        answer = acceptor.refuse(error)
        assert answer is not None
        assert acceptor.failure is error
        assert claims_of(answer)["gss-min"] == 0x80000003


class TestMisuse:
    def test_nothing_comes_after_the_end(self) -> None:
        world = World()
        _, established = log_in(world)
        failed = world.acceptor()
        failed.step(b"")
        for acceptor in (established, failed):
            state, failure = acceptor.state, acceptor.failure
            for token in (b"", first_token(world, tickets=None)):
                with refused(Code.CONTEXT_ESTABLISHED, kind=LocalProtocolError):
                    acceptor.step(token)
            with refused(Code.INVALID_USAGE, kind=LocalProtocolError):
                acceptor.refuse(RemoteProtocolError(Code.UNAVAILABLE, "too late"))
            assert (acceptor.state, acceptor.failure) == (state, failure)

    def test_there_is_no_context_before_the_end(self) -> None:
        with refused(Code.CONTEXT_INCOMPLETE, kind=LocalProtocolError):
            _ = World().acceptor().context

    def test_a_hook_that_breaks_leaves_nothing_behind(self) -> None:
        def broken(identity: str) -> None:
            raise RuntimeError("bug")

        world = World()
        acceptor = world.acceptor(authorize=broken)
        with pytest.raises(RuntimeError):
            acceptor.step(first_token(world))
        assert acceptor.state is AcceptorState.START
        assert acceptor_tickets(world) == []
        with refused(Code.CONTEXT_INCOMPLETE):
            _ = acceptor.context


def test_nobody_is_shown_a_secret() -> None:
    world = World()
    initiator, acceptor = world.initiator(ROUND_TRIP), world.acceptor()
    token = initiator.step() or b""
    answer = acceptor.step(token) or b""
    objects: list[object] = [
        acceptor,
        acceptor._pending,
        acceptor._seal,
        initiator,
        initiator._sent,
    ]
    assert acceptor._pending is not None
    secrets = [acceptor._pending.master_key, acceptor._pending.grant.master_key]
    acceptor.step(initiator.step(answer) or b"")
    (ticket,), (theirs,) = initiator_tickets(world), acceptor_tickets(world)
    objects += [initiator.context, acceptor.context, ticket, theirs]
    secrets += [acceptor.context.root_key, ticket.ark, b64.decode(claims_of(answer)["jti"], "jti")]
    for shown in map(repr, objects):
        for secret in secrets:
            assert secret is not None
            for spelled in (repr(secret), secret.hex(), b64.encode(secret)):
                assert spelled not in shown
        assert token.decode() not in shown


def test_the_whole_exchange_is_carried_by_the_worlds_helper() -> None:
    world = World()
    initiator, acceptor = world.initiator(), world.acceptor()
    exchange(initiator, acceptor)
    assert acceptor.context.identity == initiator.context.identity
