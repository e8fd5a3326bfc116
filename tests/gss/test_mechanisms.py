"""The table of mechanisms."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.mechanisms import (
    CURVES,
    MECHANISMS,
    P256,
    P521,
    Mechanism,
    mechanism_by_name,
    mechanism_by_oid,
)
from browserid_sasl.krb5.enctypes import ENCTYPES
from tests.support.refusal import refused

TABLE = {
    "BROWSERID": (0, None),
    "BROWSERID-AES128": (17, P256),
    "BROWSERID-AES256": (18, P521),
    "BROWSERID-A128S2": (19, P256),
    "BROWSERID-A256S2": (20, P521),
}


def test_the_mechanisms_of_the_protocol() -> None:
    assert {row.name: (row.enctype, row.curve) for row in MECHANISMS} == TABLE


@pytest.mark.parametrize("row", MECHANISMS, ids=lambda row: row.name)
def test_the_last_arc_is_the_enctype(row: Mechanism) -> None:
    assert row.oid == (1, 3, 6, 1, 4, 1, 5322, 24, 1, row.enctype)
    assert mechanism_by_oid(row.oid) is row
    assert row.enctype in ENCTYPES or row.curve is None


@pytest.mark.parametrize("name", TABLE)
def test_a_name_is_known_in_any_case_with_plus_or_without(name: str) -> None:
    row = mechanism_by_name(name)
    assert row.plus_name == f"{name}-PLUS"
    for spelled in (name.lower(), row.plus_name, row.plus_name.lower()):
        assert mechanism_by_name(spelled) is row


def test_the_names_are_within_the_limit_of_rfc_4422() -> None:
    # With -PLUS most have 21 octets, as many as Cyrus SASL puts up with.
    assert max(len(row.name) for row in MECHANISMS) <= 20
    assert max(len(row.plus_name) for row in MECHANISMS) == 21


@pytest.mark.parametrize(
    "name",
    [
        *("", "-PLUS", "GSSAPI", "BROWSERID-", "BROWSERID-AES512", "BROWSERID-PLUS-PLUS"),
        *("x" * 99, "BROW\u017fERID-AES128", "BROWSER\u0131D", " BROWSERID", "BROWSERID\n"),
    ],
)
def test_other_names_are_not_known(name: str) -> None:
    with refused(Code.WRONG_MECH, "BROWSERID-AES128", LocalProtocolError) as refusal:
        mechanism_by_name(name)
    assert len(refusal.value.message) < 80


@pytest.mark.parametrize("oid", [(), (1, 3, 6), (1, 3, 6, 1, 4, 1, 5322, 24, 1, 21)])
def test_other_object_identifiers_are_not_ours(oid: tuple[int, ...]) -> None:
    assert mechanism_by_oid(oid) is None


def test_the_curves() -> None:
    assert {name: curve.field_size for name, curve in CURVES.items()} == {"P-256": 32, "P-521": 66}
