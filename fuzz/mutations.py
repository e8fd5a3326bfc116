"""Inputs made of other inputs, the same for the same random numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

LONG_LENGTHS: Final = (
    b"\x80",
    b"\x81\xff",
    b"\x84" + b"\xff" * 4,
    b"\x88" + b"\xff" * 8,
    b"\xff" * 128,
)
"""Of BER: without an end, or longer than anything."""

_OCTETS: Final = (
    b"\0",
    b"\r\n",
    b"\t",
    b"\x01",
    b"\x1b",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"~",
    b".",
    b"=",
    b"-1",
    b"9" * 5000,
    b"A" * 5000,
)

_VALUES: Final = (
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1.5",
    b"1e999",
    b"NaN",
    b"9007199254740993",
    b"1" + b"0" * 400,
    b"9" * 5000,
    b'""',
    b'"="',
    b'"AA"',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"P-256"',
    b'"' + b"A" * 5000 + b'"',
    b"[]",
    b"[0]",
    b'[["a"]]',
    b"{}",
    b'{"a":null}',
    b"[" * 200 + b"]" * 200,
    b"[" * 20_000,
)
_VALUE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|\[\]|\{\}')
"""A value of JSON, or a name of a member; TOML's are like them."""

_MOST: Final = 40


def _place(random: Random, octets: bytes) -> tuple[int, int]:
    begin = random.randint(0, len(octets))
    return begin, random.randint(begin, min(len(octets), begin + _MOST))


def _cut(random: Random, octets: bytes) -> bytes:
    begin, end = _place(random, octets)
    return octets[:begin] + octets[end:]


def _end(random: Random, octets: bytes) -> bytes:
    return octets[: random.randint(0, len(octets))]


def _double(random: Random, octets: bytes) -> bytes:
    begin, end = _place(random, octets)
    return octets[:end] + octets[begin:]


def _fill(random: Random, octets: bytes) -> bytes:
    begin, end = _place(random, octets)
    return octets[:begin] + random.randbytes(random.randint(0, 10)) + octets[end:]


def _insert(random: Random, octets: bytes) -> bytes:
    begin, _ = _place(random, octets)
    return octets[:begin] + random.choice(_OCTETS) + octets[begin:]


def _lengthen(random: Random, octets: bytes) -> bytes:
    begin, _ = _place(random, octets)
    return octets[:begin] + random.choice(LONG_LENGTHS) + octets[begin + 1 :]


def _flip(random: Random, octets: bytes) -> bytes:
    if not octets:
        return b"\0"
    at = random.randrange(len(octets))
    return octets[:at] + bytes([octets[at] ^ 1 << random.randrange(8)]) + octets[at + 1 :]


def _replace_value(random: Random, octets: bytes) -> bytes:
    found = list(_VALUE.finditer(octets))
    if not found:
        return _fill(random, octets)
    match = random.choice(found)
    return octets[: match.start()] + random.choice(_VALUES) + octets[match.end() :]


_KINDS: Final[Sequence[Callable[[Random, bytes], bytes]]] = (
    _cut,
    _end,
    _double,
    _fill,
    _insert,
    _lengthen,
    _flip,
    _replace_value,
    _replace_value,
)


def mutations(seeds: Sequence[bytes], random: Random) -> Iterator[bytes]:
    """Seeds with up to four changes, without an end."""
    while True:
        octets = random.choice(seeds)
        for _ in range(random.randint(1, 4)):
            octets = random.choice(_KINDS)(random, octets)
        yield octets
