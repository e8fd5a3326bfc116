"""What an established context is good for: lifetime, message protection, keys, deletion."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace

import pytest

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.gss.deletion import check_deletion_token, deletion_token
from browserid_sasl.gss.exported_names import export_name, import_exported_name
from browserid_sasl.gss.initiator import InitiatorOptions
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import UserName
from browserid_sasl.jose import jwt
from browserid_sasl.jose.secrets import SecretKey
from browserid_sasl.krb5.message import MessageProtection, SequenceState
from tests.support import vectors
from tests.support.world import ALICE, IMAP, START, World, exchange

PROTECTING = [row for row in MECHANISMS if row.curve]
Ends = tuple[SecurityContext, SecurityContext]


def establish(
    mechanism: Mechanism = PROTECTING[0], options: InitiatorOptions | None = None
) -> Ends:
    """Both ends of a new context, the initiator's first."""
    world = World(mechanism=mechanism)
    initiator, acceptor = world.initiator(options), world.acceptor()
    exchange(initiator, acceptor)
    return initiator.context, acceptor.context


@pytest.fixture(scope="module")
def ends() -> Ends:
    return establish()


class TestLifetime:
    def test_ends_with_the_certificate(self, ends: Ends) -> None:
        for context in ends:
            assert context.lifetime(START) == context.expires - START > 0
            assert context.lifetime(context.expires + 1) == 0


class TestNames:
    def test_both_ends_know_both(self, ends: Ends) -> None:
        for context in ends:
            assert context.initiator_name == UserName(ALICE)
            assert context.target == IMAP

    def test_can_be_kept_in_access_control_lists(self, ends: Ends) -> None:
        _, acceptor = ends
        entry = export_name(acceptor.initiator_name, acceptor.mechanism)
        assert import_exported_name(entry) == (acceptor.mechanism, UserName(ALICE))


class TestProtection:
    @pytest.mark.parametrize("mechanism", PROTECTING, ids=lambda row: row.name)
    @pytest.mark.parametrize(
        "options",
        [
            InitiatorOptions(),
            InitiatorOptions(extra_round_trip=True),
            InitiatorOptions(dce_style=True),
        ],
        ids=["plain", "extra round trip", "DCE style"],
    )
    def test_each_end_opens_what_the_other_sends(
        self, mechanism: Mechanism, options: InitiatorOptions
    ) -> None:
        initiator, acceptor = (end.protection() for end in establish(mechanism, options))
        for sender, receiver in [(initiator, acceptor), (acceptor, initiator)]:
            for confidential in (True, False):
                token = sender.wrap(b"message", confidential)
                assert receiver.unwrap(token).data == b"message"
            receiver.verify_mic(b"message", sender.get_mic(b"message"))

    @pytest.mark.parametrize(
        "name",
        vectors.names(lambda vector: bool(vector.data.get("protection"))),
    )
    def test_recorded_tokens_are_opened(self, name: str) -> None:
        vector = vectors.load(name)
        for side, end in (("initiator", False), ("acceptor", True)):
            receiver = recorded_context(vector, is_initiator=end).protection()
            for row in vector.data["protection"]:
                if row["from"] == side:
                    open_recorded(receiver, row)

    def test_goes_on_where_it_is_told_to(self, ends: Ends) -> None:
        protection = ends[0].protection(SequenceState(send=7, receive=3, received=1))
        protection.wrap(b"")
        assert protection.sequence == SequenceState(8, 3, 1)

    def test_takes_its_confounders_from_where_it_is_told_to(self, ends: Ends) -> None:
        fixed: Callable[[int], bytes] = bytes
        once, again = (ends[0].protection(random=fixed).wrap(b"message") for _ in range(2))
        assert once == again != ends[0].protection().wrap(b"message")

    def test_a_token_of_another_context_does_not_open(self, ends: Ends) -> None:
        other, _ = establish()
        with pytest.raises(RemoteProtocolError) as caught:
            ends[1].protection().unwrap(other.protection().wrap(b"message"))
        assert caught.value.code is Code.INVALID_SIGNATURE

    def test_ends_that_disagree_on_the_extra_round_trip_do_not_understand_each_other(
        self, ends: Ends
    ) -> None:
        other = replace(ends[1], extra_round_trip=True)
        with pytest.raises(RemoteProtocolError):
            other.protection().unwrap(ends[0].protection().wrap(b"message"))


def recorded_context(vector: vectors.Vector, *, is_initiator: bool) -> SecurityContext:
    root_key = [row["key"] for row in vector.data["derived"] if row["name"] == "CRK"][-1]
    return SecurityContext(
        mechanism=vector.mechanism,
        is_initiator=is_initiator,
        identity=vector.data["expect"]["subject"],
        target=vector.target,
        issuer="idp.test",
        expires=vector.now,
        flags=ContextFlag(vector.data["acceptor_flags"]),
        ticket_used=False,
        extra_round_trip="-xrt-" in vector.name,
        attributes={},
        root_key=bytes.fromhex(root_key),
    )


def open_recorded(receiver: MessageProtection, row: dict[str, str]) -> None:
    token, message = b64decode(row["token"]), row["msg"].encode()
    if row["op"] == "mic":
        receiver.verify_mic(message, token)
    else:
        assert receiver.unwrap(token).data == message


class TestPseudoRandom:
    def test_both_ends_compute_the_same(self, ends: Ends) -> None:
        initiator, acceptor = ends
        assert initiator.pseudo_random(b"what for", 100) == acceptor.pseudo_random(b"what for", 100)

    def test_is_the_recorded_one(self) -> None:
        vector = vectors.load("gss-aes128-mutual-initial")
        context = recorded_context(vector, is_initiator=True)
        for row in vector.data["prf"]:
            assert context.pseudo_random(row["in"].encode(), row["len"]).hex() == row["out"]


class TestDeletion:
    def test_either_end_tells_the_other(self, ends: Ends) -> None:
        initiator, acceptor = ends
        check_deletion_token(acceptor, deletion_token(initiator))
        check_deletion_token(initiator, deletion_token(acceptor))

    def test_begins_as_the_protocol_has_it(self, ends: Ends) -> None:
        assert deletion_token(ends[0]).startswith(b"D,~eyJ")

    def test_is_not_taken_from_oneself(self, ends: Ends) -> None:
        self.refuse(ends[0], deletion_token(ends[0]), Code.INVALID_SIGNATURE)

    def test_is_not_taken_from_another_context(self, ends: Ends) -> None:
        other, _ = establish()
        self.refuse(ends[1], deletion_token(other), Code.INVALID_SIGNATURE)

    def test_has_to_be_signed(self, ends: Ends) -> None:
        unsigned = b"D,~" + jwt.unsigned({}).encode()
        self.refuse(ends[1], unsigned, Code.MISSING_SIGNATURE)

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (b"", Code.TOKEN_TRUNCATED),
            (b"D,", Code.INVALID_JSON_WEB_TOKEN),
            (b"c,~a.b.c", Code.WRONG_TOKEN_ID),
            (b"D,a~a.b.c", Code.INVALID_BASE64),
            (b"D," + 70_000 * b"x", Code.BUFFER_TOO_LONG),
        ],
    )
    def test_what_is_none(self, ends: Ends, token: bytes, code: Code) -> None:
        self.refuse(ends[0], token, code)

    def test_has_nothing_in_it(self, ends: Ends) -> None:
        signed = jwt.sign({"exp": 1}, SecretKey(bytes(32)))
        self.refuse(ends[0], f"D,~{signed}".encode(), Code.INVALID_ASSERTION)

    @staticmethod
    def refuse(context: SecurityContext, token: bytes, code: Code) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            check_deletion_token(context, token)
        assert caught.value.code is code


class TestWithoutKeyExchange:
    @pytest.mark.parametrize(
        "use",
        [
            SecurityContext.protection,
            lambda context: context.pseudo_random(b"", 1),
            deletion_token,
            lambda context: check_deletion_token(context, b"D,~" + jwt.unsigned({}).encode()),
        ],
        ids=["protection", "pseudo-random", "deletion", "being told of deletion"],
    )
    def test_there_is_no_key(self, use: Callable[[SecurityContext], object]) -> None:
        context, _ = establish(mechanism_by_name("BROWSERID"))
        with pytest.raises(LocalProtocolError) as caught:
            use(context)
        assert caught.value.code is Code.NO_SESSION_KEY


def test_the_key_is_never_shown(ends: Ends) -> None:
    context = ends[0]
    assert context.root_key
    assert repr(context.root_key)[2:-1] not in repr(context)
    assert context.root_key.hex() not in repr(context)
