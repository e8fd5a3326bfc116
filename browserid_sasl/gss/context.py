"""An established security context: who is at its ends, and the keys between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from os import urandom
from typing import Any, Final

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.mechanisms import Mechanism
from browserid_sasl.gss.names import ServiceName, UserName
from browserid_sasl.krb5 import prf
from browserid_sasl.krb5.enctypes import Key, random_to_key
from browserid_sasl.krb5.message import MessageProtection, Role, SequenceState


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


NO_FLAGS: Final = ContextFlag(0)

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

    @property
    def initiator_name(self) -> UserName:
        """The initiator's name, to compare, display and export; the acceptor's is `target`."""
        return UserName.make(self.identity)

    def lifetime(self, now: int) -> int:
        """How long the context is still good for, in ms; 0 when it has expired."""
        return max(0, self.expires - now)

    @property
    def role(self) -> Role:
        """Which end this is, as message protection calls it."""
        return Role.INITIATOR if self.is_initiator else Role.ACCEPTOR

    def protection(
        self,
        sequence: SequenceState | None = None,
        random: Callable[[int], bytes] = urandom,
    ) -> MessageProtection:
        """Protection of the application's messages (PROTOCOL.md section 5, RFC 4121).

        It counts messages, so a context has one for all of its life: call this once and keep
        what it returns.

        :param sequence: where to go on, for a context that was imported.
        :param random: gives that many random octets, for confounders.
        :raises LocalProtocolError: no-session-key without key exchange.
        """
        return MessageProtection(
            self._base_key(),
            self.role,
            acceptor_subkey=self.extra_round_trip,
            dce=ContextFlag.DCE_STYLE in self.flags,
            sequence=sequence,
            random=random,
        )

    def pseudo_random(self, data: bytes, size: int) -> bytes:
        """Octets that only the two ends of the context can compute (RFC 4401, RFC 4402).

        :param data: what they are for, as agreed with the peer. Need not be secret.
        :param size: from 0 to `prf.MAX_OUTPUT` octets.
        :raises LocalProtocolError: no-session-key without key exchange, invalid-parameter.
        """
        return prf.pseudo_random(self._base_key(), data, size)

    def _base_key(self) -> Key:
        """CRK."""
        if self.root_key is None:
            raise LocalProtocolError(
                Code.NO_SESSION_KEY,
                f"{self.mechanism.name} agrees on no key: it authenticates and no more",
                "use a mechanism with key exchange, such as BROWSERID-AES128",
            )
        return random_to_key(self.mechanism.enctype, self.root_key)


def established(context: SecurityContext | None) -> SecurityContext:
    """The context of an exchange, once there is one.

    :raises LocalProtocolError: context-incomplete.
    """
    if context is None:
        raise LocalProtocolError(Code.CONTEXT_INCOMPLETE, "the context is not established")
    return context
