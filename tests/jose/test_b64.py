"""base64url, with padding and without."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose import b64

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
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_everything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="the signature is not base64url") as refusal:
        b64.decode(text, "the signature")
    assert refusal.value.code is Code.INVALID_BASE64
