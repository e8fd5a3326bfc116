"""The framing of the sample programs: what is written, what is read, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.cli.sample.framing import (
    MAX_STRING,
    ConnectionClosedError,
    FrameReader,
    Reply,
    encode_reply,
    encode_string,
)
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError


def reader_of(octets: bytes) -> FrameReader:
    reader = FrameReader()
    reader.feed(octets)
    return reader


class TestWriting:
    def test_a_string_is_its_length_in_braces_a_line_end_and_its_octets(self) -> None:
        assert encode_string(b"BROWSERID-AES128") == b"{16}\r\nBROWSERID-AES128"

    def test_an_empty_string_has_length_zero(self) -> None:
        assert encode_string(b"") == b"{0}\r\n"

    @pytest.mark.parametrize(
        ("reply", "octets"),
        [(Reply.OK, b"O"), (Reply.NO, b"N"), (Reply.CONTINUE, b"C{4}\r\nC,~x")],
    )
    def test_a_reply_is_a_letter_and_only_continue_carries_a_challenge(
        self, reply: Reply, octets: bytes
    ) -> None:
        assert encode_reply(reply, b"C,~x") == octets

    def test_a_string_over_the_limit_is_the_callers_fault(self) -> None:
        with pytest.raises(LocalProtocolError) as caught:
            encode_string(bytes(MAX_STRING + 1))
        assert caught.value.code is Code.BUFFER_TOO_LONG


class TestReading:
    def test_strings_come_out_one_by_one_however_they_were_cut(self) -> None:
        stream = encode_string(b"BROWSERID-AES128") + encode_string(b"Y") + encode_string(b"")
        reader, strings = FrameReader(), []
        for octet in stream:
            reader.feed(bytes([octet]))
            while (string := reader.read_string()) is not None:
                strings.append(string)
        assert strings == [b"BROWSERID-AES128", b"Y", b""]

    def test_the_octets_of_a_string_may_look_like_framing(self) -> None:
        assert reader_of(b"{6}\r\nO{1}\r\n").read_string() == b"O{1}\r\n"

    def test_a_challenge_is_not_taken_before_it_is_whole(self) -> None:
        reader = reader_of(b"C{3}\r\nC,")
        assert reader.read_reply() is None
        reader.feed(b"~O")
        assert reader.read_reply() == (Reply.CONTINUE, b"C,~")
        assert reader.read_reply() == (Reply.OK, b"")

    def test_what_was_received_before_the_end_is_still_read(self) -> None:
        reader = reader_of(b"{1}\r\nY")
        reader.feed(b"")
        assert reader.read_string() == b"Y"

    def test_the_longest_string_is_read(self) -> None:
        longest = bytes(MAX_STRING)
        assert reader_of(encode_string(longest)).read_string() == longest


BAD_STRINGS = [
    (b"\x16\x03\x01", Code.BAD_TOKEN_HEADER, "octet 0x16"),
    (b"GET / HTTP/1.1\r\n", Code.BAD_TOKEN_HEADER, "'G'"),
    (b"{}\r\n", Code.BAD_TOKEN_HEADER, "has no length"),
    (b"{-1}\r\n", Code.BAD_TOKEN_HEADER, "has no length"),
    (b"{ 1}\r\nY", Code.BAD_TOKEN_HEADER, "has no length"),
    (b"{+}\r\n", Code.BAD_TOKEN_HEADER, "has no length"),
    (b"{1a}\r\nY", Code.BAD_TOKEN_HEADER, "'a'"),
    (b"{1+}\r\nY", Code.BAD_TOKEN_HEADER, "'+'"),
    (b"{1}\nY", Code.BAD_TOKEN_HEADER, "octet 0x0a"),
    (b"{1}\rY", Code.BAD_TOKEN_HEADER, "'Y'"),
    (b"{01}\r\nY", Code.BAD_TOKEN_HEADER, "leading zeros"),
    (b"{00}\r\n", Code.BAD_TOKEN_HEADER, "leading zeros"),
    (b"{\xb2}\r\nYY", Code.BAD_TOKEN_HEADER, "has no length"),
    (b"{65537}\r\n", Code.BUFFER_TOO_LONG, "65537"),
    (b"{999999", Code.BUFFER_TOO_LONG, "over 99999"),
    (b"{" + b"9" * 5000, Code.BUFFER_TOO_LONG, "over 99999"),
]


class TestRefusing:
    @pytest.mark.parametrize(("octets", "code", "said"), BAD_STRINGS)
    def test_a_string_that_is_not_one(self, octets: bytes, code: Code, said: str) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            reader_of(octets).read_string()
        assert caught.value.code is code
        assert said in str(caught.value)

    @pytest.mark.parametrize(("octets", "code", "said"), BAD_STRINGS)
    def test_the_same_inside_a_challenge(self, octets: bytes, code: Code, said: str) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            reader_of(b"C" + octets).read_reply()
        assert caught.value.code is code
        assert said in str(caught.value)

    def test_an_over_long_string_before_its_octets_have_come(self) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            reader_of(b"{128}\r\n").read_string(limit=127)
        assert caught.value.code is Code.BUFFER_TOO_LONG

    @pytest.mark.parametrize(("octets", "said"), [(b"X", "(X 58)"), (b"\xff", "(? ff)")])
    def test_an_unknown_reply(self, octets: bytes, said: str) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            reader_of(octets).read_reply()
        assert caught.value.message == f"bad protocol from server {said}"

    @pytest.mark.parametrize("octets", [b"{", b"{1", b"{1}", b"{1}\r", b"{1}\r\n", b"{9}\r\na"])
    def test_an_end_in_the_middle_of_a_string(self, octets: bytes) -> None:
        reader = reader_of(octets)
        assert reader.read_string() is None
        reader.feed(b"")
        with pytest.raises(ConnectionClosedError, match="in the middle of a string") as caught:
            reader.read_string()
        assert caught.value.code is Code.TOKEN_TRUNCATED

    def test_an_end_where_a_string_was_due(self) -> None:
        reader = reader_of(b"{1}\r\nY")
        reader.feed(b"")
        reader.read_string()
        with pytest.raises(ConnectionClosedError, match="while a message was awaited"):
            reader.read_string()

    @pytest.mark.parametrize("octets", [b"", b"C", b"C{2}\r\nC"])
    def test_an_end_before_the_reply_was_whole(self, octets: bytes) -> None:
        reader = FrameReader()
        if octets:
            reader.feed(octets)
        assert reader.read_reply() is None
        reader.feed(b"")
        with pytest.raises(ConnectionClosedError):
            reader.read_reply()


class TestProperties:
    @given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 40))
    def test_every_string_is_read_back_in_pieces_of_any_size(
        self, strings: list[bytes], size: int
    ) -> None:
        stream = b"".join(map(encode_string, strings))
        reader, found = FrameReader(), []
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])
            while (string := reader.read_string()) is not None:
                found.append(string)
        assert found == strings

    @given(st.binary(max_size=60) | st.from_regex(rb"[CON]?\{[0-9]{0,7}\}?\r?\n?.{0,9}"))
    def test_no_input_raises_anything_but_the_projects_own_errors(self, octets: bytes) -> None:
        for read in (FrameReader.read_string, FrameReader.read_reply):
            reader = reader_of(octets)
            reader.feed(b"")
            try:
                while read(reader) is not None:
                    pass
            except BrowserIDError as error:
                assert error.message
