"""What holds for every input: formats read as they were written, parsers give an object or one of
this package's errors, and nothing that was altered on the way lets anybody in as anybody else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from browserid_sasl.errors import BrowserIDError, LocalProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.acceptor import Acceptor, ExchangeStores
from browserid_sasl.gss.claims import (
    InitiatorClaims,
    IssuedTicket,
    KeyAgreement,
    Option,
    ReportedError,
    Response,
)
from browserid_sasl.gss.dialects import DIALECTS, read_audience
from browserid_sasl.gss.ecdh import EcdhKey, Point
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions
from browserid_sasl.gss.mechanisms import CURVES, P256, Curve
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.states import AcceptorState, InitiatorState
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.certificate import Certificate, issue
from browserid_sasl.identity.support import parse_support_document
from browserid_sasl.identity.verifier import Validity
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import (
    PrivateKey,
    PublicKey,
    Spelling,
    parse_public_key,
    public_key_from,
)
from browserid_sasl.jose.secrets import SecretKey
from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.gs2 import BindingFlag, Gs2Header
from browserid_sasl.store import memory_acceptor, memory_initiator
from fuzz.mutations import LONG_LENGTHS
from tests.support.exchanges import (
    log_in,
)
from tests.support.sasl import make_client, make_server
from tests.support.world import (
    ALICE,
    IMAP,
    START,
    World,
    fixed_environment,
    fixed_key,
    key,
    support_document,
)

SECRET = SecretKey(bytes(32))
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# Values

texts = st.text(max_size=20)
numbers = st.integers(1 - 10**31, 10**31) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(texts, json_values, max_size=6)
times = st.integers(0, 2**53 - 1)
octets = st.binary(max_size=64)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=3).map(lambda parts: ".".join([*parts, "test"]))
local_parts = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}", fullmatch=True)
addresses = st.builds("{}@{}".format, local_parts, domains)
service_names = st.builds(
    ServiceName.make,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", fullmatch=True),
    domains | st.sampled_from(["localhost", "::1", "192.0.2.1"]),
    st.just("") | st.from_regex(r"[!-~]{1,20}", fullmatch=True),
)
public_keys = st.sampled_from(["RS256", "DS256", "ES256"]).map(
    lambda algorithm: key("alice", algorithm).public_key
)
points = st.builds(Point, st.binary(min_size=1, max_size=32), st.binary(min_size=1, max_size=32))


class TestRoundTrips:
    @given(octets)
    def test_base64url(self, data: bytes) -> None:
        text = b64.encode(data)
        assert b64.decode(text, "it") == data
        assert b64.decode(text + "=" * (-len(text) % 4), "it") == data

    @given(json_objects)
    def test_json(self, value: dict[str, Any]) -> None:
        written = strict_json.dumps(value)
        assert strict_json.parse_object(written, "it") == value
        assert strict_json.parse_object(written.decode(), "it") == value
        assert strict_json.parse_object(json.dumps(value), "it") == value

    @given(
        st.integers(2**2047, 2**2060).map(lambda n: n | 1),
        st.integers(1, 2**31).map(lambda e: 2 * e + 1),
        st.sampled_from(["classic", "2012.08.15", "jwk"]),
    )
    def test_rsa_keys(self, n: int, e: int, spelling: Spelling) -> None:
        public = public_key_from(rsa.RSAPublicNumbers(e, n).public_key())
        assert parse_public_key(public.to_json(spelling)) == public

    @given(st.integers(1, P256_ORDER - 1), st.booleans())
    def test_elliptic_keys(self, secret: int, bare: bool) -> None:
        private = ec.derive_private_key(secret, ec.SECP256R1())
        public = public_key_from(private.public_key())
        written = public.to_json()
        if bare:
            for name in ("x", "y"):
                written[name] = b64.encode(b64.decode(written[name], name).lstrip(b"\0"))
        assert parse_public_key(written) == public
        again = PrivateKey.from_pem(PrivateKey(public.algorithm, private).to_pem())
        assert again.public_key == public

    @given(public_keys, st.sampled_from(["classic", "2012.08.15", "jwk"]))
    def test_keys_of_every_kind(self, public: PublicKey, spelling: Spelling) -> None:
        assert parse_public_key(public.to_json(spelling)) == public

    @given(
        json_objects,
        st.sampled_from([SECRET, key("alice", "ES256")]),
        st.lists(st.binary(min_size=1, max_size=20), max_size=3),
    )
    def test_tokens(self, claims: dict[str, Any], signer: Any, chain: list[bytes]) -> None:
        parsed = Jwt.parse(jwt.sign(claims, signer, x5c=chain))
        assert parsed.claims == claims
        assert parsed.header.x5c == tuple(chain)
        parsed.verify(signer if signer is SECRET else signer.public_key)
        unsigned = Jwt.parse(jwt.unsigned(claims))
        assert unsigned.claims == claims and not unsigned.is_signed

    @given(st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True), max_size=10))
    def test_backed_assertions(self, certificates: list[str]) -> None:
        assertion = jwt.unsigned({})
        text = "~".join([*certificates, assertion]) if certificates else f"~{assertion}"
        backed = BackedAssertion.parse(text.encode())
        assert backed.text == text
        assert backed.certificates == tuple(certificates)

    @given(domains, addresses, public_keys, times, times, json_objects)
    def test_certificates(
        self,
        issuer: str,
        email: str,
        public: PublicKey,
        issued_at: int,
        expires: int,
        attributes: dict[str, Any],
    ) -> None:
        assume(
            attributes.keys().isdisjoint({"iss", "iat", "exp", "nbf", "public-key", "principal"})
        )
        text = issue(
            issuer,
            email,
            public,
            issued_at=issued_at,
            expires=expires,
            signing_key=key("idp", "ES256"),
            attributes=attributes,
        )
        parsed = Certificate.parse(text)
        assert (parsed.issuer, parsed.email, parsed.public_key) == (issuer, email, public)
        assert (parsed.issued_at, parsed.expires) == (issued_at, expires)
        assert parsed.attributes == attributes
        parsed.jwt.verify(key("idp", "ES256").public_key)

    @given(service_names)
    def test_service_names_and_audiences(self, name: ServiceName) -> None:
        assert ServiceName.parse(str(name)) == name
        for dialect in DIALECTS.values():
            assert read_audience(dialect.audience(name)) == (dialect, name)

    @given(
        st.builds(
            InitiatorClaims,
            dialect=st.sampled_from(list(DIALECTS.values())),
            audience=service_names,
            validity=st.builds(Validity, times, st.none() | times, st.none() | times),
            agreement=st.none() | st.builds(KeyAgreement, st.sampled_from([P256]), points),
            channel_binding=st.none() | octets,
            nonce=st.none() | octets,
            options=st.frozensets(
                st.sampled_from([Option.MUTUAL, Option.EXTRA_ROUND_TRIP, Option.IDENTIFY])
            ),
        )
    )
    def test_assertions_in_both_dialects(self, claims: InitiatorClaims) -> None:
        assert InitiatorClaims.parse(on_the_wire(claims.to_json())) == claims
        renewed = replace(claims, agreement=None, ticket_id="ticket")
        assert InitiatorClaims.parse(on_the_wire(renewed.to_json())) == renewed

    @given(
        st.builds(
            Response,
            expires=times,
            agreement_member=st.sampled_from(["ecdh", "epk"]),
            point=points,
            ticket=st.none() | st.builds(IssuedTicket, texts, times),
            jti=st.none() | octets,
            nonce=st.none() | octets,
            request=st.none() | octets,
            clock=st.none() | times,
        )
    )
    def test_responses(self, response: Response) -> None:
        assert Response.parse(on_the_wire(response.to_json())) == response

    @given(st.builds(ReportedError, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), times)
    def test_errors(self, error: ReportedError, clock: int) -> None:
        response = Response(error=error, clock=clock)
        assert Response.parse(on_the_wire(response.to_json())) == response

    @given(
        st.sampled_from([BindingFlag.NONE, BindingFlag.NOT_OFFERED])
        | st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50),
        octets,
    )
    def test_headers(self, binding: BindingFlag | str, authzid: str, token: bytes) -> None:
        if isinstance(binding, str):
            header = Gs2Header(BindingFlag.USED, binding, authzid)
        else:
            header = Gs2Header(binding, authzid=authzid)
        written = header.encode()
        assert gs2.split(written + token) == (header, written, token)

    @given(
        st.tuples(st.integers(0, 2), st.integers(0, 39), st.integers(0, 2**32)),
        st.binary(max_size=300),
    )
    def test_frames(self, oid: tuple[int, ...], token: bytes) -> None:
        assert tokens.unwrap_initial(tokens.wrap_initial(oid, token)) == (oid, token)
        for token_id in TokenId:
            framed = tokens.frame(token_id, b64.encode(token))
            assert tokens.unframe(framed, token_id) == b64.encode(token).encode()

    @given(st.sampled_from(list(CURVES.values())), st.integers(1, 2**250), st.integers(1, 2**250))
    def test_agreements(self, curve: Curve, one: int, other: int) -> None:
        mine, theirs = (EcdhKey.from_number(curve, number) for number in (one, other))
        assert mine.agree(theirs.point) == theirs.agree(mine.point)


def on_the_wire(claims: dict[str, Any]) -> dict[str, Any]:
    return strict_json.parse_object(strict_json.dumps(claims), "it")


# Parsers

junk_texts = st.text(st.characters(), max_size=60)
junk_octets = st.binary(max_size=120)
junk_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | junk_texts
    | st.sampled_from(["", "=", "AA", "A" * 5000, "P-256", "RSA", "EC", "RS", "2012.08.15", 2**53]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(junk_texts, inner, max_size=3),
    max_leaves=6,
)


def settle(parse: Callable[..., object], *arguments: Any) -> None:
    """Read something: it works, or an error of this package says why not in one printable line."""
    try:
        parse(*arguments)
    except BrowserIDError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        assert error.code.text


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """The octets with a few places overwritten, cut out, doubled or filled in."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        kind = draw(st.sampled_from(["cut", "double", "fill", "length", "flip"]))
        if kind == "cut":
            del data[at:to]
        elif kind == "double":
            data[at:at] = data[at:to]
        elif kind == "fill":
            data[at:to] = draw(st.binary(max_size=10))
        elif kind == "length":
            data[at : at + 1] = draw(st.sampled_from(LONG_LENGTHS))
        elif at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


class TestParsersNeverBreak:
    @given(junk_values)
    def test_whatever_is_said_to_be_a_key(self, value: Any) -> None:
        settle(parse_public_key, value)

    @pytest.mark.parametrize("algorithm", ["RS256", "DS256", "ES256"])
    @given(data=st.data(), legacy=st.booleans())
    def test_whatever_is_in_a_key(self, algorithm: str, data: st.DataObject, legacy: bool) -> None:
        spelling: Spelling = data.draw(st.sampled_from(["classic", "2012.08.15", "jwk"]))
        value = changed(data, key("alice", algorithm).public_key.to_json(spelling))
        settle(lambda: parse_public_key(value, allow_legacy=legacy).verify(bytes(64), b""))

    @given(st.data())
    def test_whatever_is_in_a_header(self, data: st.DataObject) -> None:
        members = {"alg": "HS256", "typ": "JWT", "crit": ["alg"], "x5c": ["AAAA"]}
        header = dump_junk(changed(data, members))
        settle(Jwt.parse, ".".join([b64.encode(header), "e30", "AA"]))

    @given(st.data())
    def test_whatever_is_in_a_certificate(self, data: st.DataObject) -> None:
        claims = Jwt.parse(World().person.certificate()).claims
        settle(Certificate.parse, jwt.sign(dump_junk(changed(data, claims)), SECRET))

    @given(st.data())
    def test_whatever_is_in_a_support_document(self, data: st.DataObject) -> None:
        document = support_document(key("idp"), key("new", "ES256"))
        settle(parse_support_document, dump_junk(changed(data, document | {"certify": "/c"})))

    @given(st.data())
    def test_whatever_is_in_an_assertion(self, data: st.DataObject) -> None:
        settle(InitiatorClaims.parse, changed(data, FULL_ASSERTION))

    @given(st.data())
    def test_whatever_is_in_a_response(self, data: st.DataObject) -> None:
        settle(Response.parse, changed(data, FULL_RESPONSE))

    @given(points, st.sampled_from(list(CURVES.values())))
    def test_whatever_point_there_is(self, point: Point, curve: Curve) -> None:
        settle(fixed_key(curve).agree, point)


FULL_ASSERTION: dict[str, Any] = {
    "aud": "urn:x-gss:imap/mail.example.com",
    "exp": START,
    "iat": START,
    "nbf": START,
    "ecdh": {"crv": "P-256", "x": "AQ", "y": "Ag"},
    "cb": "AA",
    "nonce": "AA",
    "opts": ["ma", "xrt"],
    "tkt": {"tid": "ticket"},
}
FULL_RESPONSE: dict[str, Any] = {
    "exp": START,
    "ecdh": {"x": "AQ", "y": "Ag"},
    "tkt": {"tid": "ticket", "exp": START},
    "jti": "AA",
    "nonce": "AA",
    "iat": START,
}


def changed(data: st.DataObject, value: Any) -> Any:
    """The object with one to three members, at any depth, replaced by junk or taken away."""
    result = json.loads(json.dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = result
        while True:
            name = data.draw(st.sampled_from(sorted(place)) if place else junk_texts)
            inner = place.get(name)
            if not isinstance(inner, dict) or data.draw(st.booleans()):
                break
            place = inner
        if data.draw(st.booleans()) or name not in place:
            place[name] = data.draw(junk_values)
        else:
            del place[name]
    return result


def dump_junk(value: Any) -> bytes:
    """JSON with NaN and halves of surrogate pairs in it, if there are any."""
    return json.dumps(value).encode()


# Exchanges


@dataclass
class Fixed:
    """A world in which the same exchange can be had any number of times.

    :param options: the initiator's.
    :param with_ticket: whether the person has logged in before.
    """

    options: InitiatorOptions = field(default_factory=InitiatorOptions)
    with_ticket: bool = False

    def __post_init__(self) -> None:
        self.world = world_with_fast_keys()
        if self.with_ticket:
            log_in(self.world)
        self.tickets = list(self.world.client_tickets.all(START))
        self.messages: list[bytes] = []
        initiator, acceptor = self.initiator(), self.acceptor()
        message = initiator.step()
        while message is not None:
            self.messages.append(message)
            side = acceptor if len(self.messages) % 2 else initiator
            message = side.step(message)
        self.ours, self.theirs = initiator.context, acceptor.context

    def initiator(self) -> Initiator:
        """The initiator, who always says the same."""
        store = memory_initiator().tickets
        for ticket in self.tickets:
            store.put(ticket)
        return self.world.initiator(
            self.options, tickets=store, environment=fixed_environment("initiator")
        )

    def acceptor(self) -> Acceptor:
        """An acceptor with the tickets of before and no memory of assertions."""
        stores = ExchangeStores(memory_acceptor().replay, self.world.server_stores.tickets)
        return self.world.acceptor(stores=stores, environment=fixed_environment("acceptor"))

    def accepted(self, index: int, message: bytes) -> Acceptor:
        """The acceptor after this message in place of the one of this index."""
        acceptor = self.acceptor()
        for before in self.messages[:index:2]:
            acceptor.step(before)
        acceptor.step(message)
        return acceptor

    def answered(self, message: bytes) -> Initiator | None:
        """The initiator after this answer, None if it refused it."""
        initiator = self.initiator()
        initiator.step()
        try:
            initiator.step(message)
        except BrowserIDError:
            assert initiator.state is InitiatorState.FAILED
            return None
        return initiator

    def check_acceptor(self, acceptor: Acceptor) -> None:
        """It has refused, or let in exactly whom it would have let in, with the same keys."""
        if acceptor.state is AcceptorState.ESTABLISHED:
            assert acceptor.context == self.theirs
        else:
            assert acceptor.state is not AcceptorState.START
            with pytest.raises(LocalProtocolError):
                _ = acceptor.context

    def check_initiator(self, initiator: Initiator | None) -> None:
        if initiator is not None and initiator.state is InitiatorState.ESTABLISHED:
            assert initiator.context == self.ours


EXCHANGES: dict[str, Callable[[], Fixed]] = {
    "with a certificate": Fixed,
    "with a ticket": lambda: Fixed(with_ticket=True),
    "with a certificate and the extra round trip": lambda: Fixed(
        InitiatorOptions(extra_round_trip=True)
    ),
    "with a ticket and the extra round trip": lambda: Fixed(
        InitiatorOptions(extra_round_trip=True), with_ticket=True
    ),
}


@cache
def fixed(name: str) -> Fixed:
    return EXCHANGES[name]()


def flip(message: bytes, at: int) -> bytes:
    """The message with one bit the other way round."""
    octet, bit = divmod(at, 8)
    return message[:octet] + bytes([message[octet] ^ (1 << bit)]) + message[octet + 1 :]


each_exchange = pytest.mark.parametrize("name", EXCHANGES)


@each_exchange
class TestAlteredExchanges:
    """A flipped bit may be one that base64url does not use; then nothing is different at all."""

    def test_the_exchange_is_the_same_every_time(self, name: str) -> None:
        exchange = fixed(name)
        assert exchange.theirs.identity == ALICE
        last = len(exchange.messages) - 1
        assert exchange.accepted(last - last % 2, exchange.messages[last - last % 2]).context
        answered = exchange.answered(exchange.messages[1])
        assert answered is not None and answered.context == exchange.ours

    def test_one_bit_of_every_octet_of_every_message(self, name: str) -> None:
        exchange = fixed(name)
        for index, message in enumerate(exchange.messages):
            for octet in range(len(message)):
                altered = flip(message, 8 * octet + octet % 8)
                self.present(exchange, index, altered)

    @settings(max_examples=200)
    @given(data=st.data())
    def test_any_bits(self, name: str, data: st.DataObject) -> None:
        exchange = fixed(name)
        index = data.draw(st.integers(0, len(exchange.messages) - 1))
        message = exchange.messages[index]
        altered = message
        for at in data.draw(st.sets(st.integers(0, 8 * len(message) - 1), min_size=1, max_size=3)):
            altered = flip(altered, at)
        self.present(exchange, index, altered)

    @settings(max_examples=150)
    @given(data=st.data())
    def test_any_other_damage(self, name: str, data: st.DataObject) -> None:
        exchange = fixed(name)
        index = data.draw(st.integers(0, len(exchange.messages) - 1))
        self.present(exchange, index, data.draw(mutations(exchange.messages[index])))

    @given(data=st.data())
    def test_any_octets_at_any_time(self, name: str, data: st.DataObject) -> None:
        exchange = fixed(name)
        index = data.draw(st.integers(0, len(exchange.messages) - 1))
        identifier = data.draw(st.sampled_from([b"", b"c,", b"C,", b"c,~", b"C,~"]))
        self.present(exchange, index, identifier + data.draw(junk_octets))

    def present(self, exchange: Fixed, index: int, message: bytes) -> None:
        if index % 2:
            exchange.check_initiator(exchange.answered(message))
        else:
            exchange.check_acceptor(exchange.accepted(index, message))


@each_exchange
@given(data=st.data())
def test_whatever_claims_a_person_signs_the_acceptor_answers(
    name: str, data: st.DataObject
) -> None:
    # What the person's own key stands behind is still the network's to make.
    exchange = fixed(name)
    first = exchange.messages[0]
    backed = BackedAssertion.parse(first[2:])
    claims = changed(data, dict(backed.assertion.claims))
    signer = SecretKey(exchange.tickets[0].ark) if exchange.tickets else key("alice", "ES256")
    assertion = jwt.sign(dump_junk(claims), signer)
    acceptor = exchange.accepted(0, first.rpartition(b"~")[0] + b"~" + assertion.encode())
    if acceptor.state is AcceptorState.ESTABLISHED:
        assert (acceptor.context.identity, acceptor.context.target) == (ALICE, IMAP)


@settings(max_examples=150)
@given(st.data())
def test_whatever_reaches_a_sasl_server_nobody_else_is_let_in(data: st.DataObject) -> None:
    world = world_with_fast_keys()
    message = data.draw(mutations(first_message()) | junk_octets)
    server = make_server(world, authorize=lambda *_: True, success_data=True)
    answer = server.step(message)
    assert answer is not None and answer.startswith(b"C,")
    if server.complete:
        assert (server.result.identity, server.result.authzid) == (ALICE, "bob,the=builder")
    else:
        assert server.failure is not None
        assert str(server.failure).isprintable()
        with pytest.raises(BrowserIDError):
            server.step(b"")


@given(st.data())
def test_whatever_a_sasl_server_says_the_client_answers_or_fails(data: st.DataObject) -> None:
    client, answer = a_clients_view()
    challenge = data.draw(mutations(answer) | junk_octets)
    try:
        client.step(challenge)
    except BrowserIDError as error:
        assert str(error).isprintable()
        assert not client.complete
    else:
        assert client.result.identity == ALICE


def a_clients_view() -> tuple[ClientMechanism, bytes]:
    """A client that has spoken, and what the server answers: the same every time."""
    world = world_with_fast_keys()
    client = make_client(world, environment=fixed_environment("initiator"))
    acceptor = world.acceptor(
        environment=fixed_environment("acceptor"),
        channel_binding=Gs2Header(BindingFlag.NONE).encode(),
    )
    answer = acceptor.step(client.step().removeprefix(b"n,,"))
    assert answer is not None
    return client, answer


def world_with_fast_keys() -> World:
    world = World()
    world.person.user_key = key("alice", "ES256")
    world.person.signing_key = key("idp", "ES256")
    world.provider.documents["idp.test"] = support_document(key("idp", "ES256"))
    return world


@cache
def first_message() -> bytes:
    return make_client(world_with_fast_keys(), authzid="bob,the=builder").step()
