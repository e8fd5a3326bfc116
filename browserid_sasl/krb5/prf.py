"""The GSS-API pseudo-random function, for keys that an application derives from a context.

RFC 4401 defines the call and RFC 4402 its construction on a Kerberos key. In this protocol the
partial and the full key (``GSS_C_PRF_KEY_PARTIAL``, ``GSS_C_PRF_KEY_FULL``) are the same one.
"""

from __future__ import annotations

from typing import Final

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.krb5.enctypes import Key

MAX_OUTPUT: Final = 1 << 20
"""Octets that one call gives at most. RFC 4401 lets a mechanism have such a limit."""


def pseudo_random(key: Key, data: bytes, size: int) -> bytes:
    """`size` octets that only the two ends of the context can compute.

    The concatenation of ``prf(key, i || data)`` for i = 0, 1, 2, ... as a 32-bit big-endian
    number, cut to size (RFC 4402 section 2, PROTOCOL.md section 5).

    :param key: the context's base key (CRK).
    :param data: what the octets are for, as agreed with the peer. Need not be secret.
    :param size: from 0 to `MAX_OUTPUT` octets.
    :raises LocalProtocolError: invalid-parameter for a size outside that.
    """
    if not 0 <= size <= MAX_OUTPUT:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"the pseudo-random function gives 0 to {MAX_OUTPUT} octets, not {size}",
        )
    output = bytearray()
    counter = 0
    while len(output) < size:
        output += key.prf(counter.to_bytes(4, "big") + data)
        counter += 1
    return bytes(output[:size])
