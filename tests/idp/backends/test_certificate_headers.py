"""Certificates in headers, in the forms in which web servers write them."""

from __future__ import annotations

import base64

import pytest

from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.idp.backends.certificate_headers import (
    MOST,
    Form,
    read_certificate,
    read_chain,
)
from tests.support.cards import CardAuthority

CARD = CardAuthority().card()
VALUES: dict[Form, str] = {
    "rfc9440": CARD.rfc9440,
    "nginx": CARD.nginx,
    "apache": CARD.apache,
}
WRONG: dict[Form, list[str]] = {
    "rfc9440": [
        *(CARD.rfc9440[1:], CARD.rfc9440[:-1], f"{CARD.rfc9440};a=1", f"{CARD.rfc9440}, :AA==:"),
        *(":AA:", ":A-_=:", ":AB==:", CARD.nginx, CARD.apache, "(null)", "::é"),
    ],
    "nginx": [
        *(CARD.nginx * 2, CARD.nginx[:-10], CARD.nginx.replace("BEGIN", "BEGUN"), CARD.rfc9440),
        *("%", "(null)", "%00", CARD.nginx + "x", "x" + CARD.nginx),
    ],
    "apache": [
        *(CARD.apache * 2, CARD.apache.replace("END", "ENDS"), CARD.rfc9440, CARD.nginx),
        *("null", CARD.apache + "x", "x" + CARD.apache),
    ],
}


@pytest.mark.parametrize("form", VALUES)
def test_each_web_server_has_a_form_of_its_own(form: Form) -> None:
    assert read_certificate(form, VALUES[form]) == CARD.der


def test_nobody_has_shown_one() -> None:
    assert read_certificate("apache", "(null)") is None
    for form in VALUES:
        assert read_certificate(form, "") is None


@pytest.mark.parametrize(("form", "value"), [(f, each) for f in WRONG for each in WRONG[f]])
def test_what_is_not_of_the_form_is_refused(form: Form, value: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read_certificate(form, value)


@pytest.mark.parametrize("form", VALUES)
def test_there_is_an_end_to_its_length(form: Form) -> None:
    with pytest.raises(RemoteProtocolError, match="more than"):
        read_certificate(form, "x" * (MOST + 1))


def test_a_chain_may_be_in_one_header_or_in_several() -> None:
    """RFC 9440 section 2.3."""
    one, two, three = (f":{base64.b64encode(each).decode()}:" for each in (b"1", b"2", b"3"))
    assert read_chain([f"{one}, {two}", three]) == [b"1", b"2", b"3"]
    assert read_chain([f"{one} ,\t{two}"]) == [b"1", b"2"]


@pytest.mark.parametrize(
    "values", [[""], [":AA==:,"], ["AA=="], [":AA==:" for _ in range(10)], [f":{'A' * MOST}:"]]
)
def test_a_chain_that_is_none_is_refused(values: list[str]) -> None:
    with pytest.raises(RemoteProtocolError):
        read_chain(values)
