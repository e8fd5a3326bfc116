"""The claims of assertions, certificates, responses and error tokens in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from browserid_sasl.errors import BrowserIDError, Code, Major
from browserid_sasl.gss.claims import Option
from browserid_sasl.gss.dialects import read_audience
from browserid_sasl.jose import b64
from browserid_sasl.printer.documents import as_text, is_key, key, other_members
from browserid_sasl.printer.node import Mood, Node, branch, wrong
from browserid_sasl.printer.times import beginning, expiry
from browserid_sasl.sasl import gs2

_Describe = Callable[[str, Any, int], Node]

_OPTIONS: Final = {
    Option.MUTUAL: "mutual authentication",
    Option.EXTRA_ROUND_TRIP: "extra round trip",
    Option.DCE_STYLE: "DCE style",
    Option.IDENTIFY: "identify only",
}
_OPTION_NAMES: Final = {option.value: words for option, words in _OPTIONS.items()}


def claims(members: Mapping[str, Any], now: int) -> Iterator[Node]:
    """A node for each claim.

    :param now: the time to judge validity by, ms.
    """
    for name, value in members.items():
        describe = _CLAIMS.get(name, _other)
        try:
            yield describe(name, value, now)
        except (BrowserIDError, TypeError, ValueError, AttributeError, KeyError) as error:
            why = error.message if isinstance(error, BrowserIDError) else "of an unexpected type"
            yield wrong(name, f"{as_text(value, name)} ({why})")


def _audience(name: str, value: str, _now: int) -> Node:
    dialect, service = read_audience(value)
    return Node(name, f"{service} (dialect {dialect.name})")


def _principal(name: str, value: Mapping[str, Any], _now: int) -> Node:
    return Node(name, value["email"]) if len(value) == 1 else _other(name, value, _now)


def _agreement(name: str, value: Mapping[str, Any], _now: int) -> Node:
    sizes = [len(b64.decode(value[coordinate], coordinate)) for coordinate in ("x", "y")]
    curve = value.get("crv", "curve of the mechanism")
    return Node(name, f"public point, {curve}, {sizes[0]} and {sizes[1]} octets")


def _binding(name: str, value: str, _now: int) -> Node:
    octets = b64.decode(value, name)
    try:
        header, header_octets, data = gs2.split(octets)
    except BrowserIDError:
        return Node(name, f"{len(octets)} octets: {octets.hex()}")
    shown = f": {data.hex()}" if data else ""
    kind = header.binding_type or f"flag {header.flag.value}"
    return Node(name, f"{header_octets.decode()} ({kind}), {len(data)} octets of data{shown}")


def _octets(name: str, value: str, _now: int) -> Node:
    octets = b64.decode(value, name)
    return Node(name, f"{len(octets)} octets, {octets.hex()}")


def _options(name: str, value: list[Any], _now: int) -> Node:
    words = [f"{each} ({_OPTION_NAMES.get(each, 'unknown, ignored')})" for each in value]
    return Node(name, ", ".join(words))


def _ticket(name: str, value: Mapping[str, Any], now: int) -> Node:
    rest = {member: inner for member, inner in value.items() if member != "exp"}
    times = [expiry("exp", value["exp"], now)] if "exp" in value else []
    return branch(name, [*other_members(rest), *times])


def _major(name: str, value: int, _now: int) -> Node:
    known = {int(major): major.name for major in Major if major is not Major.COMPLETE}
    return Node(name, f"{value:#x} ({known.get(value, 'unknown')})", mood=Mood.BAD)


def _minor(name: str, value: int, _now: int) -> Node:
    code = Code.from_wire(value)
    return Node(name, f"{value:#x} ({code.text}, table {code.table} {code.number})", mood=Mood.BAD)


def _certified_key(name: str, value: object, _now: int) -> Node:
    return key(name, value)


def _saml(name: str, value: str, _now: int) -> Node:
    return Node(name, f"a SAML assertion, {len(value)} characters")


def _other(name: str, value: object, _now: int) -> Node:
    return key(name, value) if is_key(value) else Node(name, as_text(value, name))


_CLAIMS: Final[Mapping[str, _Describe]] = {
    "aud": _audience,
    "exp": expiry,
    "iat": beginning,
    "nbf": beginning,
    "principal": _principal,
    "public-key": _certified_key,
    "ecdh": _agreement,
    "epk": _agreement,
    "cb": _binding,
    "nonce": _octets,
    "jti": _octets,
    "req": _octets,
    "opts": _options,
    "tkt": _ticket,
    "gss-maj": _major,
    "gss-min": _minor,
    "saml": _saml,
}
