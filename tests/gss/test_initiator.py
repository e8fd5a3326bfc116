"""The initiator: what it asks for, what it believes, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from browserid_sasl.errors import (
    Code,
    CredentialError,
    LocalProtocolError,
    Major,
    PeerRefusedError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.gss import keys
from browserid_sasl.gss.dialects import DRAFT_04, DRAFT_07
from browserid_sasl.gss.initiator import Initiator, InitiatorOptions, Mutual
from browserid_sasl.gss.mechanisms import MECHANISMS, mechanism_by_name
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.gss.states import InitiatorState
from browserid_sasl.gss.tickets import InitiatorTicket
from browserid_sasl.jose import b64, jwt
from browserid_sasl.jose.jwt import SigningKey
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.jose.secrets import SecretKey
from tests.support.exchanges import (
    acceptor_tickets,
    first_token,
    initiator_tickets,
    log_in,
    root,
    server_credential,
    server_trust,
)
from tests.support.forging import altered, claims_of, last_token
from tests.support.refusal import refused
from tests.support.world import ALICE, HOUR, IMAP, START, World, exchange, key

MINUTE = 60_000
NO_EXCHANGE = mechanism_by_name("BROWSERID")
ROUND_TRIP = InitiatorOptions(extra_round_trip=True)
REQUIRED = InitiatorOptions(mutual=Mutual.REQUIRED)
PREFERRED = InitiatorOptions(mutual=Mutual.PREFERRED)


def response_key(initiator: Initiator, answer: dict[str, Any]) -> SecretKey:
    """The key of the response, as the acceptor with this public point would have it."""
    offer = initiator._sent
    if offer.master_key is not None:
        return SecretKey(keys.response_key(offer.master_key))
    assert offer.ephemeral is not None
    point = offer.ephemeral.point
    member = answer[initiator._options.dialect.agreement]
    peer = type(point)(b64.decode(member["x"], "x"), b64.decode(member["y"], "y"))
    return SecretKey(keys.response_key(offer.ephemeral.agree(peer)))


def answered(world: World, initiator: Initiator) -> bytes:
    """The answer of an acceptor that means well."""
    token = initiator.step()
    assert token is not None
    answer = world.acceptor().step(token)
    assert answer is not None
    return answer


def changed(initiator: Initiator, answer: bytes, **changes: Any) -> bytes:
    """The answer with other claims, well signed: what a hostile acceptor could send."""
    claims = claims_of(answer)
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    signer = response_key(initiator, claims)
    return b"C,~" + jwt.sign(altered(claims, named), signer).encode()


def refuse(initiator: Initiator, answer: bytes, code: Code, reason: str = "") -> None:
    with refused(code, reason):
        initiator.step(answer)
    assert initiator.state is InitiatorState.FAILED
    with refused(Code.CONTEXT_INCOMPLETE):
        _ = initiator.context


class TestWhatItSays:
    def test_a_first_login(self) -> None:
        world = World()
        claims = claims_of(first_token(world))
        assert list(claims) == ["ecdh", "exp", "aud"]
        assert claims["aud"] == "urn:x-gss:imap/mail.example.com"
        assert claims["exp"] == START + 5 * MINUTE
        assert claims["ecdh"].keys() == {"crv", "x", "y"}
        assert claims["ecdh"]["crv"] == "P-256"

    def test_in_the_other_dialect(self) -> None:
        claims = claims_of(first_token(World(), InitiatorOptions(dialect=DRAFT_07)))
        assert claims["aud"] == "imap/mail.example.com"
        assert claims["epk"].keys() == {"kty", "crv", "x", "y"}
        assert "ecdh" not in claims

    def test_a_later_login(self) -> None:
        world = World()
        log_in(world)
        token = first_token(world)
        assert token.startswith(b"c,~")
        assert last_token(token).header.alg == "HS256"
        claims = claims_of(token)
        assert list(claims) == ["exp", "nonce", "tkt", "aud"]
        assert claims["tkt"] == {"tid": initiator_tickets(world)[0].tid}
        assert len(b64.decode(claims["nonce"], "nonce")) == 16

    def test_without_key_exchange(self) -> None:
        claims = claims_of(first_token(World(mechanism=NO_EXCHANGE)))
        assert list(claims) == ["nonce", "exp", "aud"]

    @pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda row: row.name)
    def test_the_curve_is_the_mechanisms(self, mechanism: Any) -> None:
        claims = claims_of(first_token(World(mechanism=mechanism)))
        curve = claims["ecdh"]["crv"] if "ecdh" in claims else None
        assert curve == (mechanism.curve.name if mechanism.curve else None)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (InitiatorOptions(), None),
            (ROUND_TRIP, ["xrt"]),
            (InitiatorOptions(dce_style=True), ["xrt", "dce"]),
            (InitiatorOptions(identify=True), ["ify"]),
            (REQUIRED, ["ma"]),
            (PREFERRED, ["ma"]),
        ],
    )
    def test_what_it_asks_for(self, options: InitiatorOptions, said: object) -> None:
        claims = claims_of(first_token(World(), options, trust=server_trust()))
        assert claims.get("opts") == said
        assert ("nonce" in claims) == ("ma" in claims.get("opts", []))

    def test_it_asks_for_no_proof_that_it_could_not_check(self) -> None:
        claims = claims_of(first_token(World(), PREFERRED, trust=None))
        assert "opts" not in claims and "nonce" not in claims

    def test_the_channel_is_part_of_what_is_signed(self) -> None:
        world = World()
        for _ in range(2):
            claims = claims_of(first_token(world, channel_binding=b"n,,data"))
            assert b64.decode(claims["cb"], "cb") == b"n,,data"
            log_in(world)

    def test_every_login_is_different(self) -> None:
        world = World()
        assert len({first_token(world, tickets=None) for _ in range(4)}) == 4
        log_in(world)
        assert len({first_token(world) for _ in range(4)}) == 4
        world.mechanism = NO_EXCHANGE
        assert len({first_token(world) for _ in range(4)}) == 4

    def test_the_life_of_an_assertion_is_configurable(self) -> None:
        options = InitiatorOptions(assertion_lifetime=MINUTE)
        assert claims_of(first_token(World(), options))["exp"] == START + MINUTE

    def test_the_host_is_written_in_lower_case(self) -> None:
        target = ServiceName.make("imap", "MAIL.Example.COM")
        assert claims_of(first_token(World(), target=target))["aud"].endswith(str(IMAP))


class TestTheTicketItUses:
    def stored(self, world: World, **changes: Any) -> None:
        ticket = InitiatorTicket(
            identity=ALICE,
            audience=str(IMAP),
            curve="P-256",
            issuer="idp.test",
            tid="tid",
            ark=bytes(32),
            issued_at=START,
            expires=START + HOUR,
        )
        world.client_tickets.put(replace(ticket, **changes))

    def uses(self, world: World, options: InitiatorOptions | None = None, **further: Any) -> bool:
        return "tkt" in claims_of(first_token(world, options, **further))

    def test_it_uses_one_for_the_same_person_service_and_curve(self) -> None:
        world = World()
        self.stored(world)
        assert self.uses(world)

    @pytest.mark.parametrize(
        "changes",
        [
            {"identity": "bob@idp.test"},
            {"audience": "smtp/mail.example.com"},
            {"curve": "P-521"},
            {"expires": START},
        ],
        ids=str,
    )
    def test_and_no_other(self, changes: dict[str, Any]) -> None:
        world = World()
        self.stored(world, **changes)
        assert not self.uses(world)

    def test_none_without_a_store_or_without_key_exchange(self) -> None:
        world = World()
        self.stored(world, curve="")
        self.stored(world)
        assert not self.uses(world, tickets=None)
        assert not self.uses(world, mechanism=NO_EXCHANGE)

    def test_one_that_was_not_mutual_does_not_serve_who_requires_that(self) -> None:
        world = World()
        self.stored(world)
        assert not self.uses(world, REQUIRED, trust=server_trust())
        assert self.uses(world, PREFERRED, trust=server_trust())
        self.stored(world, mutual=True)
        assert self.uses(world, REQUIRED, trust=server_trust())


class TestTheTicketItKeeps:
    def test_it_replaces_the_one_before(self) -> None:
        world = World()
        log_in(world)
        (first,) = initiator_tickets(world)
        log_in(world)
        (second,) = initiator_tickets(world)
        assert first.tid != second.tid
        assert (first.renewed, second.renewed) == (False, True)
        assert second.issuer == "idp.test"

    def test_it_keeps_none_of_an_answer_that_is_forged(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = answered(world, initiator)
        forged = b"C,~" + jwt.sign(claims_of(answer), SecretKey(bytes(32))).encode()
        refuse(initiator, forged, Code.INVALID_SIGNATURE)
        assert initiator_tickets(world) == []

    def test_a_store_that_is_broken_fails_the_login(self) -> None:
        world = World()

        class Broken(type(world.client_tickets)):  # type: ignore[misc]
            def put(self, ticket: InitiatorTicket) -> None:
                raise StoreError(Code.CACHE_ERROR, "the disk is full")

        initiator = world.initiator(tickets=Broken())
        refuse(initiator, answered(world, initiator), Code.CACHE_ERROR)

    @pytest.mark.parametrize(
        ("code", "kept"),
        [
            (Code.INVALID_SIGNATURE, False),
            (Code.INVALID_EC_CURVE, False),
            (Code.BAD_AUDIENCE, False),
            (Code.REPLAYED_ASSERTION, True),
            (Code.EXPIRED_ASSERTION, True),
            (Code.NO_LOCAL_MAPPING, True),
            (Code.UNAVAILABLE, True),
        ],
    )
    def test_it_is_dropped_when_the_server_will_never_take_it(self, code: Code, kept: bool) -> None:
        world = World()
        log_in(world)
        initiator = world.initiator()
        initiator.step()
        error = b"C,~" + jwt.unsigned({"gss-maj": int(code.major), "gss-min": code.wire}).encode()
        with refused(code, kind=PeerRefusedError):
            initiator.step(error)
        assert bool(initiator_tickets(world)) is kept

    def test_another_ticket_than_the_one_used_is_not_dropped(self) -> None:
        world = World()
        initiator = world.initiator()
        initiator.step()
        log_in(world, initiator={})
        error = {"gss-maj": 6 << 16, "gss-min": Code.INVALID_SIGNATURE.wire}
        with refused(Code.INVALID_SIGNATURE, kind=PeerRefusedError):
            initiator.step(b"C,~" + jwt.unsigned(error).encode())
        assert len(initiator_tickets(world)) == 1


class TestExpiry:
    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    @pytest.mark.parametrize(("left", "begins"), [(1000, True), (0, False), (-HOUR, False)])
    def test_a_context_that_is_over_does_not_begin(
        self, ticket: bool, left: int, begins: bool
    ) -> None:
        world = World()
        if ticket:
            log_in(world)
        kept = initiator_tickets(world)
        initiator = world.initiator()
        answer = changed(initiator, answered(world, initiator), exp=START + left)
        if begins:
            initiator.step(answer)
            assert initiator.context.expires == START + left
        else:
            refuse(initiator, answer, Code.CRED_EXPIRED, "compare the clocks")
            assert initiator_tickets(world) == kept

    def test_nor_does_one_whose_answer_took_too_long(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = answered(world, initiator)
        world.clock.now += HOUR
        refuse(initiator, answer, Code.CRED_EXPIRED)


class TestWhatItBelieves:
    """Each answer below is what a hostile server, or somebody in between, could send."""

    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    def test_an_answer_is_signed_with_the_agreed_key(self, ticket: bool) -> None:
        world = World()
        if ticket:
            log_in(world)
        signers: list[SigningKey] = [
            SecretKey(bytes(32)),
            SecretKey(b""),
            key("alice"),
            key("idp", "ES256"),
        ]
        for signer in signers:
            initiator = world.initiator()
            claims = claims_of(answered(world, initiator))
            forged = b"C,~" + jwt.sign(claims, signer).encode()
            with pytest.raises(RemoteProtocolError) as refusal:
                initiator.step(forged)
            assert refusal.value.code in (Code.INVALID_SIGNATURE, Code.UNKNOWN_ALGORITHM)

    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    def test_an_unsigned_answer_is_no_answer(self, ticket: bool) -> None:
        world = World()
        if ticket:
            log_in(world)
        initiator = world.initiator()
        claims = claims_of(answered(world, initiator))
        unsigned = b"C,~" + jwt.unsigned(claims).encode()
        refuse(initiator, unsigned, Code.MISSING_SIGNATURE)

    def test_without_key_exchange_only_an_unsigned_answer_can_be_read(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        initiator = world.initiator()
        claims = claims_of(answered(world, initiator))
        signed = b"C,~" + jwt.sign(claims, SecretKey(bytes(32))).encode()
        refuse(initiator, signed, Code.INVALID_SIGNATURE, "no key to check with")

    def test_without_key_exchange_tickets_and_proofs_are_ignored(self) -> None:
        world = World(mechanism=NO_EXCHANGE)
        initiator = world.initiator()
        initiator.step()
        members = {"exp": START + HOUR, "tkt": {"tid": "t", "exp": START + HOUR}, "jti": "AAAA"}
        assert initiator.step(b"C,~" + jwt.unsigned(members).encode()) is None
        assert not initiator.context.extra_round_trip
        assert initiator.context.root_key is None
        assert initiator_tickets(world) == []

    def test_its_own_assertion_sent_back_is_recognised(self) -> None:
        for ticket in (False, True):
            world = World()
            if ticket:
                log_in(world)
            initiator = world.initiator()
            token = initiator.step() or b""
            assertion = token.rpartition(b"~")[2]
            refuse(initiator, b"C,~" + assertion, Code.REFLECTED_RP_RESPONSE)

    def test_so_is_the_whole_token(self) -> None:
        initiator = World().initiator()
        refuse(initiator, initiator.step() or b"", Code.BAD_DIRECTION)

    def test_a_well_signed_answer_with_an_audience_is_a_reflection_too(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = answered(world, initiator)
        hostile = changed(initiator, answer, aud="imap/mail.example.com")
        refuse(initiator, hostile, Code.REFLECTED_RP_RESPONSE)

    def test_an_answer_comes_without_a_certificate(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = answered(world, initiator)
        with_certificate = answer.replace(b"C,~", f"C,{world.person.certificate()}~".encode())
        refuse(initiator, with_certificate, Code.INVALID_ASSERTION)

    def test_an_answer_from_another_exchange_is_refused(self) -> None:
        world = World()
        other = answered(world, world.initiator(tickets=None))
        initiator = world.initiator(tickets=None)
        initiator.step()
        refuse(initiator, other, Code.INVALID_SIGNATURE)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"exp": None}, Code.UNKNOWN_JSON_KEY),
            ({"exp": "soon"}, Code.INVALID_JSON),
            ({"tkt": "tid"}, Code.INVALID_JSON),
            ({"tkt": {"tid": "t"}}, Code.UNKNOWN_JSON_KEY),
            ({"tkt": {"tid": 1, "exp": START}}, Code.INVALID_JSON),
            ({"tkt": {"tid": "t" * 129, "exp": START}}, Code.INVALID_JSON),
            ({"jti": 1}, Code.INVALID_JSON),
            ({"jti": "="}, Code.INVALID_BASE64),
            ({"jti": "A" * 513}, Code.INVALID_JSON),
            ({"nonce": 1}, Code.MISMATCHED_RP_RESPONSE),
            ({"gss-min": True}, Code.BAD_ERROR_TOKEN),
            ({"gss-maj": 1 << 32}, Code.BAD_ERROR_TOKEN),
            ({"gss-maj": "13"}, Code.BAD_ERROR_TOKEN),
            ({"gss-min": -1}, Code.BAD_ERROR_TOKEN),
            ({"iat": 1.5}, Code.INVALID_JSON),
        ],
        ids=str,
    )
    def test_malformed_members_are_refused_however_well_signed(
        self, changes: dict[str, Any], code: Code
    ) -> None:
        world = World()
        initiator = world.initiator()
        refuse(initiator, changed(initiator, answered(world, initiator), **changes), code)

    def test_members_it_does_not_know_are_ignored(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = changed(initiator, answered(world, initiator), x=[1], opts="?", cb=0)
        initiator.step(answer)
        assert initiator.state is InitiatorState.ESTABLISHED

    @pytest.mark.parametrize(
        ("member", "code"),
        [
            (None, Code.NO_KEY),
            ("point", Code.NO_KEY),
            ({"x": "AA", "y": "AA"}, Code.CRYPTO_ERROR),
            ({"x": "AQ", "y": "AQ"}, Code.CRYPTO_ERROR),
            ({"x": "", "y": "AQ"}, Code.CRYPTO_ERROR),
            ({"x": "A" * 200, "y": "AQ"}, Code.CRYPTO_ERROR),
            ({"x": "A" * 60, "y": "AQ"}, Code.CRYPTO_ERROR),
            ({"x": "AQ"}, Code.UNKNOWN_JSON_KEY),
            ({"x": "?", "y": "AQ"}, Code.INVALID_BASE64),
            ({"x": 1, "y": 1}, Code.INVALID_JSON),
        ],
        ids=str,
    )
    def test_the_servers_point_is_on_the_curve(self, member: object, code: Code) -> None:
        world = World()
        initiator = world.initiator()
        claims = altered(claims_of(answered(world, initiator)), {"ecdh": member})
        forged = b"C,~" + jwt.sign(claims, SecretKey(bytes(32))).encode()
        refuse(initiator, forged, code)

    def test_it_is_in_the_dialect_that_was_spoken(self) -> None:
        world = World()
        for dialect, other in ((DRAFT_04, DRAFT_07), (DRAFT_07, DRAFT_04)):
            initiator = world.initiator(InitiatorOptions(dialect=dialect), tickets=None)
            answer = answered(world, initiator)
            point = claims_of(answer)[dialect.agreement]
            claims = altered(claims_of(answer), {dialect.agreement: None, other.agreement: point})
            signer = response_key(initiator, claims_of(answer))
            swapped = b"C,~" + jwt.sign(claims, signer).encode()
            refuse(initiator, swapped, Code.NO_KEY, f"`{dialect.agreement}`")

    def test_its_own_point_sent_back_agrees_on_nothing(self) -> None:
        initiator = World().initiator()
        point = claims_of(initiator.step() or b"")["ecdh"]
        members = {"exp": START + HOUR, "ecdh": {"x": point["x"], "y": point["y"]}}
        forged = b"C,~" + jwt.sign(members, SecretKey(bytes(32))).encode()
        refuse(initiator, forged, Code.INVALID_SIGNATURE)


class TestTheExtraRoundTrip:
    def test_the_proof_is_signed_with_the_new_key_and_says_nothing(self) -> None:
        world = World()
        initiator = world.initiator(ROUND_TRIP)
        proof = initiator.step(answered(world, initiator)) or b""
        assert proof.startswith(b"c,~")
        assert claims_of(proof) == {}
        assert initiator.context.extra_round_trip

    def test_it_takes_part_when_the_acceptor_demands_it(self) -> None:
        world = World()
        world.options = replace(world.options, extra_round_trip=True)
        initiator, _ = log_in(world)
        assert initiator.context.extra_round_trip

    def test_an_acceptor_may_leave_it_out(self) -> None:
        world = World()
        initiator = world.initiator(ROUND_TRIP)
        hostile = changed(initiator, answered(world, initiator), jti=None)
        assert initiator.step(hostile) is None
        assert not initiator.context.extra_round_trip


class TestMutualAuthentication:
    def attempt(
        self,
        credential: ServerCredential | None,
        options: InitiatorOptions = REQUIRED,
        *,
        world: World | None = None,
        **further: Any,
    ) -> Initiator:
        world = world or World()
        initiator = world.initiator(options, **({"trust": server_trust()} | further))
        exchange(initiator, world.acceptor(credential=credential))
        return initiator

    def test_the_server_is_known(self) -> None:
        assert self.attempt(server_credential()).context.mutual

    def test_who_requires_it_needs_trust_anchors(self) -> None:
        with refused(Code.BAD_CONTEXT_OPTION, "`trust_anchors`", LocalProtocolError):
            self.attempt(server_credential(), trust=None)

    def test_who_requires_it_is_told_that_the_server_lacks_the_key(self) -> None:
        with refused(Code.MISSING_SIGNATURE, "`x509_certificate`"):
            self.attempt(None)

    def test_who_prefers_it_does_without(self) -> None:
        assert not self.attempt(None, PREFERRED).context.mutual
        assert self.attempt(server_credential(), PREFERRED).context.mutual

    @pytest.mark.parametrize("options", [REQUIRED, PREFERRED])
    def test_a_server_that_is_not_trusted_is_refused_by_both(
        self, options: InitiatorOptions
    ) -> None:
        with refused(Code.UNTRUSTED_X509_CERT):
            self.attempt(server_credential(), options, trust=server_trust("another"))

    def test_a_chain_without_its_key_proves_nothing(self) -> None:
        stolen = ServerCredential(key("thief", "ES256"), server_credential().chain)
        with refused(Code.INVALID_SIGNATURE):
            self.attempt(stolen)

    def test_an_empty_certificate_is_refused(self) -> None:
        with refused(Code.UNTRUSTED_X509_CERT):
            self.attempt(ServerCredential(key("server", "ES256"), (b"",)))

    def test_the_authority_itself_is_no_server(self) -> None:
        impostor = ServerCredential(PrivateKey.from_pem(root().key_pem), (root().der,))
        with pytest.raises(RemoteProtocolError):
            self.attempt(impostor)

    def forged(self, **changes: Any) -> tuple[Initiator, bytes]:
        world = World()
        credential = server_credential()
        initiator = world.initiator(REQUIRED, trust=server_trust())
        answer = world.acceptor(credential=credential).step(initiator.step() or b"") or b""
        claims = altered(claims_of(answer), changes)
        return initiator, b"C,~" + jwt.sign(claims, credential.key, x5c=credential.chain).encode()

    def test_the_nonce_is_echoed(self) -> None:
        initiator, answer = self.forged(nonce=None)
        refuse(initiator, answer, Code.MISSING_NONCE)

    @pytest.mark.parametrize("nonce", ["", "AAAA", b64.encode(bytes(16))])
    def test_and_is_the_one_that_was_sent(self, nonce: str) -> None:
        initiator, answer = self.forged(nonce=nonce)
        refuse(initiator, answer, Code.MISMATCHED_RP_RESPONSE, "replaying an old response")

    def test_an_answer_without_a_point_is_refused_even_so(self) -> None:
        initiator, answer = self.forged(ecdh=None)
        refuse(initiator, answer, Code.NO_KEY)

    @pytest.mark.parametrize("mechanism", ["BROWSERID", "BROWSERID-AES128"])
    def test_an_answer_signed_like_that_unasked_is_refused(self, mechanism: str) -> None:
        world = World(mechanism=mechanism_by_name(mechanism))
        for trust in (None, server_trust()):
            credential = server_credential()
            initiator = world.initiator(trust=trust, tickets=None)
            claims = claims_of(answered(world, initiator))
            answer = b"C,~" + jwt.sign(claims, credential.key, x5c=credential.chain).encode()
            refuse(initiator, answer, Code.UNTRUSTED_X509_CERT, "not asked for")

    def test_in_re_authentication_the_servers_key_does_not_sign(self) -> None:
        world = World()
        credential = server_credential()
        self.attempt(credential, world=world)
        initiator = world.initiator(REQUIRED, trust=server_trust())
        claims = claims_of(answered(world, initiator))
        claims["nonce"] = b64.encode(initiator._sent.claims.nonce or b"")
        answer = b"C,~" + jwt.sign(claims, credential.key, x5c=credential.chain).encode()
        refuse(initiator, answer, Code.UNKNOWN_ALGORITHM)

    def test_certificates_beside_the_agreed_key_prove_nothing(self) -> None:
        world = World()
        initiator = world.initiator(REQUIRED, trust=server_trust())
        claims = claims_of(answered(world, initiator))
        signer = response_key(initiator, claims)
        chain = server_credential().chain
        refuse(
            initiator,
            b"C,~" + jwt.sign(claims, signer, x5c=chain).encode(),
            Code.UNKNOWN_ALGORITHM,
        )


class TestBeingRefused:
    def error(self, world: World | None = None, /, **claims: Any) -> PeerRefusedError:
        world = world or World()
        initiator = world.initiator()
        initiator.step()
        named = {name.replace("_", "-"): value for name, value in claims.items()}
        with pytest.raises(PeerRefusedError) as refusal:
            initiator.step(b"C,~" + jwt.unsigned(named).encode())
        assert initiator.state is InitiatorState.FAILED
        return refusal.value

    def test_it_tells_what_the_server_said(self) -> None:
        error = self.error(gss_maj=2 << 16, gss_min=18, iat=START)
        assert error.code is Code.BAD_AUDIENCE
        assert "the server said: bad-audience (major 0x20000, minor 0x12)" in str(error)
        assert "connect to the server by the name" in error.remedy
        assert not error.authenticated

    def test_either_status_alone_will_do(self) -> None:
        assert self.error(gss_min=23).code is Code.INVALID_SIGNATURE
        assert "major 0xd0000" in str(self.error(gss_min=23))
        assert self.error(gss_min=23).major == Major.FAILURE
        assert self.error(gss_maj=1 << 16).code is Code.UNKNOWN_ERROR_CODE
        assert str(self.error(gss_maj=1 << 16)).endswith("(major 0x10000)")

    @pytest.mark.parametrize("major", [1 << 16, 6 << 16, 0x1000000, 0xFFFF0000, 0x000D0001])
    def test_the_status_that_came_is_what_the_error_says(self, major: int) -> None:
        assert self.error(gss_maj=major).major == major
        assert self.error(gss_maj=major, gss_min=23).major == major

    def test_a_code_nobody_knows(self) -> None:
        for minor in (81, 999, 0x80000000, 0xFFFFFFFF):
            assert self.error(gss_min=minor).code is Code.UNKNOWN_ERROR_CODE
        for minor in range(48, 62):
            assert self.error(gss_min=minor).code is Code.CACHE_ERROR

    def test_success_reported_as_an_error_is_no_success(self) -> None:
        for status in ({"gss_maj": 0, "gss_min": 0}, {"gss_maj": 0}, {"gss_min": 0}):
            error = self.error(**status, exp=START + HOUR)
            assert error.code is Code.UNKNOWN_ERROR_CODE
            assert error.major == Major.FAILURE
            assert "the server said: unknown-error-code" in str(error)
        assert self.error(gss_maj=0, gss_min=18).code is Code.BAD_AUDIENCE

    @pytest.mark.parametrize(
        ("theirs", "told"),
        [
            (START + 60_000, None),
            (START - 60_000, None),
            (START + 61_000, "its clock differs from ours by 61 s"),
            (START - HOUR, "its clock differs from ours by -3600 s"),
        ],
    )
    def test_a_difference_of_the_clocks_is_told(self, theirs: int, told: str | None) -> None:
        error = self.error(gss_min=Code.EXPIRED_ASSERTION.wire, iat=theirs)
        if told is None:
            assert "clock differs" not in str(error)
        else:
            assert told in str(error)
        assert "compare the clocks" in str(error)

    def test_a_difference_is_told_even_where_there_is_no_other_advice(self) -> None:
        error = self.error(gss_min=2, iat=START - HOUR)
        assert error.remedy == "its clock differs from ours by -3600 s"

    def test_tickets_proofs_and_times_in_an_error_are_ignored(self) -> None:
        world = World()
        members: dict[str, Any] = {"tkt": {"tid": "t", "exp": START + HOUR}, "jti": "AAAA"}
        assert self.error(world, gss_min=2, **members).code is Code.NO_MEMORY
        assert self.error(gss_min=2, tkt=1, jti=2, exp="x").code is Code.NO_MEMORY
        assert initiator_tickets(world) == []

    @pytest.mark.parametrize("ticket", [False, True], ids=["certificate", "ticket"])
    def test_a_signed_error_is_verified(self, ticket: bool) -> None:
        world = World()
        if ticket:
            log_in(world)

        def nobody(identity: str) -> None:
            raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, "no account")

        initiator = world.initiator()
        answer = world.acceptor(authorize=nobody).step(initiator.step() or b"")
        with pytest.raises(PeerRefusedError) as refusal:
            initiator.step(answer)
        assert refusal.value.authenticated
        assert refusal.value.code is Code.NO_LOCAL_MAPPING

    @pytest.mark.parametrize("mechanism", ["BROWSERID", "BROWSERID-AES128"])
    def test_so_is_one_signed_by_the_servers_key(self, mechanism: str) -> None:
        world = World(mechanism=mechanism_by_name(mechanism))

        def nobody(identity: str) -> None:
            raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, "no account")

        initiator = world.initiator(REQUIRED, trust=server_trust())
        acceptor = world.acceptor(authorize=nobody, credential=server_credential())
        answer = acceptor.step(initiator.step() or b"")
        with pytest.raises(PeerRefusedError) as refusal:
            initiator.step(answer)
        assert refusal.value.authenticated

    def test_one_that_is_signed_by_somebody_else_is_no_error_of_the_servers(self) -> None:
        world = World()
        initiator = world.initiator()
        token = initiator.step() or b""
        world.acceptor().step(token)
        replayed = world.acceptor().step(token) or b""
        forged = jwt.sign(claims_of(replayed), SecretKey(bytes(32)))
        refuse(initiator, b"C,~" + forged.encode(), Code.INVALID_SIGNATURE)

    def test_who_requires_mutual_authentication_still_learns_why(self) -> None:
        world = World()

        def nobody(identity: str) -> None:
            raise RemoteProtocolError(Code.NO_LOCAL_MAPPING, "no account")

        initiator = world.initiator(REQUIRED, trust=server_trust())
        answer = world.acceptor(authorize=nobody).step(initiator.step() or b"")
        with refused(Code.NO_LOCAL_MAPPING, kind=PeerRefusedError):
            initiator.step(answer)


class TestTheSecondAttempt:
    REAUTH_FAILED = b"C,~" + jwt.unsigned({"gss-min": Code.REAUTH_FAILED.wire}).encode()

    def test_a_certificate_follows_once(self) -> None:
        world = World()
        log_in(world)
        initiator = world.initiator()
        assert "tkt" in claims_of(initiator.step() or b"")
        again = initiator.step(self.REAUTH_FAILED) or b""
        assert again.startswith(b"c,ey")
        assert "tkt" not in claims_of(again)
        assert initiator.state.name == "SENT_CERTIFICATE"
        assert initiator_tickets(world) == []
        with refused(Code.REAUTH_FAILED, "neither the ticket nor", PeerRefusedError):
            initiator.step(self.REAUTH_FAILED)
        assert initiator.state.name == "FAILED"

    def test_not_in_reply_to_a_certificate(self) -> None:
        initiator = World().initiator()
        initiator.step()
        with refused(Code.REAUTH_FAILED, kind=PeerRefusedError):
            initiator.step(self.REAUTH_FAILED)

    def test_it_is_bound_to_the_same_channel(self) -> None:
        world = World()
        log_in(world)
        initiator = world.initiator(channel_binding=b"channel")
        initiator.step()
        again = initiator.step(self.REAUTH_FAILED) or b""
        assert b64.decode(claims_of(again)["cb"], "cb") == b"channel"

    def test_without_a_credential_it_fails_and_says_so(self) -> None:
        world = World()
        log_in(world)

        class SignedOut:
            identity = ALICE

            def assertion(self, claims: bytes) -> str:
                raise CredentialError(Code.INTERACT_REQUIRED, "sign in first")

        initiator = world.initiator(credentials=SignedOut())
        initiator.step()
        with refused(Code.INTERACT_REQUIRED, kind=CredentialError):
            initiator.step(self.REAUTH_FAILED)
        assert initiator.state is InitiatorState.FAILED

    def test_the_login_ends_with_a_fresh_ticket(self) -> None:
        world = World()
        log_in(world)
        for ticket in acceptor_tickets(world):
            world.server_stores.tickets.delete(ticket.tid)
        initiator, _ = log_in(world)
        assert not initiator.context.ticket_used
        assert initiator_tickets(world)[0].tid == acceptor_tickets(world)[0].tid
        assert not initiator_tickets(world)[0].renewed


class TestCredentials:
    def test_nobody_is_signed_in(self) -> None:
        class Nobody:
            @property
            def identity(self) -> str:
                raise CredentialError(Code.INTERACT_REQUIRED, "nobody is signed in")

            def assertion(self, claims: bytes) -> str:
                raise AssertionError

        initiator = World().initiator(credentials=Nobody())
        with refused(Code.INTERACT_REQUIRED, kind=CredentialError):
            initiator.step()
        assert initiator.state is InitiatorState.FAILED

    @pytest.mark.parametrize("count", [0, 2])
    def test_a_source_gives_exactly_one_certificate(self, count: int) -> None:
        world = World()

        class Odd:
            identity = ALICE

            def assertion(self, claims: bytes) -> str:
                certificates = [world.person.certificate()] * count
                return "~".join([*certificates, jwt.sign(claims, key("alice"))])

        with refused(Code.MISSING_CERT, kind=CredentialError):
            world.initiator(credentials=Odd()).step()

    @pytest.mark.parametrize("by_ticket", [False, True])
    def test_a_login_stays_that_of_who_began_it(self, by_ticket: bool) -> None:
        world = World()
        if by_ticket:
            log_in(world)
        source = replace(world.person)
        initiator = world.initiator(credentials=source)
        answer = answered(world, initiator)
        # Alice signs out, and bob signs in.
        source.identity = "bob@example.com"
        initiator.step(answer)
        assert initiator.context.identity == ALICE
        assert {ticket.identity for ticket in initiator_tickets(world)} == {ALICE}

    def test_the_source_sees_the_claims_and_keeps_its_key(self) -> None:
        world = World()
        seen: list[bytes] = []

        class Agent:
            identity = ALICE

            def assertion(self, claims: bytes) -> str:
                seen.append(claims)
                return world.person.assertion(claims)

        token = first_token(world, credentials=Agent())
        assert b64.decode(token.decode().split(".")[-2], "payload") == seen[0]


class TestMisuse:
    @pytest.mark.parametrize("answer", [None, b""])
    def test_an_answer_cannot_be_left_out(self, answer: bytes | None) -> None:
        initiator = World().initiator()
        initiator.step()
        with refused(Code.TOKEN_TRUNCATED, kind=RemoteProtocolError):
            initiator.step(answer)
        assert initiator.state is InitiatorState.FAILED

    def test_nothing_comes_after_the_end(self) -> None:
        world = World()
        initiator = world.initiator()
        answer = answered(world, initiator)
        initiator.step(answer)
        failed = world.initiator(tickets=None)
        failed.step()
        with pytest.raises(RemoteProtocolError):
            failed.step(b"garbage")
        for ended in (initiator, failed):
            state = ended.state
            for token in (None, b"", answer):
                with refused(Code.CONTEXT_ESTABLISHED, kind=LocalProtocolError):
                    ended.step(token)
            assert ended.state is state

    def test_there_is_no_context_before_the_end(self) -> None:
        with refused(Code.CONTEXT_INCOMPLETE, kind=LocalProtocolError):
            _ = World().initiator().context
