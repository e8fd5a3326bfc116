"""A program that asks a KDC about one person once, and ends.

It gets a ticket to its own service in the person's name (S4U2Self, MS-SFU), by the service's own
key. A KDC gives none in the name of somebody who is disabled, has expired or is gone. What it gives
is encrypted with keys of the service's, so nobody says yes in its place. The ticket is thrown away.

The library waits for servers that do not answer, for longer than anybody should, and cannot be
interrupted. So it has a process of its own, this one, which the provider starts, bounds and kills
(`child_process`).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from typing import Any, Final, NoReturn

import gssapi
from gssapi.raw import GSSError

_KERBEROS: Final = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
_PRINCIPAL_NAME: Final = gssapi.NameType.kerberos_principal
_TABLE: Final = -1765328384 & 0xFFFFFFFF
"""Where MIT Kerberos begins to count: the protocol's errors (RFC 4120 section 7.5.9) are first."""

_MOST_PROTOCOL: Final = 127
_MOST_LINE: Final = 65_536


def ask(keytab: str, service: str, principal: str) -> dict[str, object]:
    """What the KDC says.

    :param keytab: file with the service's keys.
    :param service: the principal that asks.
    :param principal: the person's.
    :returns: `known`, the principal for which there is a ticket; or `error`, the number that the
        KDC has refused it with; or `unavailable`, why it cannot be asked.
    """
    try:
        own = gssapi.Credentials(
            name=gssapi.Name(service, _PRINCIPAL_NAME),
            usage="initiate",
            mechs=[_KERBEROS],
            store={"client_keytab": f"FILE:{keytab}", "ccache": "MEMORY:own"},
        )
    except GSSError as error:
        # Whatever it is, it is about the service, and says nothing of the person.
        return {"unavailable": f"there is no ticket for {service}: {error}"}
    try:
        theirs = own.impersonate(
            gssapi.Name(principal, _PRINCIPAL_NAME), usage="initiate", mechs=[_KERBEROS]
        )
        return {"known": str(theirs.name)}
    except GSSError as error:
        number = (error.min_code - _TABLE) & 0xFFFFFFFF
        if number > _MOST_PROTOCOL:
            return {"unavailable": str(error)}
        return {"error": number, "meaning": str(error)}


def main() -> NoReturn:
    """Do what the provider says on standard input, and end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own = socket.socket(fileno=os.dup(0))
    lines = own.makefile("rw", encoding="utf-8", newline="\n")
    task: dict[str, Any] = json.loads(lines.readline(_MOST_LINE))
    # The provider has the same limit, and kills. This is for when it is not there any more.
    signal.alarm(task.pop("patience"))
    lines.write(json.dumps(ask(**task)) + "\n")
    lines.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
