"""JSON objects, read strictly and written compactly."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.errors import Code
from browserid_sasl.jose import json as strict_json
from tests.support.refusal import refused


def read(text: bytes | str) -> dict[str, Any]:
    return strict_json.parse_object(text, "the document")


def refuse(text: bytes | str, reason: str, code: Code = Code.INVALID_JSON) -> None:
    with refused(code, reason) as refusal:
        read(text)
    assert str(refusal.value).startswith("the document")


def nested(levels: int, inside: str = "1") -> str:
    return '{"a":' + "[" * (levels - 1) + inside + "]" * (levels - 1) + "}"


class TestReading:
    def test_octets_and_text_are_read_alike(self) -> None:
        expected = {"a": [1, -2.5, "é", True, None, {}]}
        text = ' {"a": [1, -2.5, "é", true, null, {}]} \n'
        assert read(text) == expected
        assert read(text.encode()) == expected

    def test_members_keep_their_order(self) -> None:
        assert list(read('{"z":1,"a":2,"m":3}')) == ["z", "a", "m"]

    @pytest.mark.parametrize("text", ["[]", '"a"', "1", "true", "null"])
    def test_only_an_object_is_a_document(self, text: str) -> None:
        refuse(text, "not an object")

    @pytest.mark.parametrize("text", ["", " ", "{", '{"a"}', '{"a":1,}', "{'a':1}", '{"a":1}{}'])
    def test_what_is_no_json_is_refused_with_the_place(self, text: str) -> None:
        refuse(text, "at character ")

    def test_a_byte_order_mark_is_no_json(self) -> None:
        refuse(b'\xef\xbb\xbf{"a":1}', "character 0")

    @pytest.mark.parametrize("octets", [b'{"\xff":1}', b'{"\xc0\xaf":1}', b'{"\xed\xa0\x80":1}'])
    def test_only_utf_8_is_read(self, octets: bytes) -> None:
        refuse(octets, "not UTF-8")

    def test_a_control_character_in_a_string_is_refused(self) -> None:
        refuse('{"a":"\n"}', "control character")

    @pytest.mark.parametrize(
        "text", [r'{"\ud800":1}', r'{"a":"\udc00"}', r'{"a":["\ud83d x"]}', r'{"a":"\ud800\ud800"}']
    )
    def test_half_of_a_surrogate_pair_is_refused(self, text: str) -> None:
        refuse(text, "surrogate")

    def test_both_halves_are_a_character(self) -> None:
        assert read(r'{"a":"\ud83d\ude00\u00e9"}') == {"a": "😀é"}


class TestMembers:
    @pytest.mark.parametrize(
        "text", ['{"a":1,"a":1}', '{"b":{"a":1,"c":2,"a":3}}', r'{"a":1,"\u0061":2}']
    )
    def test_a_member_stands_once(self, text: str) -> None:
        refuse(text, "'a' is there twice")

    def test_the_message_shows_the_name_without_repeating_what_it_does_to_a_terminal(self) -> None:
        refuse(r'{"\u001b[2J\n":1,"\u001b[2J\n":2}', r"\x1b[2J\n")


class TestNumbers:
    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_only_numbers_of_json_are_read(self, number: str) -> None:
        refuse(f'{{"a":{number}}}', f"{number} is not a JSON value")

    @pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 31 + ".5", "9" * 33])
    def test_a_number_has_a_sane_size(self, number: str) -> None:
        refuse(f'{{"a":{number}}}', "too l")

    def test_the_longest_number(self) -> None:
        assert read(f'{{"a":{"9" * 32}}}') == {"a": int("9" * 32)}

    @pytest.mark.parametrize("number", ["01", "+1", ".5", "1.", "0x10", "1_000", "\u0661"])
    def test_numbers_are_spelled_as_json_spells_them(self, number: str) -> None:
        refuse(f'{{"a":{number}}}', "character")


class TestLimits:
    def test_sixteen_levels_are_read_and_no_more(self) -> None:
        assert read(nested(16))
        refuse(nested(17), "deeper than 16 levels")

    def test_width_is_not_depth(self) -> None:
        assert len(read('{"a":[' + ",".join(["[]"] * 1000) + "]}")["a"]) == 1000

    def test_brackets_in_strings_are_no_levels(self) -> None:
        assert read(nested(16, '"[[[[[[{{{{{{ \\" [[[[[[[[[[[["'))

    def test_brackets_after_an_escaped_quote_do_not_hide_levels(self) -> None:
        refuse(nested(17, r'"\\"'), "deeper")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[" * 60_000, "deeper"),
            ('{"a":' * 10_000, "deeper"),
            ("]" * 30_000 + "[" * 30_000, "character 0"),
        ],
    )
    def test_no_depth_exhausts_the_stack(self, text: str, reason: str) -> None:
        refuse(text, reason)

    def test_a_document_has_a_limited_size(self) -> None:
        filler = "x" * (strict_json.MAX_SIZE - len('{"a":""}'))
        assert read(f'{{"a":"{filler}"}}')
        refuse(f'{{"a":"{filler}x"}}', "65537 octets", Code.BUFFER_TOO_LONG)


class TestTypedMembers:
    def test_a_string(self) -> None:
        assert strict_json.string({"a": "b"}, "a", "it") == "b"
        assert strict_json.string({"a": ""}, "a", "it") == ""

    @pytest.mark.parametrize("value", [1, None, True, [], {}, 1.5])
    def test_a_string_is_nothing_else(self, value: object) -> None:
        with refused(Code.INVALID_JSON):
            strict_json.string({"a": value}, "a", "it")

    def test_a_string_has_a_limited_length(self) -> None:
        assert strict_json.string({"a": "xxx"}, "a", "it", max_length=3)
        with refused(Code.INVALID_JSON, "longer than 3 characters"):
            strict_json.string({"a": "xxxx"}, "a", "it", max_length=3)

    @pytest.mark.parametrize("value", [0, 1, 1_795_277_244_000, 2**53 - 1])
    def test_a_time_is_a_whole_number_of_milliseconds(self, value: int) -> None:
        assert strict_json.time({"a": value}, "a", "it") == value

    @pytest.mark.parametrize("value", [-1, 2**53, 10**31, 1.0, "1", True, None, [1]])
    def test_a_time_is_nothing_else(self, value: object) -> None:
        with refused(Code.INVALID_JSON):
            strict_json.time({"a": value}, "a", "it")

    def test_what_has_to_be_there_is_missed_by_name(self) -> None:
        for reader in (strict_json.string, strict_json.time):
            with refused(Code.UNKNOWN_JSON_KEY, "it has no `a`"):
                reader({}, "a", "it")

    def test_what_is_optional_may_be_absent_but_not_null(self) -> None:
        for reader in (strict_json.optional_string, strict_json.optional_time):
            assert reader({}, "a", "it") is None
            with refused(Code.INVALID_JSON):
                reader({"a": None}, "a", "it")
        assert strict_json.optional_string({"a": "b"}, "a", "it") == "b"
        assert strict_json.optional_time({"a": 1}, "a", "it") == 1


def test_objects_are_written_compactly_in_utf_8() -> None:
    assert strict_json.dumps({"b": [1, "é"], "a": {}}) == '{"b":[1,"é"],"a":{}}'.encode()
