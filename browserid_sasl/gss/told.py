"""What a program is told of a context that one of the services has made for it (docs/wire.md).

It is all that the program's own half needs: protection of messages and the pseudo-random function
are computed where the messages are, by the context's key.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from browserid_sasl.gss.context import PROTECTION_FLAGS, SecurityContext
from browserid_sasl.gss.names import display_name
from browserid_sasl.krb5.enctypes import random_to_key


def told_of(context: SecurityContext, *, with_key: bool) -> Iterator[tuple[str, str]]:
    """Fields by name; binary ones in base64.

    :param with_key: whether the program may have the key. Without it, it is told a context that
        protects nothing.
    """
    root = context.root_key if with_key else None
    flags = context.flags if root else context.flags & ~PROTECTION_FLAGS
    yield "flags", str(int(flags))
    yield "expires", str(context.expires // 1000)
    yield "initiator", display_name(context.initiator_name)
    yield "target", display_name(context.target)
    if context.extra_round_trip:
        yield "extra_round_trip", "1"
    if root:
        key = random_to_key(context.mechanism.enctype, root)
        yield "key", base64.b64encode(key.octets).decode("ascii")
