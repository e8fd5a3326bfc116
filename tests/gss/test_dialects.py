"""The two generations of the protocol."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.dialects import (
    DIALECTS,
    DRAFT_04,
    DRAFT_07,
    Dialect,
    dialect_by_name,
    read_audience,
)
from browserid_sasl.gss.names import ServiceName
from tests.support.refusal import refused

SPECIFIC = ServiceName("ldap", "ldap.example.com", "dc=example,dc=com")


@pytest.mark.parametrize(
    ("text", "dialect", "name"),
    [
        ("urn:x-gss:imap/mail.example.org", DRAFT_04, ServiceName("imap", "mail.example.org")),
        ("imap/mail.example.org", DRAFT_07, ServiceName("imap", "mail.example.org")),
        ("urn:x-gss:ldap/ldap.example.com/dc=example,dc=com", DRAFT_04, SPECIFIC),
        ("ldap/LDAP.example.com/dc=example,dc=com", DRAFT_07, SPECIFIC),
    ],
)
def test_an_audience_tells_the_dialect(text: str, dialect: Dialect, name: ServiceName) -> None:
    assert read_audience(text) == (dialect, name)
    assert dialect.audience(name) == text.replace("LDAP", "ldap")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("urn:x-gss", Code.INVALID_AUDIENCE_URN),
        ("urn:x-other:imap/mail.example.org", Code.INVALID_AUDIENCE_URN),
        ("urn:", Code.INVALID_AUDIENCE_URN),
        ("urn:x-gss:", Code.BAD_SERVICE_NAME),
        ("urn:x-gss:urn:x-gss:imap/mail", Code.BAD_SERVICE_NAME),
        ("URN:X-GSS:imap/mail.example.org", Code.BAD_SERVICE_NAME),
        ("https://mail.example.org", Code.BAD_SERVICE_NAME),
        ("imap@mail.example.org", Code.BAD_SERVICE_NAME),
        ("imap/", Code.BAD_SERVICE_NAME),
        ("/mail.example.org", Code.BAD_SERVICE_NAME),
        ("imap/mail.example.org/", Code.BAD_SERVICE_NAME),
        ("imap//mail.example.org", Code.BAD_SERVICE_NAME),
        ("imap/mail example", Code.BAD_SERVICE_NAME),
        ("imap/mail.example.org\n", Code.BAD_SERVICE_NAME),
        ("imap/m\u0430il.example.org", Code.BAD_SERVICE_NAME),
        ("imap/.", Code.BAD_SERVICE_NAME),
        ("imap/" + "a" * 600, Code.BAD_SERVICE_NAME),
        ("", Code.BAD_SERVICE_NAME),
    ],
    ids=ascii,
)
def test_what_is_no_audience_is_refused(text: str, code: Code) -> None:
    with refused(code, kind=RemoteProtocolError):
        read_audience(text)


def test_dialects_are_known_by_name() -> None:
    assert {name: dialect_by_name(name) for name in DIALECTS} == DIALECTS
    assert list(DIALECTS) == ["draft-04", "draft-07"]
    with refused(Code.INVALID_PARAMETER, "draft-04, draft-07", LocalProtocolError):
        dialect_by_name("draft-05")
