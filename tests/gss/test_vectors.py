"""Both ends against the recorded exchanges of an independent implementation.

The acceptor gets the recorded assertions and has to answer with the recorded octets; the
initiator gets the recorded answers and has to send the recorded octets; every key either derives
has to be the recorded one.
"""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import BrowserIDError, Code, PeerRefusedError
from browserid_sasl.gss import keys
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.context import ContextFlag
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.jose import b64
from browserid_sasl.jose.jwt import Jwt
from tests.support import vectors
from tests.support.vectors import Vector
from tests.support.world import World

# Where that peer fails and we do not, and the other way round: the reasons are in
# tests/vectors/README.md.
COMPLETES_HERE = ("gss-none-initial", "gss-none-mutual", "gss-none-second")
OUR_CODES = {
    "err-expired-cert-within-skew": Code.CRED_EXPIRED,
    "reauth-curve-mismatch-at-acceptor": Code.INVALID_EC_CURVE,
    "reauth-wrong-ark": Code.INVALID_SIGNATURE,
    "rob-exp-seconds": Code.EXPIRED_ASSERTION,
    "sasl-bad-audience": Code.BAD_AUDIENCE,
    "sasl-expired": Code.EXPIRED_ASSERTION,
    "sasl-replay": Code.REPLAYED_ASSERTION,
}
OTHER_BINDINGS = {"errtok-err-cb-mismatch": b"BBBB"}
"""What the acceptor had; the file has what the initiator said."""

RESPONSE_KEY = b"RRK".hex()
PADDED = "rob-epk-b64-padding"
UNKNOWN_OPTION = "opts-unknown"
REPLAYED = ("errtok-err-replay", "sasl-replay")


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, str]]:
    """Every derivation that takes place, as the vectors write them."""
    seen = set()
    original = keys.derive

    def derive(key: bytes, salt: bytes) -> bytes:
        derived = original(key, salt)
        seen.add((key.hex(), salt.hex(), derived.hex()))
        return derived

    monkeypatch.setattr(keys, "derive", derive)
    return seen


def accept(vector: Vector, acceptor: Acceptor) -> list[bytes]:
    """Feed the recorded assertions in; the acceptor's answers."""
    answers = []
    for message in vector.messages("initiator"):
        token = message.partition(b"c,")[2]
        if token:
            answer = acceptor.step(b"c," + token)
            answers += [] if answer is None else [answer]
    return answers


@pytest.mark.parametrize("name", vectors.names(lambda vector: vector.succeeds))
def test_the_acceptor_accepts_and_answers_with_the_same_octets(
    name: str, derivations: set[tuple[str, str, str]]
) -> None:
    vector = vectors.load(name)
    acceptor = vectors.make_acceptor(vector)
    answers = accept(vector, acceptor)

    assert acceptor.state is AcceptorState.ESTABLISHED
    assert acceptor.context.identity == vector.data["expect"]["subject"]
    assert len(answers) == len(vector.messages("acceptor"))
    for ours, theirs in zip(answers, vector.messages("acceptor"), strict=True):
        vectors.assert_same_answer(ours, theirs)
    assert derivations >= recorded_derivations(vector, of_acceptor=True)


def recorded_derivations(vector: Vector, *, of_acceptor: bool = False) -> set[tuple[str, str, str]]:
    """The derivations that are needed.

    That peer also derives the response's key where it then signs with X.509, or not at all; and
    of a ticket that is not known, only the initiator can derive keys.
    """
    signed = [answer for answer in vector.answers() if answer.header.alg == "HS256"]
    masters = {row["z"] for row in vector.data["acceptor_ecdh"]}
    if len(signed) == len(vector.answers()):
        return vector.derived
    return {
        (secret, salt, derived)
        for secret, salt, derived in vector.derived
        if (salt != RESPONSE_KEY and not (of_acceptor and masters))
        or (signed and secret in masters)
        or (of_acceptor and secret in masters and salt != RESPONSE_KEY)
    }


@pytest.mark.parametrize("name", vectors.names(lambda vector: vector.succeeds))
def test_the_initiator_sends_the_same_octets_and_takes_the_answers(
    name: str, derivations: set[tuple[str, str, str]]
) -> None:
    vector = vectors.load(name)
    initiator = vectors.make_initiator(vector, strict=name != UNKNOWN_OPTION)
    sent = [initiator.step()]
    for answer in vector.messages("acceptor"):
        sent.append(initiator.step(answer))

    assert initiator.state is InitiatorState.ESTABLISHED
    expected = [m for m in (m.partition(b"c,") for m in vector.messages("initiator")) if m[1]]
    assert [token for token in sent if token] == [b"c," + token for _, _, token in expected]
    assert derivations >= recorded_derivations(vector)


@pytest.mark.parametrize(
    "name", vectors.names(lambda vector: vector.succeeds and "acceptor_flags" in vector.data)
)
def test_both_ends_report_the_flags(name: str) -> None:
    vector = vectors.load(name)
    acceptor = vectors.make_acceptor(vector)
    accept(vector, acceptor)
    initiator = vectors.make_initiator(vector, strict=name != UNKNOWN_OPTION)
    initiator.step()
    for answer in vector.messages("acceptor"):
        initiator.step(answer)

    # Where that peer's two ends disagree about being mutual, ours agree: see its README.
    ignored = ContextFlag.MUTUAL if "reauth" in name and "mutual" in name else ContextFlag(0)
    assert acceptor.context.flags & ~ignored == vector.data["acceptor_flags"] & ~ignored
    assert initiator.context.flags & ~ignored == vector.data["initiator_flags"] & ~ignored
    assert acceptor.context.mutual == initiator.context.mutual
    assert acceptor.context.root_key == initiator.context.root_key


@pytest.mark.parametrize(
    "name",
    vectors.names(lambda vector: vector.succeeds and "acceptor_tickets_after" in vector.data),
)
def test_the_acceptor_keeps_the_same_tickets(name: str) -> None:
    vector = vectors.load(name)
    stores = vectors.acceptor_stores(vector)
    accept(vector, vectors.make_acceptor(vector, stores))

    assert stores.tickets is not None
    kept = {ticket.tid: ticket for ticket in stores.tickets.all(vector.now)}
    issued = {a.claims["tkt"]["tid"] for a in vector.answers() if "tkt" in a.claims}
    for tid in issued:
        theirs = vectors.acceptor_ticket(vector, tid, vector.data["acceptor_tickets_after"][tid])
        ours = kept[tid]
        for field in ("ark", "curve", "expires", "renew_until", "subject", "issuer", "renewed"):
            assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize(
    "name",
    vectors.names(lambda vector: vector.succeeds and "initiator_ticket_after" in vector.data),
)
def test_the_initiator_keeps_the_same_ticket(name: str) -> None:
    vector = vectors.load(name)
    initiator = vectors.make_initiator(vector, strict=name != UNKNOWN_OPTION)
    initiator.step()
    for answer in vector.messages("acceptor"):
        initiator.step(answer)

    assert initiator._tickets is not None
    theirs = vector.data["initiator_ticket_after"]
    kept = {ticket.tid: ticket for ticket in initiator._tickets.all(vector.now)}
    ours = kept[theirs["tkt"]["tid"]]
    assert ours.expires == theirs["tkt"]["exp"]
    assert b64.encode(ours.ark) == theirs["ark"]["secret-key"]
    assert ours.curve == theirs["crv"]


@pytest.mark.parametrize("name", COMPLETES_HERE)
def test_the_mechanism_without_key_exchange_completes(name: str) -> None:
    vector = vectors.load(name)
    acceptor = vectors.make_acceptor(vector)
    (answer,) = accept(vector, acceptor)

    response = Jwt.parse(answer.decode()[3:])
    assert acceptor.context.identity == "alice@idp.test"
    assert acceptor.context.root_key is None
    assert "tkt" not in response.claims
    assert "jti" not in response.claims
    assert response.is_signed == ("acceptor_x509" in vector.data)


def failing(side: str) -> list[str]:
    def fits(vector: Vector) -> bool:
        policy = vector.name == "sasl-aes128-authzid"
        refused_by = vector.refused_by or "acceptor"
        return not vector.succeeds and not policy and refused_by == side

    return [name for name in vectors.names(fits) if name not in COMPLETES_HERE]


def expected_code(vector: Vector) -> Code:
    recorded: Any = vector.data["expect"].get("code")
    return OUR_CODES.get(vector.name) or Code.from_wire(recorded)


@pytest.mark.parametrize("name", failing("acceptor"))
def test_the_acceptor_refuses_with_the_same_code(name: str) -> None:
    vector = vectors.load(name)
    stores = vectors.acceptor_stores(vector)
    if name in REPLAYED:
        accept(vector, vectors.make_acceptor(vector, stores))
    binding = OTHER_BINDINGS.get(name, vector.channel_binding)
    acceptor = vectors.make_acceptor(vector, stores, channel_binding=binding)
    answers = accept(vector, acceptor)

    assert acceptor.state is AcceptorState.FAILED
    assert acceptor.failure is not None
    assert acceptor.failure.code is expected_code(vector)
    if name not in OUR_CODES:
        assert acceptor.failure.major == vector.data["expect"]["gss_major"]
    status = Jwt.parse(answers[-1].decode()[3:]).claims
    assert status["gss-min"] == acceptor.failure.code.wire
    assert status["gss-maj"] == acceptor.failure.major
    assert status["iat"] == vector.now


def test_a_padded_coordinate_is_the_same_point() -> None:
    """That peer's initiator then failed; its acceptor's answer is what ours says too."""
    vector = vectors.load(PADDED)
    acceptor = vectors.make_acceptor(vector)
    assert accept(vector, acceptor) == vector.messages("acceptor")
    assert acceptor.context.identity == "alice@idp.test"


@pytest.mark.parametrize("name", [name for name in failing("initiator") if name != PADDED])
def test_the_initiator_refuses_with_the_same_code(name: str) -> None:
    vector = vectors.load(name)
    initiator = vectors.make_initiator(vector, strict=False)
    initiator.step()
    with pytest.raises(BrowserIDError) as refusal:
        initiator.step(vector.messages("acceptor")[0])

    assert initiator.state is InitiatorState.FAILED
    assert refusal.value.code is expected_code(vector)


@pytest.mark.parametrize(
    "name", vectors.names(lambda v: v.name.startswith("errtok-") and bool(v.answers()))
)
def test_the_initiator_reads_the_error_token(name: str) -> None:
    vector = vectors.load(name)
    initiator = World().initiator()
    initiator.step()
    with pytest.raises(PeerRefusedError) as refusal:
        initiator.step(vector.messages("acceptor")[0])

    assert refusal.value.code is Code.from_wire(vector.data["expect"]["code"])
    assert not refusal.value.authenticated
    assert "the server said" in str(refusal.value)
