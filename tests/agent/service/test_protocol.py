"""Lines to and from the agent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.agent.service import protocol
from browserid_sasl.agent.service.protocol import answer, read_request
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.wire.lines import unescape


def test_a_request_has_a_verb_a_number_a_word_and_values() -> None:
    request = read_request("INIT\t7\tX\tservice=imap\thost=a\x01tb\tcritical\tcb.t=QQ==")
    assert request is not None
    assert (request.verb, request.number, request.words) == ("INIT", 7, ["X"])
    values = {"service": "imap", "host": "a\tb", "critical": "", "cb.t": "QQ=="}
    assert request.values == values


@pytest.mark.parametrize("text", ["", "=", "\t"])
def test_no_octets(text: str) -> None:
    request = read_request(f"CONT\t1\t{text}")
    assert request is not None
    assert request.octets == b""


def test_what_is_sent_is_no_part_of_a_repr() -> None:
    assert "secret" not in repr(read_request("LOGIN\t1\ta@example.org\tpassword=secret"))


@pytest.mark.parametrize(
    "line", ["", "INIT", "INIT\t", "INIT\t-1", "INIT\t4294967296", "INIT\tx", "INIT\t\u0661", "\t1"]
)
def test_what_is_no_request(line: str) -> None:
    if line == "\t1":
        assert read_request(line) is not None  # a verb that nobody knows, which the agent says
        return
    with pytest.raises(RemoteProtocolError) as refused:
        read_request(line)
    assert refused.value.code is Code.INVALID_PARAMETER


def test_another_protocol_is_told_what_this_is() -> None:
    with pytest.raises(RemoteProtocolError, match="this is browserid-agent, version 1"):
        read_request("VERSION\t1\t2")
    assert read_request("VERSION\tbrowserid-agent\t1") is None


def test_too_many_fields() -> None:
    with pytest.raises(RemoteProtocolError):
        read_request("INIT\t1" + "\tx" * protocol.MAX_FIELDS)


@pytest.mark.parametrize("text", ["***", "QQ=", "QUJ\u0444", "\ufffd"])
def test_octets_that_are_not_base64(text: str) -> None:
    request = read_request(f"CONT\t1\t{text}")
    assert request is not None
    with pytest.raises(RemoteProtocolError) as refused:
        _ = request.octets
    assert refused.value.code is Code.INVALID_BASE64


@given(st.text(st.characters(exclude_characters="\n")))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        request = read_request(line)
        if request is not None:
            _ = request.octets
    except BrowserIDError:
        pass


@given(st.dictionaries(st.from_regex(r"\A[a-z]+\Z"), st.text(), max_size=5))
def test_whatever_is_in_an_answer_stays_on_its_line(values: dict[str, str]) -> None:
    line = answer("OK", 1, "word", **values).decode()
    assert line.count("\n") == 1
    [word, number, first, *fields] = line[:-1].split("\t")
    assert (word, number, first) == ("OK", "1", "word")
    assert dict(unescape(field).partition("=")[::2] for field in fields) == values
