"""What an application learns from a login that succeeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.identity.addresses import is_same_address
from browserid_sasl.sasl.gs2 import Gs2Header


@dataclass(frozen=True, slots=True)
class Result:
    """A login.

    :param authzid: the identity to act as.
    :param channel_binding: type of the channel binding that was used, None without.
    :param context: the security context, for its keys.
    """

    authzid: str
    channel_binding: str | None
    context: SecurityContext

    @property
    def identity(self) -> str:
        """The authenticated e-mail address."""
        return self.context.identity

    @property
    def issuer(self) -> str:
        """Domain of the identity provider that vouched for `identity`."""
        return self.context.issuer

    @property
    def mechanism(self) -> str:
        """SASL name of the mechanism, without ``-PLUS``."""
        return self.context.mechanism.name

    @property
    def ticket_used(self) -> bool:
        """Whether a ticket stood in for the certificate."""
        return self.context.ticket_used

    @property
    def mutual(self) -> bool:
        """Whether the server proved its identity too."""
        return self.context.mutual

    @property
    def flags(self) -> ContextFlag:
        """Services of the security context (RFC 2743 section 1.2)."""
        return self.context.flags

    @property
    def expires(self) -> int:
        """When the login ends, in ms since the epoch."""
        return self.context.expires

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the identity provider says of the person besides the address."""
        return self.context.attributes


def demand_mutual(result: Result) -> None:
    """Refuse a login for a program that takes none without mutual authentication.

    :raises RemoteProtocolError: untrusted-x509-cert: the server did not prove its identity.
    """
    if not result.mutual:
        raise RemoteProtocolError(
            Code.UNTRUSTED_X509_CERT,
            "the program demands mutual authentication, and the other side did not take part",
            "the server needs `x509_certificate`, the client `mutual` other than off",
        )


def result_of(header: Gs2Header, context: SecurityContext) -> Result:
    """The login that a client began with this header."""
    identity = context.identity
    # One's own address stays as its provider spells it.
    others = "" if is_same_address(header.authzid, identity) else header.authzid
    return Result(others or identity, header.binding_type or None, context)
