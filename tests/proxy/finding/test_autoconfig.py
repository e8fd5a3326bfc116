"""Thunderbird's autoconfig document: what is taken from it, and what it cannot do."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.proxy.accounts import Kind, Security
from browserid_sasl.proxy.finding.autoconfig import parse
from browserid_sasl.proxy.finding.candidates import Candidate, Source

ADDRESS = "alice@example.org"


def document(servers: str, prologue: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}<clientConfig version="1.1">'
        f'<emailProvider id="example.org"><domain>example.org</domain>{servers}'
        "</emailProvider></clientConfig>"
    ).encode()


def server(
    kind: str = "imap", host: str = "mail.example.org", port: str = "993", way: str = "SSL"
) -> str:
    element = "outgoingServer" if kind == "smtp" else "incomingServer"
    return (
        f'<{element} type="{kind}"><hostname>{host}</hostname><port>{port}</port>'
        f"<socketType>{way}</socketType><username>%EMAILADDRESS%</username></{element}>"
    )


def test_servers_with_tls_are_taken_in_their_order() -> None:
    text = document(
        server("imap", "imap.%EMAILDOMAIN%", " 993 ")
        + server("pop3", "POP.example.org", "110", "STARTTLS")
        + server("imap", port="143", way="plain")
        + server("smtp", port="587", way="STARTTLS")
    )
    assert parse(text, ADDRESS) == [
        Candidate(Kind.IMAP, "imap.example.org", 993, Security.TLS, Source.AUTOCONFIG),
        Candidate(Kind.POP, "pop.example.org", 110, Security.STARTTLS, Source.AUTOCONFIG),
        Candidate(Kind.SUBMISSION, "mail.example.org", 587, Security.STARTTLS, Source.AUTOCONFIG),
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(server("exchange"), id="unknown kind"),
        pytest.param(server(host="192.0.2.1"), id="an address"),
        pytest.param(server(host="a b.example.org"), id="a space"),
        pytest.param(server(host=""), id="no host"),
        pytest.param(server(port="0"), id="port 0"),
        pytest.param(server(port="65536"), id="port too high"),
        pytest.param(server(port="9" * 5000), id="a long number"),
        pytest.param(server(port="٩٩٣"), id="digits of another script"),
        pytest.param(server(way="plain"), id="no TLS"),
        pytest.param('<incomingServer type="imap"/>', id="empty"),
    ],
)
def test_what_is_no_server_is_left_out(text: str) -> None:
    assert parse(document(text), ADDRESS) == []


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="cut"),
        pytest.param(b"<html/>", id="another document"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b'<?xml version="1.0" encoding="nonsense"?><clientConfig/>', id="encoding"),
        pytest.param(
            document(server(host="&a9;"), f'<!DOCTYPE d [<!ENTITY a0 "ha">{LAUGHS}]>'),
            id="a billion laughs",
        ),
        pytest.param(
            document(
                server(host="&file;"), '<!DOCTYPE d [<!ENTITY file SYSTEM "file:///etc/passwd">]>'
            ),
            id="a file",
        ),
        pytest.param(document(server(), '<!DOCTYPE d SYSTEM "http://127.0.0.1/d">'), id="a DTD"),
        pytest.param(b"<a>" * 20_000, id="deep"),
    ],
)
def test_what_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(DiscoveryError) as caught:
        parse(text, ADDRESS)
    assert caught.value.code is Code.INVALID_PARAMETER


def test_no_more_than_a_few_servers_are_looked_at() -> None:
    assert len(parse(document(server() * 200), ADDRESS)) == 16
