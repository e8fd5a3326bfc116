"""Channel binding data of the sample programs: real under TLS, agreed stand-ins without.

Without TLS there is nothing to bind to, so Cyrus's programs put fixed texts in the place of the
data, to try the mechanisms with. The texts end in a NUL octet where Cyrus's do: version 2.1.28
has the type ``sasl-sample`` alone, later versions have the other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from browserid_sasl.sasl.channel_binding import TLS_SERVER_END_POINT, TLS_UNIQUE

SASL_SAMPLE: Final = "sasl-sample"

STAND_INS: Final[Mapping[str, bytes]] = {
    TLS_UNIQUE: b"use SSL_get_(peer)_finished()\0",
    TLS_SERVER_END_POINT: b"use X509_digest()\0",
    SASL_SAMPLE: b"this is a test of channel binding",
}


@dataclass(frozen=True, slots=True)
class BindingFlag:
    """One of the flags ``-c -C -d -D``.

    :param type: the type of channel binding it asks for.
    :param critical: whether to fail where the other side does not bind.
    """

    type: str
    critical: bool


FLAGS: Final[Mapping[str, BindingFlag]] = {
    "-c": BindingFlag(TLS_UNIQUE, critical=False),
    "-C": BindingFlag(TLS_UNIQUE, critical=True),
    "-d": BindingFlag(TLS_SERVER_END_POINT, critical=False),
    "-D": BindingFlag(TLS_SERVER_END_POINT, critical=True),
}
