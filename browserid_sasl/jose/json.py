"""JSON objects read strictly and written compactly.

What is read here comes from the network. A document is one object; members stand once; numbers
are finite and of a sane length; nesting and size are limited. Typed access to members is here
too, so that a wrong type is reported once, in one way, where the document is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, NoReturn

from browserid_sasl.errors import Code, RemoteProtocolError

MAX_SIZE: Final = 65_536
MAX_DEPTH: Final = 16
MAX_NUMBER_LENGTH: Final = 32

Object = Mapping[str, Any]
"""A parsed JSON object; its values are checked where they are read."""


class _NotAcceptable(ValueError):
    """Raised by the decoder's hooks with a sentence for the error."""


def parse_object(text: bytes | str, what: str, max_size: int = MAX_SIZE) -> dict[str, Any]:
    """Read one JSON object.

    :param what: names the document in the error, for example ``the certificate's payload``.
    :param max_size: octets (or characters of a str) at the most.
    :raises RemoteProtocolError: invalid-json; buffer-too-long when oversize.
    """
    if len(text) > max_size:
        raise RemoteProtocolError(
            Code.BUFFER_TOO_LONG, f"{what} is {len(text)} octets long, {max_size} are permitted"
        )
    try:
        string = text if isinstance(text, str) else text.decode("utf-8")
        # Counting brackets is enough in nearly every case.
        if string.count("{") + string.count("[") > MAX_DEPTH:
            _limit_depth(string)
        value = _decode(string)
        if "\\u" in string:
            _refuse_surrogates(value)
    except UnicodeDecodeError:
        raise _invalid(what, "it is not UTF-8") from None
    except _NotAcceptable as error:
        raise _invalid(what, str(error)) from None
    except json.JSONDecodeError as error:
        raise _invalid(what, f"{error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise _invalid(what, "it is not an object")
    return value


def dumps(value: Object) -> bytes:
    """Write an object compactly, its members in their order."""
    return _ENCODER.encode(value).encode("utf-8")


def string(value: Object, name: str, what: str, *, max_length: int = 1024) -> str:
    """The member `name`, which has to be a string.

    :raises RemoteProtocolError: unknown-json-key when absent, invalid-json of another type.
    """
    member = _member(value, name, what)
    if not isinstance(member, str):
        raise _wrong_type(what, name, "a string")
    if len(member) > max_length:
        raise _invalid(what, f"`{name}` is longer than {max_length} characters")
    return member


def optional_string(value: Object, name: str, what: str, *, max_length: int = 1024) -> str | None:
    """Like `string`, None when the member is absent."""
    return string(value, name, what, max_length=max_length) if name in value else None


def time(value: Object, name: str, what: str) -> int:
    """The member `name`, which has to be a time: integer milliseconds since the epoch.

    :raises RemoteProtocolError: unknown-json-key when absent, invalid-json of another type.
    """
    member = _member(value, name, what)
    if isinstance(member, bool) or not isinstance(member, int):
        raise _wrong_type(what, name, "an integer, milliseconds since 1970")
    if not 0 <= member < 1 << 53:
        raise _invalid(what, f"`{name}` is out of range")
    return member


def optional_time(value: Object, name: str, what: str) -> int | None:
    """Like `time`, None when the member is absent."""
    return time(value, name, what) if name in value else None


def _member(value: Object, name: str, what: str) -> Any:
    try:
        return value[name]
    except KeyError:
        raise RemoteProtocolError(Code.UNKNOWN_JSON_KEY, f"{what} has no `{name}`") from None


def _wrong_type(what: str, name: str, wanted: str) -> RemoteProtocolError:
    return _invalid(what, f"`{name}` is not {wanted}")


def _invalid(what: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.INVALID_JSON, f"{what} is not valid JSON for its purpose: {why}"
    )


def _decode(text: str) -> Any:
    # An object with nothing around it, as programs write it, needs no search for white space.
    if text.startswith("{"):
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return _DECODER.decode(text)


def _limit_depth(text: str) -> None:
    depth = 0
    in_string = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif in_string:
            escaped = character == "\\"
            in_string = character != '"'
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise _NotAcceptable(f"it is nested deeper than {MAX_DEPTH} levels")
        elif character in "}]":
            depth -= 1


def _refuse_surrogates(value: object) -> None:
    # Half of a pair is no character: whoever stores, logs or signs it later would fail.
    try:
        _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise _NotAcceptable("it has half of a surrogate pair") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(one for one, other in pairwise(names) if one == other)
        raise _NotAcceptable(f"{twice[:40]!a} is there twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise _NotAcceptable("a number is too long")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_NUMBER_LENGTH else math.inf
    if not math.isfinite(number):
        raise _NotAcceptable("a number is too long or too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise _NotAcceptable(f"{name} is not a JSON value")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_no_constant,
)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
