"""Lines, and the escapes of Dovecot's protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.wire.lines import MAX_LINE, LineBuffer, escape, unescape


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("a\tb", "a\x01tb"),
        ("a\r\nb", "a\x01r\x01nb"),
        ("\0", "\x010"),
        ("\x01", "\x011"),
        ("\x01t", "\x011t"),
    ],
)
def test_what_has_a_meaning_in_a_line_is_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert unescape(escaped) == text


@pytest.mark.parametrize(("field", "text"), [("a\x01xb", "axb"), ("a\x01", "a")])
def test_an_escape_that_nobody_needs_is_read(field: str, text: str) -> None:
    assert unescape(field) == text


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set("\0\t\r\n")
    assert unescape(escaped) == text


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_are_the_same_however_they_come(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cut = data.draw(st.integers(0, len(stream)))
    buffer = LineBuffer()
    read = [*buffer.feed(stream[:cut]), *buffer.feed(stream[cut:])]
    assert read == [line.removesuffix(b"\r").decode(errors="replace") for line in lines]


def test_the_longest_line_is_read_and_a_longer_one_is_not() -> None:
    assert [len(line) for line in LineBuffer().feed(b"x" * MAX_LINE + b"\n")] == [MAX_LINE]
    for sent in (b"x" * (MAX_LINE + 1), b"x" * (MAX_LINE + 1) + b"\n"):
        with pytest.raises(RemoteProtocolError) as caught:
            list(LineBuffer().feed(sent))
        assert caught.value.code is Code.BUFFER_TOO_LONG


def test_a_line_that_never_ends_is_not_kept() -> None:
    buffer = LineBuffer()
    with pytest.raises(RemoteProtocolError):
        for _ in range(100):
            list(buffer.feed(b"x" * 1000))
