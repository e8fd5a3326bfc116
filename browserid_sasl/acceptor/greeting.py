"""What a program is told first (docs/wire.md)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import Final

from browserid_sasl import __version__
from browserid_sasl.acceptor.requests import MAJOR_VERSION
from browserid_sasl.gss.mechanisms import Mechanism

MINOR_VERSION: Final = 3
BINDING_VERSION: Final = 3
"""The first version in which a program can be asked for the channel's binding data."""

RELEASE: Final = "release"
"""The parameter of the first mechanism that has the version of this package."""

_COOKIE_SIZE: Final = 16


def greeting(mechanisms: Iterable[Mechanism], connection: int) -> bytes:
    """All of the server's handshake at once: many programs say nothing before they have it.

    So names with ``-PLUS`` are not in it. A program of an earlier version would offer them, and
    has no way to give the binding data that it promised its clients.

    :param mechanisms: those on offer.
    :param connection: the connection's number in this process.
    """
    names = [each.name for each in mechanisms]
    # Of all lines, that of a mechanism is the one to which others permit further words.
    names[:1] = [f"{name}\t{RELEASE}={__version__}" for name in names[:1]]
    lines = (
        f"VERSION\t{MAJOR_VERSION}\t{MINOR_VERSION}",
        *(f"MECH\t{name}" for name in names),
        f"SPID\t{os.getpid()}",
        f"CUID\t{connection}",
        f"COOKIE\t{secrets.token_hex(_COOKIE_SIZE)}",
        "DONE",
    )
    return "".join(f"{line}\n" for line in lines).encode()
