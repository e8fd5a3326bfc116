"""What the two sides say: every member, its types, its limits, and both dialects."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import Code, Major, RemoteProtocolError
from browserid_sasl.gss.claims import (
    InitiatorClaims,
    IssuedTicket,
    KeyAgreement,
    Option,
    ReportedError,
    Response,
)
from browserid_sasl.gss.dialects import DRAFT_04, DRAFT_07, Dialect
from browserid_sasl.gss.ecdh import EcdhKey, Point
from browserid_sasl.gss.mechanisms import P256, P521
from browserid_sasl.identity.verifier import Validity
from browserid_sasl.jose import b64
from tests.support import vectors
from tests.support.forging import altered
from tests.support.refusal import refused
from tests.support.world import IMAP, START

AUDIENCE = "urn:x-gss:imap/mail.example.com"
POINT = {"x": "AQ", "y": "Ag"}
LEAST = {"aud": AUDIENCE, "exp": START}
ECDH = {"crv": "P-256"} | POINT
each_dialect = pytest.mark.parametrize("dialect", [DRAFT_04, DRAFT_07], ids=lambda row: row.name)


def parse(changes: dict[str, Any] | None = None) -> InitiatorClaims:
    return InitiatorClaims.parse(altered(LEAST, changes or {}))


class TestAnAssertion:
    def test_the_least_that_it_says(self) -> None:
        claims = parse()
        assert claims == InitiatorClaims(DRAFT_04, IMAP, Validity(START))

    def test_everything_that_it_can_say(self) -> None:
        said = {
            "ecdh": ECDH,
            "iat": START - 1,
            "nbf": START - 2,
            "cb": "Y2I",
            "nonce": "bm9uY2U",
            "opts": ["ma", "xrt", "ify"],
            "tkt": {"tid": "ticket"},
            "unknown": {"ignored": True},
        }
        claims = parse(said)
        assert claims.validity == Validity(START, START - 1, START - 2)
        assert claims.agreement == KeyAgreement(P256, Point(b"\1", b"\2"))
        assert (claims.channel_binding, claims.nonce) == (b"cb", b"nonce")
        assert claims.options == {Option.MUTUAL, Option.EXTRA_ROUND_TRIP, Option.IDENTIFY}
        assert claims.ticket_id == "ticket"

    @each_dialect
    def test_it_reads_as_it_was_written(self, dialect: Dialect) -> None:
        written = InitiatorClaims(
            dialect,
            IMAP,
            Validity(START),
            KeyAgreement(P521, EcdhKey.generate(P521).point),
            channel_binding=b"\0\xff",
            nonce=bytes(16),
            options=frozenset({Option.MUTUAL, Option.DCE_STYLE, Option.EXTRA_ROUND_TRIP}),
        )
        assert InitiatorClaims.parse(written.to_json()) == written
        assert list(written.to_json()) == ["cb", dialect.agreement, "opts", "nonce", "exp", "aud"]

    @each_dialect
    def test_so_does_a_re_authentication(self, dialect: Dialect) -> None:
        written = InitiatorClaims(
            dialect, IMAP, Validity(START), nonce=bytes(16), ticket_id="ticket"
        )
        assert InitiatorClaims.parse(written.to_json()) == written
        assert list(written.to_json()) == ["exp", "nonce", "tkt", "aud"]

    def test_neither_nonce_nor_binding_is_shown(self) -> None:
        claims = parse({"nonce": "c2VjcmV0", "cb": "c2VjcmV0"})
        assert "secret" not in repr(claims)

    @pytest.mark.parametrize("padded", [False, True])
    def test_coordinates_may_be_padded_or_not(self, padded: bool) -> None:
        # The recorded peer reads a padded coordinate but computes with another.
        vector = vectors.load("rob-epk-b64-padding")
        coordinate = vector.claims()[0]["epk"]["x"]
        bare = coordinate.rstrip("=")
        padding = "=" * (-len(bare) % 4)
        point = {"x": bare + (padding if padded else ""), "y": "Ag"}
        claims = parse({"ecdh": ECDH | point})
        assert claims.agreement is not None
        assert claims.agreement.point.x == b64.decode(bare, "x")

    def test_leading_zeros_may_be_left_out_or_kept(self) -> None:
        for x in (b"\1", b"\0" * 31 + b"\1"):
            claims = parse({"ecdh": ECDH | {"x": b64.encode(x)}})
            assert claims.agreement is not None
            assert claims.agreement.point.x == x

    @pytest.mark.parametrize(
        ("opts", "options"),
        [
            ([], set()),
            (["unknown", "MA", "", 1, None, {}, ["ma"]], set()),
            (["ma", "ma"], {Option.MUTUAL}),
            (["dce"], {Option.DCE_STYLE, Option.EXTRA_ROUND_TRIP}),
        ],
    )
    def test_unknown_options_are_ignored_and_dce_implies_the_round_trip(
        self, opts: list[object], options: set[Option]
    ) -> None:
        assert parse({"opts": opts}).options == options

    def test_a_re_authentication_may_have_iat_instead_of_exp(self) -> None:
        without = {"exp": None, "iat": START, "tkt": {"tid": "t"}}
        assert parse(without).validity == Validity(START, START)
        for missing in ("iat", "tkt"):
            with refused(Code.UNKNOWN_JSON_KEY, "`exp`"):
                parse(without | {missing: None})

    def test_longest_values(self) -> None:
        assert parse({"cb": "A" * 16_384, "nonce": "A" * 512, "opts": ["x"] * 32})

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"aud": None}, Code.MISSING_AUDIENCE),
            ({"aud": ["imap/mail.example.com"]}, Code.INVALID_JSON),
            ({"aud": "a" * 1025}, Code.INVALID_JSON),
            ({"aud": "urn:other"}, Code.INVALID_AUDIENCE_URN),
            ({"aud": "imap"}, Code.BAD_SERVICE_NAME),
            ({"exp": None}, Code.UNKNOWN_JSON_KEY),
            ({"exp": str(START)}, Code.INVALID_JSON),
            ({"exp": 2**53}, Code.INVALID_JSON),
            ({"exp": True}, Code.INVALID_JSON),
            ({"exp": 1.5}, Code.INVALID_JSON),
            ({"iat": "now"}, Code.INVALID_JSON),
            ({"nbf": -1}, Code.INVALID_JSON),
            ({"cb": 1}, Code.INVALID_JSON),
            ({"cb": "+/"}, Code.INVALID_BASE64),
            ({"cb": "A" * 16_388}, Code.INVALID_JSON),
            ({"nonce": []}, Code.INVALID_JSON),
            ({"nonce": "A"}, Code.INVALID_BASE64),
            ({"nonce": "A" * 516}, Code.INVALID_JSON),
            ({"opts": "ma"}, Code.INVALID_JSON),
            ({"opts": {"ma": True}}, Code.INVALID_JSON),
            ({"opts": ["x"] * 33}, Code.INVALID_JSON),
            ({"tkt": "tid"}, Code.INVALID_JSON),
            ({"tkt": {}}, Code.UNKNOWN_JSON_KEY),
            ({"tkt": {"tid": 1}}, Code.INVALID_JSON),
            ({"tkt": {"tid": "t" * 129}}, Code.INVALID_JSON),
            ({"ecdh": "point"}, Code.NO_KEY),
            ({"ecdh": []}, Code.NO_KEY),
            ({"ecdh": ECDH | {"kty": "RSA"}}, Code.NO_KEY),
            ({"ecdh": ECDH | {"kty": 1}}, Code.NO_KEY),
            ({"ecdh": POINT}, Code.UNKNOWN_EC_CURVE),
            ({"ecdh": ECDH | {"crv": "P-384"}}, Code.UNKNOWN_EC_CURVE),
            ({"ecdh": ECDH | {"crv": "p-256"}}, Code.UNKNOWN_EC_CURVE),
            ({"ecdh": ECDH | {"crv": ["P-256"]}}, Code.UNKNOWN_EC_CURVE),
            ({"ecdh": {"crv": "P-256", "x": "AQ"}}, Code.UNKNOWN_JSON_KEY),
            ({"ecdh": ECDH | {"y": 2}}, Code.INVALID_JSON),
            ({"ecdh": ECDH | {"x": "?"}}, Code.INVALID_BASE64),
            ({"ecdh": ECDH | {"x": ""}}, Code.CRYPTO_ERROR),
            ({"ecdh": ECDH | {"x": "A" * 44}}, Code.CRYPTO_ERROR),
            ({"ecdh": ECDH | {"crv": "P-521", "x": "A" * 90}}, Code.CRYPTO_ERROR),
            ({"ecdh": ECDH | {"x": "A" * 2732}}, Code.INVALID_JSON),
            ({"epk": ECDH}, Code.INVALID_ASSERTION),
            ({"ecdh": ECDH, "epk": ECDH}, Code.INVALID_ASSERTION),
            ({"epk": None, "aud": "imap/mail", "ecdh": ECDH}, Code.INVALID_ASSERTION),
        ],
        ids=lambda value: ascii(value)[:60],
    )
    def test_what_is_wrong_has_its_own_code(self, changes: dict[str, Any], code: Code) -> None:
        with refused(code, kind=RemoteProtocolError):
            parse(changes)


class TestAResponse:
    def test_the_least_that_it_says(self) -> None:
        assert Response.parse({"exp": START}) == Response(expires=START)

    @pytest.mark.parametrize(
        "response",
        [
            Response(expires=START),
            Response(START, "ecdh", Point(b"\1", b"\2"), IssuedTicket("t", START), b"jti", b"n"),
            Response(START, "epk", Point(b"\1" * 66, b"\2" * 66), clock=START),
            Response(error=ReportedError(13 << 16, 0x8000000E), clock=START),
            Response(None, "ecdh", Point(b"\1", b"\2"), error=ReportedError(0, 0), nonce=b"n"),
            Response(error=ReportedError(13 << 16, None)),
        ],
    )
    def test_it_reads_as_it_was_written(self, response: Response) -> None:
        assert Response.parse(response.to_json()) == response

    def test_members_are_written_in_the_recorded_order(self) -> None:
        full = Response(START, "epk", Point(b"\1", b"\2"), IssuedTicket("t", 1), b"jti", b"n")
        assert list(full.to_json()) == ["exp", "epk", "tkt", "jti", "nonce"]
        error = Response(error=ReportedError(1, 2), clock=START)
        assert list(error.to_json()) == ["gss-maj", "iat", "gss-min"]

    def test_neither_nonce_nor_jti_is_shown(self) -> None:
        assert "secret" not in repr(Response(START, jti=b"secret", nonce=b"secret"))

    def test_an_error_knows_its_code(self) -> None:
        assert ReportedError(0, 18).code is Code.BAD_AUDIENCE
        assert ReportedError(0, 0x80000019).code is Code.CRED_EXPIRED
        assert ReportedError(0, None).code is Code.UNKNOWN_ERROR_CODE

    @pytest.mark.parametrize("absent", ["gss-maj", "gss-min"])
    def test_either_status_alone_makes_an_error(self, absent: str) -> None:
        claims = {"gss-maj": 6 << 16, "gss-min": 23}
        del claims[absent]
        error = Response.parse(claims).error
        assert error is not None
        assert error.status == (6 << 16 if absent == "gss-min" else Major.FAILURE)
        assert (error.code is Code.INVALID_SIGNATURE) is (absent == "gss-maj")

    @pytest.mark.parametrize("major", [0, 1, 2, 0x1F, 0xFFFF])
    def test_a_status_without_an_error_in_it_is_a_failure(self, major: int) -> None:
        for minor in (0, 23, None):
            error = ReportedError(major, minor)
            assert error.status == Major.FAILURE
            assert error.code is not Code.OK

    @pytest.mark.parametrize("name", ["gss-maj", "gss-min"])
    @pytest.mark.parametrize(
        "value",
        [-1, -(1 << 31), 1 << 32, 1 << 53, 10**31, True, False, 13.0, 1.5, "13", None, [], {}],
    )
    def test_a_status_is_a_number_of_32_bits_without_sign(self, name: str, value: object) -> None:
        for others in ({}, {"gss-maj": 1 << 16, "gss-min": 2}, {"exp": START}):
            with refused(Code.BAD_ERROR_TOKEN, f"`{name}`"):
                Response.parse(others | {name: value})

    @pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
    def test_writers_send_both(self, code: Code) -> None:
        members = Response(error=ReportedError(int(code.major), code.wire)).to_json()
        assert members == {"gss-maj": int(code.major), "gss-min": code.wire}
        error = Response.parse(members).error
        assert error is not None
        assert (error.status, error.code) == (code.major, code)

    def test_a_point_that_is_no_object_is_no_point(self) -> None:
        assert Response.parse({"exp": START, "ecdh": "x"}).point is None

    def test_an_audience_is_a_reflection_whatever_else_there_is(self) -> None:
        for claims in ({"aud": "x"}, {"aud": None, "exp": START}, {"aud": 1, "gss-min": 1}):
            with refused(Code.REFLECTED_RP_RESPONSE):
                Response.parse(claims)
