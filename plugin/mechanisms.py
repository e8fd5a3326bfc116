"""Write what the plugins need of the package's tables as C: a new row needs no change of them."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_OID, uuid5

from pyasn1.codec.der import encoder
from pyasn1.type.univ import ObjectIdentifier

from browserid_sasl import __version__
from browserid_sasl.config import ServerConfig, options_of
from browserid_sasl.errors import Code
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism

_HEADER: Final = 2
"""Octets of an identifier's tag and length."""


def _octets(octets: bytes) -> str:
    return "{" + ", ".join(f"{each:#04x}" for each in octets) + "}"


def negoex_scheme(row: Mechanism) -> bytes:
    """What NegoEx calls a mechanism: the UUID of its object identifier (RFC 4122 section 4.3), as
    Windows writes one.
    """
    return uuid5(NAMESPACE_OID, ".".join(map(str, row.oid))).bytes_le


def main() -> None:
    """Print mechanisms.h."""
    print("/* Written by mechanisms.py from the package's tables of mechanisms and options. */")
    print(f'#define RELEASE "{__version__}"')
    print("static const struct {")
    print("    const char *name, *plus_name;")
    print("    bool key_exchange;")
    print("    int enctype;")
    print("    unsigned char oid[16]; /* without tag and length */")
    print("    unsigned oid_length;")
    print("    unsigned char negoex_scheme[16];")
    print("} mechanisms[] = {")
    for row in MECHANISMS:
        key_exchange = "false" if row.curve is None else "true"
        oid = encoder.encode(ObjectIdentifier(row.oid))[_HEADER:]
        print(f'    {{"{row.name}", "{row.plus_name}", {key_exchange}, {row.enctype},')
        print(f"     {_octets(oid)}, {len(oid)}, {_octets(negoex_scheme(row))}}},")
    print("};")
    print("static const struct {")
    print("    unsigned number;")
    print("    const char *name;")
    print("} reasons[] = {")
    for code in Code:
        print(f'    {{{code.wire:#x}u, "{code.text}"}},')
    print("};")
    print("static const char *const options[] = {")
    # Those that a program may not set, or not any more, are told to the acceptor, which says so.
    for name in ("config", *options_of(ServerConfig)):
        print(f'    "browserid_{name}",')
    print("};")


if __name__ == "__main__":
    main()
