"""The client's side of SASL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from browserid_sasl.errors import Code, LocalProtocolError, PeerRefusedError, RemoteProtocolError
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.jose import b64, jwt
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.gs2 import BindingFlag
from tests.support import vectors
from tests.support.forging import claims_of
from tests.support.refusal import refused
from tests.support.sasl import EXPORTER, bound_client, converse, make_client, make_server
from tests.support.world import ALICE, World


class TestTheFirstMessage:
    @pytest.mark.parametrize("challenge", [None, b""])
    def test_it_has_the_header_and_the_token_without_oid(self, challenge: bytes | None) -> None:
        assert make_client(World()).step(challenge).startswith(b"n,,c,ey")

    def test_the_header_is_signed_along(self) -> None:
        message = make_client(World(), authzid="a,b").step()
        assert message.startswith(b"n,a=a=2Cb,c,")
        assert b64.decode(claims_of(message)["cb"], "cb") == b"n,a=a=2Cb,"

    def test_so_is_the_binding_data_but_only_when_it_is_used(self) -> None:
        for flag, expected in [
            (BindingFlag.USED, b"p=tls-exporter,," + EXPORTER.data),
            (BindingFlag.NOT_OFFERED, b"y,,"),
            (BindingFlag.NONE, b"n,,"),
        ]:
            message = make_client(World(), flag=flag, binding=EXPORTER).step()
            assert b64.decode(claims_of(message)["cb"], "cb") == expected

    def test_binding_takes_data(self) -> None:
        with refused(Code.MISSING_CHANNEL_BINDINGS, kind=LocalProtocolError):
            make_client(World(), flag=BindingFlag.USED)

    @pytest.mark.parametrize("authzid", ["a\0b", "\udc80", "x" * 5000])
    def test_an_authzid_that_cannot_be_written_is_refused_before_anything_is_sent(
        self, authzid: str
    ) -> None:
        with refused(Code.INVALID_PARAMETER, kind=LocalProtocolError):
            make_client(World(), authzid=authzid)

    def test_a_type_that_cannot_be_written_too(self) -> None:
        binding = ChannelBinding("tls-unique,a=root,", b"")
        with refused(Code.INVALID_PARAMETER, kind=LocalProtocolError):
            make_client(World(), flag=BindingFlag.USED, binding=binding)

    def test_a_server_does_not_speak_first(self) -> None:
        with refused(Code.BAD_CONTEXT_TOKEN, kind=RemoteProtocolError):
            make_client(World()).step(b"C,~hello")


class TestTheRest:
    def test_the_result(self) -> None:
        world = World()
        client = bound_client(world, authzid=ALICE)
        with refused(Code.CONTEXT_INCOMPLETE, kind=LocalProtocolError):
            _ = client.result
        bindings = {EXPORTER.type: EXPORTER.data}
        converse(client, make_server(world, channel_bindings=bindings))
        assert client.complete
        assert client.result.authzid == client.result.identity == ALICE
        assert client.result.channel_binding == "tls-exporter"

    def test_a_server_that_says_nothing_proves_nothing(self) -> None:
        for challenge in (None, b""):
            client = make_client(World())
            client.step()
            with refused(Code.TOKEN_TRUNCATED, kind=RemoteProtocolError):
                client.step(challenge)
            assert not client.complete

    def test_a_server_may_end_with_an_empty_challenge_and_nothing_else(self) -> None:
        world = World()
        client = make_client(world)
        converse(client, make_server(world))
        assert client.step(b"") == client.step(None) == b""
        with refused(Code.BAD_CONTEXT_TOKEN, kind=RemoteProtocolError):
            client.step(b"C,~more")

    def test_a_refusal_is_final(self) -> None:
        client = make_client(World())
        client.step()
        error = b"C,~" + jwt.unsigned({"gss-min": Code.BAD_AUDIENCE.wire}).encode()
        with refused(Code.BAD_AUDIENCE, "the server said", PeerRefusedError):
            client.step(error)
        for challenge in (None, b"", error):
            with refused(Code.CONTEXT_ESTABLISHED, kind=LocalProtocolError):
                client.step(challenge)
        assert not client.complete
        with refused(Code.CONTEXT_INCOMPLETE):
            _ = client.result

    def test_the_extra_round_trip_has_no_header(self) -> None:
        world = World()
        client = make_client(world, InitiatorOptions(extra_round_trip=True))
        challenge = make_server(world).step(client.step())
        assert client.step(challenge).startswith(b"c,~")
        assert client.complete

    def test_neither_has_a_second_attempt_and_both_are_bound_alike(self) -> None:
        world = World()
        converse(make_client(world), make_server(world))
        client = bound_client(world)
        first = client.step()
        error = b"C,~" + jwt.unsigned({"gss-min": Code.REAUTH_FAILED.wire}).encode()
        second = client.step(error)
        assert second.startswith(b"c,ey")
        assert claims_of(first)["cb"] == claims_of(second)["cb"]


@pytest.mark.parametrize("name", vectors.names(lambda vector: vector.is_sasl and vector.succeeds))
def test_the_client_says_what_was_recorded(name: str) -> None:
    vector = vectors.load(name)
    binding = b64.decode(vector.claims()[0]["cb"], "cb")
    header, data = binding.partition(b",,")[::2]
    flag = BindingFlag.USED if header.startswith(b"p=") else BindingFlag.NONE
    kind = header.decode().removeprefix("p=")

    def make_initiator(*, channel_binding: bytes | None) -> Initiator:
        assert channel_binding == binding
        return vectors.make_initiator(vector)

    client = ClientMechanism(
        vector.mechanism.name,
        make_initiator,
        flag=flag,
        channel_binding=ChannelBinding(kind, data),
    )
    challenges = [None, *vector.messages("acceptor")]
    assert [client.step(challenge) for challenge in challenges] == vector.messages("initiator")
    assert client.complete
    assert client.result.identity == "alice@idp.test"


def test_a_refused_proof_is_explained() -> None:
    world = World()
    world.options = replace(world.options, extra_round_trip=True)
    client, server = make_client(world), make_server(world)
    challenge = server.step(client.step())
    proof = client.step(challenge)
    token = server.step(proof[:-4] + b"AAAA")

    assert server.failure is not None
    with pytest.raises(PeerRefusedError, match="the server said: invalid-signature"):
        client.step(token)
    with pytest.raises(RemoteProtocolError, match="more after the exchange was over"):
        client.step(b"C,~junk")
