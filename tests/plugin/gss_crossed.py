"""Contexts with mech_browserid.so on one side and the Python library on the other, in one process.

Its arguments are names of mechanisms. Each is gone through with either side as the initiator, plain
and of DCE style, which has an extra round trip. Names, attributes, flags and messages are compared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import time
from typing import Any

import gssapi
from gssapi.raw import (
    IOV,
    IOVBufferType,
    unwrap_aead,
    unwrap_iov,
    wrap_aead,
    wrap_iov,
)
from spnego import ContextProxy, ContextReq
from spnego.iov import BufferType

from browserid_sasl.api import Client, Server
from browserid_sasl.config import load
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.gss.exported_names import export_name
from browserid_sasl.gss.mechanisms import Mechanism, mechanism_by_name
from browserid_sasl.krb5.enctypes import BLOCK_SIZE
from browserid_sasl.krb5.message import HEADER_SIZE
from browserid_sasl.negotiate import provider
from tests.support.sample_programs import ALICE, HOST

SERVICE = "rcmd"
MESSAGES = (b"", b"hello", b"a message of more octets than a block has, and two blocks")
Exchange = tuple[Any, ContextProxy]


def compare(what: str, one: object, other: object) -> None:
    assert one == other, f"{what}: {one!r} and {other!r}"


# Establishing


def library_initiates(row: Mechanism, dce: bool, server: Server) -> Exchange:
    flags = [gssapi.RequirementFlag.dce_style] if dce else []
    ours = gssapi.SecurityContext(
        name=gssapi.Name(f"{SERVICE}@{HOST}", gssapi.NameType.hostbased_service),
        mech=gssapi.OID.from_int_seq(".".join(map(str, row.oid))),
        usage="initiate",
        flags=flags,
    )
    theirs = provider.server(HOST, SERVICE, server=server)
    run(ours.step, theirs.step)
    compare("established", ours.complete, theirs.complete)
    return ours, theirs


def library_accepts(row: Mechanism, dce: bool, server: Server) -> Exchange:
    asked = ContextReq.dce_style if dce else ContextReq.none
    ours = provider.client(
        HOST, SERVICE, mechanism=row.name, context_req=asked, client=Client(None, SERVICE, HOST)
    )
    theirs = gssapi.SecurityContext(usage="accept")
    run(ours.step, theirs.step)
    compare("the acceptor's address of the initiator", str(theirs.initiator_name), ALICE)
    compare_names(theirs.initiator_name, ours.get_extra_info("context"), row, server)
    return theirs, ours


def run(initiate: Callable[..., bytes | None], accept: Callable[..., bytes | None]) -> None:
    token = initiate()
    while token:
        token = accept(token)
        token = initiate(token) if token else None


# Comparing


def compare_contexts(library: Any, python: ContextProxy) -> None:
    context: SecurityContext = python.get_extra_info("context")
    assert library.complete
    assert python.complete
    known = int(sum(ContextFlag))
    # The initiator is told of no DCE style and no identification (PROTOCOL.md section 5).
    told = int(ContextFlag.DCE_STYLE | ContextFlag.IDENTIFY)
    flags = int(library.actual_flags) & known & ~told
    compare("flags", flags, int(context.flags) & ~told)
    assert abs(library.lifetime * 1000 - context.expires + int(time() * 1000)) < 60_000


def compare_names(name: Any, context: SecurityContext, row: Mechanism, server: Server) -> None:
    compare("exported name", name.export(), export_name(context.initiator_name, row))
    ours = {each.name: set(each.values) for each in server.name_attributes(context)}
    theirs = {
        key.decode(): {value.decode() for value in found.values}
        for key, found in name.attributes.items()
    }
    # An initiator's context does not have what the certificate says of itself.
    assert {key: values for key, values in theirs.items() if key in ours} == ours


def protect(library: Any, python: ContextProxy) -> None:
    for sealed in (True, False):
        for message in MESSAGES:
            opened = python.unwrap(library.wrap(message, sealed).message)
            compare("to Python", (opened.data, opened.encrypted), (message, sealed))
            back = library.unwrap(python.wrap(message, sealed).data)
            compare("to the library", (back.message, back.encrypted), (message, sealed))
            python.verify(message, library.get_signature(message))
            library.verify_signature(message, python.sign(message))
            pieces(library, python, message, sealed)


def pieces(library: Any, python: ContextProxy, message: bytes, sealed: bool) -> None:
    """With what is signed only, as one token and as several, with a trailer and without."""
    token = wrap_aead(library, message, b"signed", sealed).message
    begin = HEADER_SIZE + (BLOCK_SIZE if sealed else 0)
    end = begin + len(message)
    signed = (BufferType.sign_only, b"signed")
    header, tail = (BufferType.header, token[:begin]), (BufferType.trailer, token[end:])
    cut: list[Any] = [header, signed, token[begin:end], tail]
    compare("one token to Python", python.unwrap_iov(cut).buffers[2].data, message)
    made = python.wrap_iov([BufferType.header, signed, message, BufferType.trailer], sealed).buffers
    joined = b"".join(each.data or b"" for each in made if each.type is not BufferType.sign_only)
    back = unwrap_aead(library, joined, b"signed")
    compare("one token to the library", back.message, message)
    for trailer in (True, False):
        given: list[Any] = [BufferType.header, signed, message]
        given += [BufferType.trailer] if trailer else []
        theirs = IOV(*[_of_library(each) for each in given], std_layout=False)
        wrap_iov(library, theirs, confidential=sealed)
        sent = [(BufferType(int(each.type)), bytes(each.value or b"")) for each in theirs]
        compare("pieces to Python", python.unwrap_iov(sent).buffers[2].data, message)
        filled = python.wrap_iov(given, sealed).buffers
        theirs = IOV(*[_of_library((each.type, each.data)) for each in filled], std_layout=False)
        unwrap_iov(library, theirs)
        compare("pieces to the library", bytes(theirs[2].value or b""), message)


def _of_library(buffer: Any) -> Any:
    if isinstance(buffer, tuple):
        return IOVBufferType(int(buffer[0])), False, buffer[1] or b""
    return IOVBufferType(int(buffer)) if isinstance(buffer, BufferType) else buffer


def main() -> None:
    config = load().with_options({"mechanisms": " ".join(sys.argv[1:])})
    server = Server(config.with_options({"backend": "memory"}, section="store"), SERVICE, HOST)
    for name in sys.argv[1:]:
        row = mechanism_by_name(name)
        for dce in (False, True):
            for cross in (library_initiates, library_accepts):
                library, python = cross(row, dce, server)
                compare_contexts(library, python)
                protect(library, python)
                print(f"{name} {cross.__name__} dce={dce}", flush=True)


if __name__ == "__main__":
    main()
