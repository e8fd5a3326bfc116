"""What `bidtool` takes apart for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from browserid_sasl.gss import tokens
from browserid_sasl.gss.exported_names import export_name
from browserid_sasl.gss.names import UserName
from browserid_sasl.jose import b64
from browserid_sasl.printer import decode, describe, lines
from fuzz import gss, identity, jose
from fuzz.target import Target
from fuzz.worlds import recorded
from tests.support.world import AES128, ALICE, START


def _describe(octets: bytes) -> None:
    node = describe(octets, START)
    assert node is None or all(line.isprintable() for line in lines(node))


def _seeds() -> Iterator[bytes]:
    yield from recorded("initiator")
    yield from recorded("acceptor")
    yield export_name(UserName.make(ALICE), AES128)
    yield tokens.wrap_initial((1, 3, 6, 1, 4, 1, 5322, 24, 1, 17), b"c,token")
    for target in (*gss.TARGETS, *identity.TARGETS, *jose.TARGETS):
        yield from target.seeds()


def _written() -> Iterator[bytes]:
    for octets in recorded("acceptor"):
        yield octets
        yield octets.hex().encode()
        yield b64.encode(octets).encode()


TARGETS: Final = (
    Target("printer-describe", _describe, _seeds),
    Target("printer-decode", decode, _written),
)
