"""The GS2 header: written, read, and refused where it is not exactly what RFC 5801 has."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.sasl.gs2 import MAX_LENGTH, BindingFlag, Gs2Header, split
from tests.support.refusal import refused

HEADERS = [
    (Gs2Header(BindingFlag.NONE), b"n,,"),
    (Gs2Header(BindingFlag.NOT_OFFERED), b"y,,"),
    (Gs2Header(BindingFlag.USED, "tls-exporter"), b"p=tls-exporter,,"),
    (Gs2Header(BindingFlag.USED, "A.b-9"), b"p=A.b-9,,"),
    (Gs2Header(BindingFlag.NONE, authzid="bob"), b"n,a=bob,"),
    (Gs2Header(BindingFlag.NONE, authzid="a,b=c"), b"n,a=a=2Cb=3Dc,"),
    (Gs2Header(BindingFlag.NONE, authzid="=2C"), b"n,a==3D2C,"),
    (Gs2Header(BindingFlag.NONE, authzid="zo\u00eb"), "n,a=zo\u00eb,".encode()),
    (Gs2Header(BindingFlag.NONE, authzid=" \n"), b"n,a= \n,"),
    (
        Gs2Header(BindingFlag.USED, "tls-unique", "bob@example.org"),
        b"p=tls-unique,a=bob@example.org,",
    ),
]


@pytest.mark.parametrize(("header", "octets"), HEADERS)
def test_a_header_is_written_and_read(header: Gs2Header, octets: bytes) -> None:
    assert header.encode() == octets
    for token in (b"", b"c,token", b",,", b"n,,"):
        assert split(octets + token) == (header, octets, token)


REFUSED = {
    "nothing": b"",
    "a flag alone": b"n",
    "one comma": b"n,",
    "no commas": b"nc",
    "a flag nobody knows": b"x,,c,",
    "a flag in capitals": b"N,,c,",
    "the flag for a token without OID": b"F,n,,c,",
    "that flag alone": b"F,",
    "n with a type": b"n=tls-unique,,c,",
    "y with a type": b"y=tls-unique,,c,",
    "p without a type": b"p,,c,",
    "p with an empty type": b"p=,,c,",
    "p with a type of other characters": b"p=tls_unique,,c,",
    "p with a type too long": b"p=" + b"a" * 65 + b",,c,",
    "p with a NUL in the type": b"p=tls\0unique,,c,",
    "two flags": b"n,y,,c,",
    "white space": b" n,,c,",
    "an empty authorization identity": b"n,a=,c,",
    "another attribute": b"n,b=bob,c,",
    "no comma after the authorization identity": b"n,a=bob",
    "an escape in small letters": b"n,a=a=2cb,c,",
    "another escape": b"n,a=a=41,c,",
    "an escape that ends": b"n,a=a=2,c,",
    "a lone equals sign": b"n,a=a=,c,",
    "a NUL in the authorization identity": b"n,a=a\0b,c,",
    "an authorization identity that is not UTF-8": b"n,a=\xff,c,",
    "an overlong NUL": b"n,a=\xc0\x80,c,",
    "a surrogate": b"n,a=\xed\xa0\x80,c,",
    "an authorization identity without end": b"n,a=" + b"x" * MAX_LENGTH + b",c,",
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(message: bytes) -> None:
    with refused(Code.BAD_TOKEN_HEADER, "the GS2 header cannot be read", RemoteProtocolError):
        split(message)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (Gs2Header(BindingFlag.NONE, authzid="a\0b"), "NUL"),
        (Gs2Header(BindingFlag.NONE, authzid="a\udcffb"), "not Unicode"),
        (Gs2Header(BindingFlag.NONE, authzid="x" * MAX_LENGTH), "too long"),
        (Gs2Header(BindingFlag.USED, ""), "no type of channel binding ''"),
        (Gs2Header(BindingFlag.USED, "tls,unique"), "'tls,unique'"),
        (Gs2Header(BindingFlag.USED, "tls-unique,a=admin,"), "'tls-unique,a=admin,'"),
        (Gs2Header(BindingFlag.USED, "t\u00fcrls"), "no type"),
        (Gs2Header(BindingFlag.USED, "x" * 65), "no type"),
    ],
)
def test_what_cannot_be_written_is_the_callers_mistake(header: Gs2Header, reason: str) -> None:
    with refused(Code.INVALID_PARAMETER, reason, LocalProtocolError):
        header.encode()
