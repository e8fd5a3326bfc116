"""Framing: the two octets in front of every token, and RFC 2743's frame around the first."""

from __future__ import annotations

import base64

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism
from browserid_sasl.gss.tokens import (
    MAX_LENGTH,
    TokenId,
    frame,
    unframe,
    unwrap_initial,
    wrap_initial,
)
from tests.support import vectors
from tests.support.refusal import refused

OID = (1, 3, 6, 1, 4, 1, 5322, 24, 1, 17)
ENCODED_OID = bytes.fromhex("060a2b06010401a94a180111")


class TestIdentifiers:
    @pytest.mark.parametrize("token_id", TokenId)
    def test_a_token_is_unframed_as_it_was_framed(self, token_id: TokenId) -> None:
        assert frame(token_id, "body") == token_id.value + b"body"
        assert unframe(token_id.value + b"body", token_id) == b"body"
        assert unframe(token_id.value, token_id) == b""

    @pytest.mark.parametrize("token", [b"", b"c"])
    def test_one_that_ends_too_soon(self, token: bytes) -> None:
        with refused(Code.TOKEN_TRUNCATED, kind=RemoteProtocolError):
            unframe(token, TokenId.INITIATOR)

    @pytest.mark.parametrize("expected", [TokenId.INITIATOR, TokenId.ACCEPTOR])
    def test_one_that_goes_the_other_way(self, expected: TokenId) -> None:
        with refused(Code.BAD_DIRECTION, "reflection"):
            unframe(expected.value.swapcase() + b"body", expected)

    @pytest.mark.parametrize("token", [b"D,x", b"m,x", b"M,x", b"c;x", b"cc", b"\0\0", b"`\x82"])
    def test_one_of_another_kind(self, token: bytes) -> None:
        with refused(Code.WRONG_TOKEN_ID):
            unframe(token, TokenId.INITIATOR)

    def test_the_length_is_limited(self) -> None:
        assert unframe(b"c," + b"x" * (MAX_LENGTH - 2), TokenId.INITIATOR)
        with refused(Code.BUFFER_TOO_LONG):
            unframe(b"c," + b"x" * (MAX_LENGTH - 1), TokenId.INITIATOR)


class TestTheFrameOfRfc2743:
    @pytest.mark.parametrize("size", [0, 1, 115, 116, 243, 244, 255, 65_523, 65_524, 70_000])
    @pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda row: row.name)
    def test_a_token_comes_out_as_it_went_in(self, mechanism: Mechanism, size: int) -> None:
        token = b"t" * size
        assert unwrap_initial(wrap_initial(mechanism.oid, token)) == (mechanism.oid, token)

    def test_its_octets(self) -> None:
        assert wrap_initial(OID, b"c,") == b"\x60\x0e" + ENCODED_OID + b"c,"
        long = wrap_initial(OID, b"t" * 300)
        assert long.startswith(b"\x60\x82\x01\x38" + ENCODED_OID)

    def test_recorded_tokens_are_framed_octet_for_octet(self) -> None:
        for name in vectors.names(lambda vector: not vector.is_sasl):
            vector = vectors.load(name)
            first = next(m for m in vector.data["messages"] if m["from"] == "initiator")
            octets = base64.b64decode(first["octets"])
            assert wrap_initial(*unwrap_initial(octets)) == octets
            assert unwrap_initial(octets)[0] == vector.mechanism.oid

    @pytest.mark.parametrize(
        ("octets", "code"),
        [
            ("", Code.BAD_TOKEN_HEADER),
            ("632c", Code.BAD_TOKEN_HEADER),
            ("60", Code.TOKEN_TRUNCATED),
            ("600e", Code.TOKEN_TRUNCATED),
            ("600d060a2b06010401a94a180111632c", Code.WRONG_SIZE),
            ("600f060a2b06010401a94a180111632c", Code.TOKEN_TRUNCATED),
            ("60810e060a2b06010401a94a180111632c", Code.BAD_TOKEN_HEADER),
            ("6082000e060a2b06010401a94a180111632c", Code.BAD_TOKEN_HEADER),
            ("6080060a2b06010401a94a180111632c0000", Code.BAD_TOKEN_HEADER),
            ("60840000000e060a2b06010401a94a180111", Code.BAD_TOKEN_HEADER),
            ("60ff", Code.BAD_TOKEN_HEADER),
            ("6000", Code.BAD_TOKEN_HEADER),
            ("600106", Code.BAD_TOKEN_HEADER),
            ("600204002b", Code.WRONG_SIZE),
            ("60020600", Code.BAD_TOKEN_HEADER),
            ("60020601", Code.BAD_TOKEN_HEADER),
            ("6003060180", Code.BAD_TOKEN_HEADER),
            ("600406028001", Code.BAD_TOKEN_HEADER),
            ("600506032b80" + "01", Code.BAD_TOKEN_HEADER),
            ("60030601ff", Code.BAD_TOKEN_HEADER),
            ("6005068102" + "2b06", Code.BAD_TOKEN_HEADER),
            ("600c040a2b06010401a94a180111", Code.BAD_TOKEN_HEADER),
            ("6023" + "0621" + "2b" * 33, Code.BAD_TOKEN_HEADER),
            ("60818a" + "0688" + "ff" * 8 + "00" * 128, Code.BAD_TOKEN_HEADER),
            ("60818a" + "0688" + "7f" * 8 + "00" * 128, Code.BAD_TOKEN_HEADER),
            ("608186" + "0684" + "ffffffff" + "00" * 128, Code.BAD_TOKEN_HEADER),
            ("608182" + "0680" + "00" * 128, Code.BAD_TOKEN_HEADER),
            ("608201" + "01" + "06ff" + "ff" * 255, Code.BAD_TOKEN_HEADER),
            ("6083ffffff" + "060a", Code.TOKEN_TRUNCATED),
            ("6088" + "ff" * 8 + "060a", Code.BAD_TOKEN_HEADER),
        ],
    )
    def test_anything_but_der_is_refused(self, octets: str, code: Code) -> None:
        with refused(code, kind=RemoteProtocolError):
            unwrap_initial(bytes.fromhex(octets))
