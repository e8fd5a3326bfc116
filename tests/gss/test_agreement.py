"""Key agreement: equal secrets for both, and none with a point that is not on the curve."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.ecdh import EcdhKey, Point
from browserid_sasl.gss.mechanisms import CURVES, P256, P521, Curve
from tests.support.refusal import refused

each_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)

P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1


def known(number: str) -> EcdhKey:
    return EcdhKey.from_number(P256, int(number, 16))


def test_rfc_5903_section_8_1() -> None:
    mine = EcdhKey.from_number(
        P256, 0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433
    )
    theirs = EcdhKey.from_number(
        P256, 0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53
    )
    secret = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"
    assert mine.agree(theirs.point).hex() == theirs.agree(mine.point).hex() == secret


@each_curve
def test_both_ends_come_to_the_same_secret_of_the_fields_size(curve: Curve) -> None:
    mine, theirs = EcdhKey.generate(curve), EcdhKey.generate(curve)
    secret = mine.agree(theirs.point)
    assert secret == theirs.agree(mine.point)
    assert len(secret) == curve.field_size


@each_curve
def test_secrets_keep_their_leading_zeros_and_coordinates_lose_them(curve: Curve) -> None:
    # One pair in 256 has one; on P-521 the first octet has a single bit.
    base = EcdhKey.from_number(curve, 5)
    sizes, shorter = set(), 0
    for number in range(2, 600):
        other = EcdhKey.from_number(curve, number)
        point = other.point
        if min(len(point.x), len(point.y)) < curve.field_size:
            shorter += 1
            sizes.add(len(base.agree(point)))
            assert base.agree(point) == other.agree(base.point)
            padded = Point(*(c.rjust(curve.field_size, b"\0") for c in (point.x, point.y)))
            assert base.agree(padded) == base.agree(point)
    assert shorter
    assert sizes == {curve.field_size}


@each_curve
def test_a_point_has_to_be_on_the_curve(curve: Curve) -> None:
    key, other = EcdhKey.generate(curve), EcdhKey.generate(curve)
    point = other.point
    size = curve.field_size
    bad = {
        "infinity": Point(b"\0", b"\0"),
        "nothing": Point(b"", b""),
        "swapped": Point(point.y, point.x),
        "one off": Point(point.x, bytes([*point.y[:-1], point.y[-1] ^ 1])),
        "beyond the field": Point(b"\xff" * size, b"\xff" * size),
        "too long": Point(b"\0" * size + point.x, point.y),
        "much too long": Point(point.x, b"\1" * 1000),
        "shifted": Point(point.x[:-1], point.x[-1:] + point.y),
    }
    for point in bad.values():
        with refused(Code.CRYPTO_ERROR, f"not on the curve {curve.name}", RemoteProtocolError):
            key.agree(point)


def test_a_coordinate_is_less_than_the_prime() -> None:
    # (5, y) is on P-256; 5 + p is as long as any coordinate and stands for the same number.
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    y = pow(125 - 15 + b, (P256_FIELD + 1) // 4, P256_FIELD).to_bytes(32, "big")
    key = EcdhKey.generate(P256)
    assert key.agree(Point(b"\5", y))
    with refused(Code.CRYPTO_ERROR):
        key.agree(Point((5 + P256_FIELD).to_bytes(32, "big"), y))


def test_points_of_another_curve_are_refused() -> None:
    for one, other in ((P256, P521), (P521, P256)):
        with refused(Code.CRYPTO_ERROR):
            EcdhKey.generate(one).agree(EcdhKey.generate(other).point)


def test_the_private_key_is_not_shown() -> None:
    key = EcdhKey.generate(P256)
    number = key.private_key.private_numbers().private_value
    assert "private" not in repr(key)
    assert str(number) not in repr(key)
