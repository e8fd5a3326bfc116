"""The server's side of SASL: whom it lets in as whom, over which channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from browserid_sasl.errors import (
    Code,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
)
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.context import ContextFlag
from browserid_sasl.gss.initiator import InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.gs2 import BindingFlag
from browserid_sasl.sasl.server import ServerMechanism
from tests.support import vectors
from tests.support.exchanges import acceptor_tickets, server_credential, server_trust
from tests.support.forging import claims_of
from tests.support.refusal import refused
from tests.support.sasl import BINDINGS, EXPORTER, bound_client, converse, make_client, make_server
from tests.support.world import ALICE, HOUR, START, World

ROUND_TRIP = InitiatorOptions(extra_round_trip=True)

# What Cyrus's sample server has with -c or -C.
SAMPLE_BINDINGS = {
    "tls-unique": b"use SSL_get_(peer)_finished()\0",
    "tls-server-end-point": b"use X509_digest()\0",
}


def refuse(server: ServerMechanism, message: bytes, code: Code) -> None:
    """Expect a refusal: the reason at once, the error token to send, then the exception."""
    answer = server.step(message)
    assert answer is not None
    assert claims_of(answer)["gss-min"] == code.wire
    assert server.failure is not None
    assert server.failure.code is code, server.failure
    assert_failed(server, code)


def assert_failed(server: ServerMechanism, code: Code) -> None:
    assert not server.complete
    for message in (b"", b"c,", b"n,,c,"):
        with refused(code):
            server.step(message)
    with refused(Code.CONTEXT_INCOMPLETE, kind=LocalProtocolError):
        _ = server.result
    assert not server.complete


class TestALogin:
    @pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda row: row.name)
    def test_it_succeeds_after_an_empty_message(self, mechanism: Mechanism) -> None:
        world = World(mechanism=mechanism)
        client, server = make_client(world), make_server(world)
        challenge = server.step(client.step())
        assert challenge is not None and challenge.startswith(b"C,~")
        before = server.complete
        assert client.step(challenge) == b""
        assert server.step(b"") is None
        assert (before, server.complete, client.complete) == (False, True, True)

    def test_or_at_once_where_success_takes_data_along(self) -> None:
        world = World()
        client, server = make_client(world), make_server(world, success_data=True)
        data = server.step(client.step())
        assert server.complete
        assert client.step(data) == b""
        assert client.complete

    def test_what_the_application_learns(self) -> None:
        world = World()
        world.person.claims = {"groups": ["staff"]}
        client, server = make_client(world), make_server(world)
        converse(client, server)
        for result in (server.result, client.result):
            assert result.identity == result.authzid == ALICE
            assert result.issuer == "idp.test"
            assert result.mechanism == "BROWSERID-AES128"
            assert result.expires == START + HOUR
            assert result.channel_binding is None
            assert result.attributes == {"groups": ["staff"]}
            assert ContextFlag.INTEGRITY in result.flags
            assert not result.mutual and not result.ticket_used
        assert server.result.context.root_key == client.result.context.root_key

    def test_the_second_login_uses_a_ticket(self) -> None:
        world = World()
        for used in (False, True, True):
            client, server = make_client(world), make_server(world)
            converse(client, server)
            assert server.result.ticket_used is client.result.ticket_used is used

    def test_a_lost_ticket_costs_one_more_round_in_the_same_exchange(self) -> None:
        world = World()
        converse(make_client(world), make_server(world))
        for ticket in acceptor_tickets(world):
            world.server_stores.tickets.delete(ticket.tid)
        client, server = make_client(world), make_server(world)
        assert len(converse(client, server)) == 2
        assert not server.result.ticket_used

    @pytest.mark.parametrize("success_data", [False, True])
    def test_the_extra_round_trip_takes_three_messages_of_the_client(
        self, success_data: bool
    ) -> None:
        world = World()
        client, server = (
            make_client(world, ROUND_TRIP),
            make_server(world, success_data=success_data),
        )
        challenge = server.step(client.step())
        before = server.complete
        assert server.step(client.step(challenge)) is None
        assert (before, server.complete, client.complete) == (False, True, True)
        assert server.result.context.extra_round_trip

    def test_mutual_authentication(self) -> None:
        world = World()
        options = InitiatorOptions(mutual=Mutual.REQUIRED)

        def acceptor(**further: Any) -> Acceptor:
            return world.acceptor(credential=server_credential(), **further)

        client, server = (
            make_client(world, options, trust=server_trust()),
            ServerMechanism(acceptor),
        )
        converse(client, server)
        assert server.result.mutual and client.result.mutual


class TestTheChannel:
    def test_client_and_server_bind_to_it(self) -> None:
        world = World()
        client, server = bound_client(world), make_server(world, channel_bindings=BINDINGS)
        converse(client, server)
        assert server.result.channel_binding == client.result.channel_binding == "tls-exporter"

    def test_what_counts_is_the_flag_and_not_the_name(self) -> None:
        world = World()
        client = bound_client(world)
        assert client.name == "BROWSERID-AES128-PLUS"
        assert client.step().startswith(b"p=tls-exporter,,c,")

    def test_any_of_the_servers_types_will_do(self) -> None:
        world = World()
        for kind, data in BINDINGS.items():
            binding = ChannelBinding(kind, data)
            client = make_client(world, flag=BindingFlag.USED, binding=binding)
            server = make_server(world, channel_bindings=BINDINGS)
            converse(client, server)
            assert server.result.channel_binding == kind

    @pytest.mark.parametrize(
        ("bindings", "reason"),
        [
            ({}, "has no binding data"),
            ({"tls-unique": EXPORTER.data}, "binds by tls-exporter, this server knows tls-unique"),
            ({"tls-exporter": b"another channel"}, "bound to another channel"),
            ({"tls-exporter": b""}, "bound to another channel"),
        ],
    )
    def test_a_client_on_another_channel_is_refused(
        self, bindings: Mapping[str, bytes], reason: str
    ) -> None:
        world = World()
        server = make_server(world, channel_bindings=bindings)
        server.step(bound_client(world).step())
        assert server.failure is not None and reason in str(server.failure)
        assert_failed(server, Code.CHANNEL_BINDINGS_MISMATCH)

    def test_a_client_that_was_led_to_believe_in_none_is_a_downgrade(self) -> None:
        world = World()
        client = make_client(world, flag=BindingFlag.NOT_OFFERED, binding=EXPORTER)
        server = make_server(world, channel_bindings=BINDINGS)
        refuse(server, client.step(), Code.CHANNEL_BINDINGS_MISMATCH)
        assert server.failure is not None and "altered the list" in server.failure.remedy

    def test_such_a_client_is_right_where_the_server_has_none(self) -> None:
        world = World()
        client = make_client(world, flag=BindingFlag.NOT_OFFERED, binding=EXPORTER)
        converse(client, make_server(world))

    def test_and_where_the_server_did_not_list_it(self) -> None:
        world = World()
        client = make_client(world, flag=BindingFlag.NOT_OFFERED, binding=EXPORTER)
        converse(client, make_server(world, channel_bindings=BINDINGS, plus_listed=False))
        binding = make_server(world, channel_bindings=BINDINGS, plus_listed=False)
        converse(bound_client(world), binding)
        assert binding.result.channel_binding == EXPORTER.type

    def test_such_a_client_is_deceived_where_the_name_was_listed_and_the_data_is_elsewhere(
        self,
    ) -> None:
        world = World()
        client = make_client(world, flag=BindingFlag.NOT_OFFERED, binding=EXPORTER)
        server = make_server(world, plus_listed=True)
        refuse(server, client.step(), Code.CHANNEL_BINDINGS_MISMATCH)

    def test_a_client_without_binding_is_taken_unless_it_is_required(self) -> None:
        world = World()
        converse(make_client(world), make_server(world, channel_bindings=BINDINGS))
        server = make_server(world, channel_bindings=BINDINGS, require_binding=True)
        refuse(server, make_client(world).step(), Code.MISSING_CHANNEL_BINDINGS)

    def test_a_server_that_requires_binding_and_has_none_takes_nobody(self) -> None:
        world = World()
        for flag in (BindingFlag.NONE, BindingFlag.NOT_OFFERED):
            server = make_server(world, require_binding=True)
            client = make_client(world, flag=flag, binding=EXPORTER)
            refuse(server, client.step(), Code.MISSING_CHANNEL_BINDINGS)
        server = make_server(world, require_binding=True)
        refuse(server, bound_client(world).step(), Code.CHANNEL_BINDINGS_MISMATCH)

    @pytest.mark.parametrize(
        ("written", "altered"),
        [
            (b"p=tls-exporter,,", b"n,,"),
            (b"p=tls-exporter,,", b"y,,"),
            (b"p=tls-exporter,,", b"p=tls-unique,,"),
            (b"p=tls-exporter,,", b"p=tls-exporter,a=alice@idp.test,"),
        ],
    )
    def test_the_header_is_signed_and_cannot_be_altered_on_the_way(
        self, written: bytes, altered: bytes
    ) -> None:
        world = World()
        message = bound_client(world).step()
        assert message.startswith(written)
        server = make_server(world, channel_bindings=BINDINGS)
        refuse(server, message.replace(written, altered, 1), Code.CHANNEL_BINDINGS_MISMATCH)

    def test_neither_can_the_authorization_identity(self) -> None:
        world = World()
        message = make_client(world, authzid="bob").step()
        for altered in (b"n,,", b"n,a=alice@idp.test,", b"n,a=root,"):
            server = make_server(world, authorize=lambda *_: True)
            forged = message.replace(b"n,a=bob,", altered, 1)
            refuse(server, forged, Code.CHANNEL_BINDINGS_MISMATCH)

    def test_an_assertion_made_for_plain_gss_use_is_not_bound_and_not_taken(self) -> None:
        world = World()
        token = world.initiator().step() or b""
        refuse(make_server(world), b"n,," + token, Code.MISSING_CHANNEL_BINDINGS)


class TestWhoActsAsWhom:
    def test_oneself_by_default(self) -> None:
        world = World()
        for authzid in ("", ALICE, "alice@IDP.Test"):
            server = make_server(world)
            converse(make_client(world, authzid=authzid), server)
            assert server.result.authzid == ALICE

    @pytest.mark.parametrize(
        "authzid", ["bob", "bob@idp.test", "ALICE@idp.test", "Alice@IDP.test", f"{ALICE} "]
    )
    def test_and_nobody_else(self, authzid: str) -> None:
        world = World()
        server = make_server(world)
        refuse(server, make_client(world, authzid=authzid).step(), Code.NO_LOCAL_MAPPING)
        assert server.failure is not None
        assert f"{ALICE} may not act as {authzid}" in str(server.failure)
        assert acceptor_tickets(world) == []

    def test_whom_the_application_permits(self) -> None:
        asked = []

        def authorize(identity: str, authzid: str) -> bool:
            asked.append((identity, authzid))
            return authzid == "a,b=c@idp.test"

        world = World()
        client = make_client(world, authzid="a,b=c@idp.test")
        server = make_server(world, authorize=authorize)
        converse(client, server)
        assert server.result.authzid == client.result.authzid == "a,b=c@idp.test"
        assert server.result.identity == ALICE
        refuse(
            make_server(world, authorize=authorize),
            make_client(world, authzid="root").step(),
            Code.NO_LOCAL_MAPPING,
        )
        assert asked == [(ALICE, "a,b=c@idp.test"), (ALICE, "root")]

    def test_the_application_may_refuse_somebody_as_themselves(self) -> None:
        world = World()
        server = make_server(world, authorize=lambda identity, _: identity != ALICE)
        refuse(server, make_client(world).step(), Code.NO_LOCAL_MAPPING)
        assert f"{ALICE} may not log in to this service" in str(server.failure)

    @pytest.mark.parametrize("authzid", ["evil\nNov 21 root logged in", "\x1b[2J", "x" * 1000])
    def test_the_reason_can_be_logged_whatever_was_asked_for(self, authzid: str) -> None:
        world = World()
        server = make_server(world)
        server.step(make_client(world, authzid=authzid).step())
        assert server.failure is not None
        assert str(server.failure).isprintable()
        assert len(str(server.failure)) < 500


class TestRefusals:
    @pytest.mark.parametrize(
        "message", [b"", b"n", b"F,,c,", b"p,,c,", b"x" * 100_000, b"\xff\0", b"c,ey~ey"]
    )
    def test_a_first_message_without_a_header(self, message: bytes) -> None:
        refuse(make_server(World()), message, Code.BAD_TOKEN_HEADER)

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (b"", Code.TOKEN_TRUNCATED),
            (b"C,~a.b.c", Code.BAD_DIRECTION),
            (b"\x60\x0e\x06\x0a", Code.WRONG_TOKEN_ID),
            (b"c,a.b.c", Code.INVALID_BASE64),
            (b"c," + b"x" * 70_000, Code.BUFFER_TOO_LONG),
        ],
    )
    def test_a_first_message_without_a_token(self, token: bytes, code: Code) -> None:
        refuse(make_server(World()), b"n,," + token, code)

    def test_the_client_learns_the_reason(self) -> None:
        world = World()
        message = make_client(world).step()
        make_server(world).step(message)
        client = make_client(world)
        client.step()
        server = make_server(world)
        challenge = server.step(message)
        assert server.failure is not None
        assert server.failure.code is Code.REPLAYED_ASSERTION
        assert_failed(server, Code.REPLAYED_ASSERTION)
        # It is signed under the keys of the message that was replayed, not under ours.
        with refused(Code.INVALID_SIGNATURE):
            client.step(challenge)

    def test_in_its_own_exchange_under_its_own_keys(self) -> None:
        world = World()
        client = make_client(world, authzid="root")
        with pytest.raises(PeerRefusedError) as refusal:
            client.step(make_server(world).step(client.step()))
        assert refusal.value.code is Code.NO_LOCAL_MAPPING
        assert refusal.value.authenticated

    def test_the_server_stays_failed_when_the_client_goes_on(self) -> None:
        world = World()
        server = make_server(world)
        refuse(server, b"garbage", Code.BAD_TOKEN_HEADER)
        good = make_client(world).step()
        with refused(Code.BAD_TOKEN_HEADER):
            server.step(good)

    def test_the_last_message_has_to_be_empty(self) -> None:
        world = World()
        client, server = make_client(world), make_server(world)
        server.step(client.step())
        with refused(Code.BAD_CONTEXT_TOKEN, kind=RemoteProtocolError):
            server.step(b"n,,c,")
        assert server.failure is not None
        assert_failed(server, Code.BAD_CONTEXT_TOKEN)

    @pytest.mark.parametrize(
        ("later", "good"), [(HOUR - 1, True), (HOUR, False), (9 * HOUR, False)]
    )
    def test_and_has_to_come_before_the_login_is_over(self, later: int, good: bool) -> None:
        world = World()
        client, server = make_client(world), make_server(world)
        answer = client.step(server.step(client.step()))
        world.clock.now += later
        if good:
            assert server.step(answer) is None and server.complete
            return
        with refused(Code.CRED_EXPIRED, kind=RemoteProtocolError):
            server.step(answer)
        assert_failed(server, Code.CRED_EXPIRED)

    def test_nothing_comes_after_success(self) -> None:
        world = World()
        client, server = make_client(world), make_server(world)
        converse(client, server)
        for message in (b"", client.step(b""), b"n,,c,"):
            with refused(Code.CONTEXT_ESTABLISHED, kind=LocalProtocolError):
                server.step(message)
        assert server.complete and server.failure is None

    def test_there_is_no_result_before_the_last_message(self) -> None:
        world = World()
        client, server = make_client(world), make_server(world)
        with refused(Code.CONTEXT_INCOMPLETE):
            _ = server.result
        assert server.failure is None
        server.step(client.step())
        with refused(Code.CONTEXT_INCOMPLETE):
            _ = server.result

    def test_a_bad_proof_is_refused(self) -> None:
        world = World()
        client, server = make_client(world, ROUND_TRIP), make_server(world)
        server.step(client.step())
        answer = server.step(b"c,~garbage")
        assert answer is not None
        assert_failed(server, Code.INVALID_JSON_WEB_TOKEN)
        assert acceptor_tickets(world) == []


class TestRecordedExchanges:
    """Messages that Cyrus's sample programs exchanged, with its C implementation in them."""

    def server(self, vector: vectors.Vector, stores: Any = None, **options: Any) -> ServerMechanism:
        def acceptor(**further: Any) -> Acceptor:
            return vectors.make_acceptor(vector, stores, **further)

        return ServerMechanism(acceptor, channel_bindings=SAMPLE_BINDINGS, **options)

    @pytest.mark.parametrize(
        "name", vectors.names(lambda vector: vector.is_sasl and vector.succeeds)
    )
    def test_the_server_says_the_same(self, name: str) -> None:
        vector = vectors.load(name)
        server = self.server(vector)
        said = [server.step(message) for message in vector.messages("initiator")]
        assert server.complete
        assert server.result.identity == server.result.authzid == "alice@idp.test"
        answers = [answer for answer in said if answer is not None]
        for ours, theirs in zip(answers, vector.messages("acceptor"), strict=True):
            vectors.assert_same_answer(ours, theirs)
        header = vector.messages("initiator")[0].partition(b",c,")[0].decode()
        binding = header.partition(",")[0].removeprefix("p=") if header[0] == "p" else None
        assert server.result.channel_binding == binding

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("sasl-bad-audience", Code.BAD_AUDIENCE),
            ("sasl-expired", Code.EXPIRED_ASSERTION),
            ("sasl-aes128-authzid", Code.NO_LOCAL_MAPPING),
        ],
    )
    def test_the_server_refuses_the_same(self, name: str, code: Code) -> None:
        vector = vectors.load(name)
        refuse(self.server(vector), vector.messages("initiator")[0], code)

    def test_the_recorded_replay(self) -> None:
        vector = vectors.load("sasl-replay-first")
        stores = vectors.acceptor_stores(vector)
        first, again = self.server(vector, stores), self.server(vector, stores)
        message = vectors.load("sasl-replay").messages("initiator")[0]
        assert message == vector.messages("initiator")[0]
        first.step(message)
        refuse(again, message, Code.REPLAYED_ASSERTION)

    def test_who_acts_as_another_is_the_applications_decision(self) -> None:
        vector = vectors.load("sasl-aes128-authzid")
        server = self.server(vector, authorize=lambda *_: True, success_data=True)
        assert server.step(vector.messages("initiator")[0])
        assert server.result.authzid == vector.data["authzid"] == "bob"
        assert Jwt.parse(vector.messages("initiator")[0].split(b"~")[-1].decode())
