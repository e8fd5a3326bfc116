"""DER (X.690) that somebody else has written, read by `pyasn1`.

Apart, so that it is imported only where it is needed.
"""

from __future__ import annotations

from typing import Any, Final

from pyasn1.codec.der import decoder, encoder

MAX_LENGTH: Final = 1024


def read_der(octets: bytes, kind: Any) -> Any:
    """A value of one of pyasn1's types; None unless the octets are just that, in DER.

    :param octets: `MAX_LENGTH` at the most.
    :param kind: an empty value of the type.
    """
    if len(octets) > MAX_LENGTH:
        return None
    try:
        value, rest = decoder.decode(octets, asn1Spec=kind)
        return value if not rest and encoder.encode(value) == octets else None
    except Exception:
        # What a hostile encoding makes the library raise is written nowhere: lengths of many
        # octets, for one, overflow the integers it computes with.
        return None
