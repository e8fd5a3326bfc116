"""What a successful exchange established, written out for a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from browserid_sasl.sasl.result import Result


def describe(result: Result) -> list[str]:
    """The properties of an authenticated connection, a line for each."""
    expires = datetime.fromtimestamp(result.expires // 1000, UTC).isoformat()
    lines = [
        f"mechanism: {result.mechanism}",
        f"identity: {result.identity}, vouched for by {result.issuer}",
        f"authorization identity: {result.authzid}",
        f"ticket used: {_yes_no(result.ticket_used)}",
        f"mutual authentication: {_yes_no(result.mutual)}",
        f"channel binding: {result.channel_binding or 'none'}",
        f"flags: 0x{int(result.flags):x}",
        f"expires: {expires}",
    ]
    for name, value in result.attributes.items():
        lines.append(f"attribute {name}: {json.dumps(value)}")
    return lines


def _yes_no(truth: bool) -> str:
    return "yes" if truth else "no"
