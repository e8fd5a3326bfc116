"""What programs may ask, and what is not the protocol's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.acceptor.requests import (
    MAX_PARAMETERS,
    Begin,
    Cancel,
    Continue,
    Malformed,
    Version,
    parse,
)
from browserid_sasl.errors import Code, RemoteProtocolError


def begin(*fields: str) -> Begin:
    request = parse("\t".join(("AUTH", "1", "BROWSERID-AES128", "service=smtp", *fields)))
    assert isinstance(request, Begin)
    return request


def malformed(*fields: str) -> Malformed:
    request = parse("\t".join(fields))
    assert isinstance(request, Malformed)
    return request


def test_what_postfix_asks() -> None:
    request = begin("nologin", "lip=192.0.2.2", "rip=192.0.2.1", "secured", "resp=bixh")
    assert (request.id, request.mechanism, request.service) == (1, "BROWSERID-AES128", "smtp")
    assert request.remote == "192.0.2.1"
    assert request.initial == b"n,a"
    assert not request.extended
    assert not request.takes_final_data


@pytest.mark.parametrize("resp", [(), ("resp=",), ("resp==",)])
def test_no_first_message_in_any_of_its_spellings(resp: tuple[str, ...]) -> None:
    assert begin(*resp).initial is None


def test_what_the_programs_of_this_project_add() -> None:
    request = begin(
        "bid=1",
        "bid_host=mail.example.org",
        "bid_cb.tls-unique=AAEC",
        "bid_cb.tls-exporter=AwQF",
        "bid_cb_critical",
        "bid_mutual",
        "bid_authz=1",
        "bid_opt.strip_domain=example.org",
    )
    assert request.host == "mail.example.org"
    assert request.bindings == {"tls-unique": b"\0\1\2", "tls-exporter": b"\3\4\5"}
    assert request.binding_critical
    assert request.mutual
    assert request.decides_proxies
    assert request.options == {"strip_domain": "example.org"}
    assert request.takes_final_data


def test_without_bid_what_is_ours_means_nothing() -> None:
    request = begin("bid_authz", "bid_host=x.test", "bid_cb.tls-unique=AAEC", "bid_opt.allow=*")
    assert not request.decides_proxies
    assert request.host == ""
    assert request.bindings == {}
    assert request.options == {}


def test_dovecots_own_word_for_data_with_success() -> None:
    assert begin("final-resp-ok").takes_final_data


@pytest.mark.parametrize("rip", ["rip=x y", "rip=", "rip=300.1.1.1", "rip=1.2.3.4\x01nlogin"])
def test_an_address_that_is_none_is_not_repeated(rip: str) -> None:
    assert begin(rip).remote == ""


def test_an_address_is_repeated_without_its_zone() -> None:
    assert begin("rip=fe80::1%eth0").remote == "fe80::1"
    assert begin("rip=::1% login succeeded: rip=::2").remote == "::1"


def test_unknown_parameters_are_ignored() -> None:
    assert begin("something", "else=1", "").id == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("VERSION\t1\t2", Version(2)),
        ("CPID\t4711", None),
        ("CANCEL\t4294967295", Cancel(4294967295)),
        ("CONT\t7\tYWJj", Continue(7, b"abc", {})),
        ("CONT\t7", Continue(7, b"", {})),
        ("CONT\t7\t=", Continue(7, b"", {})),
        ("CONT\t7\t#\tchannel_binding=AAEC", Continue(7, None, {"channel_binding": "AAEC"})),
    ],
)
def test_other_requests(line: str, expected: object) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    "fields",
    [
        ("AUTH", "1"),
        ("AUTH", "1", "BROWSERID"),
        ("AUTH", "1", "BROWSERID", "service="),
        ("AUTH", "1", "", "service=imap"),
        ("AUTH", "1", "BROWSERID", "service=imap", "resp=YWJj", "bid=1"),
        ("AUTH", "1", "BROWSERID", "service=imap", "service=smtp"),
        ("AUTH", "1", "BROWSERID", "service=imap", "bid_host=a", "bid_host=b"),
        ("AUTH", "1", "BROWSERID", "service=imap", *(f"p{n}" for n in range(MAX_PARAMETERS))),
        ("CONT", "1", "???"),
        ("CONT", "1", "YWJj", "a=1", "a=2"),
    ],
)
def test_a_request_that_cannot_be_read_fails_alone(fields: tuple[str, ...]) -> None:
    assert malformed(*fields).id == 1


@pytest.mark.parametrize("resp", ["!", "YQ", "YQ==YQ==", "YQ== "])
def test_a_first_message_that_is_no_base64(resp: str) -> None:
    request = begin("rip=192.0.2.1", f"resp={resp}")
    assert request.initial is None
    assert request.problem is not None
    assert request.problem.code is Code.INVALID_BASE64


def test_who_answers_twice_is_told_what_is_wrong() -> None:
    request = malformed("AUTH", "1", "BROWSERID", "service=imap", "rip=::1", "rip=::2")
    assert request.reason.code is Code.INVALID_PARAMETER


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET / HTTP/1.1",
        "EHLO localhost",
        "a1 LOGIN alice secret",
        "VERSION",
        "VERSION\t2\t0",
        "VERSION\t1\tx",
        "VERSION\t1\t2\t3",
        "CPID",
        "AUTH",
        "AUTH\t-1\tBROWSERID\tservice=imap",
        "AUTH\t4294967296\tBROWSERID\tservice=imap",
        "AUTH\t\u0661\tBROWSERID\tservice=imap",
        "CONT\tx\tYWJj",
        "CANCEL",
        "\x16\x03\x01\x02",
    ],
)
def test_what_is_not_the_protocols(line: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(line)
    assert caught.value.code is Code.BAD_CONTEXT_TOKEN


@given(st.text())
def test_whatever_comes_is_a_request_or_our_own_error(line: str) -> None:
    try:
        parse(line)
    except RemoteProtocolError:
        return


@given(st.lists(st.text(alphabet="AUTHCON1=bid_.#\x01t", max_size=12), max_size=6))
def test_a_request_of_any_fields_is_one_or_our_own_error(fields: list[str]) -> None:
    for verb in ("AUTH", "CONT"):
        try:
            request = parse("\t".join((verb, *fields)))
        except RemoteProtocolError:
            continue
        if isinstance(request, Begin):
            request.options  # noqa: B018 - none of these raises anything else
            request.remote  # noqa: B018
