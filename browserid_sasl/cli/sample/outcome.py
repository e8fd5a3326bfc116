"""What a successful exchange established, written out for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from browserid_sasl.attributes.claims import NameAttribute
from browserid_sasl.printer.node import harmless
from browserid_sasl.printer.times import date
from browserid_sasl.sasl.result import Result


def describe(result: Result) -> list[str]:
    """The properties of an authenticated connection, a line for each."""
    return [
        f"mechanism: {result.mechanism}",
        f"identity: {result.identity}, vouched for by {result.issuer}",
        f"authorization identity: {result.authzid}",
        f"ticket used: {_yes_no(result.ticket_used)}",
        f"mutual authentication: {_yes_no(result.mutual)}",
        f"channel binding: {result.channel_binding or 'none'}",
        f"flags: 0x{int(result.flags):x}",
        f"expires: {date(result.expires)}",
    ]


NOT_AUTHENTICATED: Final[Mapping[str, object]] = {"authenticated": False}
"""A connection on which nobody has authenticated, for programs. Why not is on standard error."""


def members(result: Result) -> dict[str, object]:
    """The same for programs; times in ms."""
    return {
        "authenticated": True,
        "mechanism": result.mechanism,
        "identity": result.identity,
        "issuer": result.issuer,
        "authzid": result.authzid,
        "ticket_used": result.ticket_used,
        "mutual": result.mutual,
        "channel_binding": result.channel_binding or "",
        "flags": int(result.flags),
        "expires": result.expires,
    }


def describe_attributes(attributes: Iterable[NameAttribute]) -> list[str]:
    """Name attributes, a line for each value; a long one is cut."""
    return [
        f"attribute {attribute.name}: {harmless(value)} ({_trust(attribute)})"
        for attribute in attributes
        for value in attribute.values or ("no value",)
    ]


def _yes_no(truth: bool) -> str:
    return "yes" if truth else "no"


def _trust(attribute: NameAttribute) -> str:
    return "authenticated" if attribute.authenticated else "not authenticated"
