"""What is protected by a context's key, in words: of it only the outside shows."""

from __future__ import annotations

from struct import Struct
from typing import Final

from browserid_sasl.printer.node import Node, branch, wrong

TOKEN_IDS: Final = {b"\x05\x04": "wrap token", b"\x04\x04": "MIC token"}

_HEADER: Final = Struct(">2sBBHHQ")
_FLAGS: Final = ((0x01, "sent by the acceptor"), (0x02, "sealed"), (0x04, "acceptor subkey"))
_SEALED: Final = 0x02
_SHOWN: Final = 4


def token(octets: bytes) -> Node:
    """A per-message token (RFC 4121 section 4.2.6)."""
    label = TOKEN_IDS[octets[:2]]
    if len(octets) < _HEADER.size:
        return wrong(label, f"{len(octets)} octets, less than its header has")
    token_id, flags, filler, extra_count, rotation, number = _HEADER.unpack_from(octets)
    words = [word for bit, word in _FLAGS if flags & bit]
    nodes = [
        Node(
            "flags",
            ", ".join(words) if flags & 0x01 else ", ".join(["sent by the initiator", *words]),
        ),
        Node("sequence number", str(number)),
    ]
    if filler != 0xFF:
        nodes.append(wrong("filler", f"{filler:02x} instead of ff"))
    body = octets[_HEADER.size :]
    if token_id == b"\x04\x04":
        nodes.append(_checksum(body))
    else:
        nodes += _wrapped(body, extra_count, rotation, sealed=bool(flags & _SEALED))
    return branch(label, nodes)


def _wrapped(body: bytes, extra_count: int, rotation: int, *, sealed: bool) -> list[Node]:
    nodes = [Node("EC, extra count", str(extra_count)), Node("RRC, rotation", str(rotation))]
    if sealed:
        return [*nodes, Node("sealed", f"{len(body)} octets, not shown")]
    start = rotation % len(body) if body else 0
    body = body[start:] + body[:start]
    size = len(body) - extra_count
    if size < 0:
        return [*nodes, wrong("body", f"{len(body)} octets, less than the checksum has")]
    return [*nodes, Node("message", f"{size} octets in clear, not shown"), _checksum(body[size:])]


def _checksum(octets: bytes) -> Node:
    return Node("checksum", f"{octets[:_SHOWN].hex()}..., {len(octets)} octets, not checked")


def exported_context(octets: bytes) -> Node:
    """An exported context, of which nothing can be told without its key."""
    version = f"version {octets[4]}" if len(octets) > 4 else "truncated"
    return Node("exported context", f"{version}, {len(octets)} octets, sealed")
