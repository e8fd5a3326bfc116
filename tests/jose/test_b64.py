"""base64url, with padding and without."""

from __future__ import annotations

from contextlib import suppress

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64
from tests.support.refusal import refused

# RFC 4648 section 10, and the two characters in which base64url differs from base64.
EXAMPLES = [
    (b"", "", ""),
    (b"f", "Zg", "Zg=="),
    (b"fo", "Zm8", "Zm8="),
    (b"foo", "Zm9v", "Zm9v"),
    (b"foob", "Zm9vYg", "Zm9vYg=="),
    (b"\xfb\xff\xbf", "-_-_", "-_-_"),
]


@pytest.mark.parametrize(("octets", "bare", "padded"), EXAMPLES)
def test_values_are_written_without_padding_and_read_with_or_without(
    octets: bytes, bare: str, padded: str
) -> None:
    assert b64.encode(octets) == bare
    assert b64.decode(bare, "it") == octets
    assert b64.decode(padded, "it") == octets


GARBAGE = {
    "the alphabet of plain base64": "+/+/",
    "a line break at the end": "Zm9v\n",
    "a line break inside": "Zm\n9v",
    "a space": "Zm9v ",
    "a letter outside of ASCII": "Zm9\u00e9",
    "a digit outside of ASCII": "Zm9\u0663",
    "a NUL": "Zm9\0",
    "one character": "Z",
    "five characters": "Zm9vY",
    "too little padding": "Zg=",
    "too much padding": "Zm8==",
    "padding where none is needed": "Zm9v==",
    "three signs of padding": "Z===",
    "nothing but padding": "=",
    "four signs of padding": "====",
    "padding in the middle": "Zg==Zg==",
    "four bits left over": "Zh",
    "all four bits left over": "Zv",
    "two bits left over": "Zm9",
    "bits left over before padding": "Zh==",
    "bits left over in a longer text": "Zm9vYh",
}


@pytest.mark.parametrize("size", range(1, 6))
def test_octets_have_one_spelling(size: int) -> None:
    octets = b"\xa5" * size
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head = b64.encode(octets)[:-1]
    read = []
    for last in alphabet:
        with suppress(RemoteProtocolError):
            read.append(b64.decode(head + last, "it"))
    assert read.count(octets) == 1


@pytest.mark.parametrize(("octets", "_bare", "padded"), EXAMPLES)
def test_plain_base64_is_padded(octets: bytes, _bare: str, padded: str) -> None:
    plain = padded.replace("-", "+").replace("_", "/")
    assert b64.decode_standard(plain, "it") == octets


@pytest.mark.parametrize("value", ["Zg", "Zh==", "-_-_", "Zm9v\n", "Zg=", "Zm\u00e9v", 1, None])
def test_other_plain_base64_is_refused(value: object) -> None:
    with refused(Code.INVALID_BASE64, "it is not base64"):
        b64.decode_standard(value, "it")


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_everything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="the signature is not base64url") as refusal:
        b64.decode(text, "the signature")
    assert refusal.value.code is Code.INVALID_BASE64
