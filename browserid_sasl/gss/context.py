"""An established security context: who is at its ends, and the keys between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

from browserid_sasl.gss.mechanisms import Mechanism
from browserid_sasl.gss.names import ServiceName


class ContextFlag(IntFlag):
    """Services a context offers (RFC 2743 section 1.2, values of RFC 2744)."""

    MUTUAL = 2
    REPLAY = 4
    SEQUENCE = 8
    CONFIDENTIALITY = 16
    INTEGRITY = 32
    TRANSFERABLE = 256
    DCE_STYLE = 0x1000
    IDENTIFY = 0x2000


PROTECTION_FLAGS = (
    ContextFlag.REPLAY | ContextFlag.SEQUENCE | ContextFlag.CONFIDENTIALITY | ContextFlag.INTEGRITY
)
"""What a context with key exchange offers (PROTOCOL.md section 5)."""


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """An established context.

    :param mechanism: its mechanism.
    :param is_initiator: which end this is.
    :param identity: the initiator's e-mail address.
    :param target: the acceptor's name.
    :param issuer: domain of the identity provider that vouched for `identity`.
    :param expires: ms.
    :param flags: services it offers.
    :param ticket_used: whether a ticket stood in for the certificate.
    :param extra_round_trip: whether that took place.
    :param attributes: claims of the initiator's certificate beyond the registered ones.
    :param root_key: 32 octets for `random-to-key`, secret; None without key exchange.
    """

    mechanism: Mechanism
    is_initiator: bool
    identity: str
    target: ServiceName
    issuer: str
    expires: int
    flags: ContextFlag
    ticket_used: bool
    extra_round_trip: bool
    attributes: Mapping[str, Any]
    root_key: bytes | None = field(repr=False)

    @property
    def mutual(self) -> bool:
        """Whether the acceptor proved its identity too."""
        return ContextFlag.MUTUAL in self.flags

    def lifetime(self, now: int) -> int:
        """How long the context is still good for, in ms; 0 when it has expired."""
        return max(0, self.expires - now)
