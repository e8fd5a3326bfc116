"""Tickets: what the two ends of a context keep for the next one (PROTOCOL.md section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AcceptorTicket:
    """What an acceptor remembers of an authenticated initiator (PROTOCOL.md section 5.2).

    :param tid: identifier: base64url SHA-256 of the backed assertion text it was issued for.
    :param subject: e-mail address that was authenticated.
    :param issuer: domain whose identity provider vouched for it.
    :param audience: service principal name the ticket is bound to, without dialect prefix.
    :param ark: authenticator root key, 32 octets, secret.
    :param curve: curve of the mechanisms it serves, ``P-256`` or ``P-521``.
    :param issued_at: ms.
    :param expires: ms, a whole second.
    :param renew_until: ms; no ticket that renews this one lives longer.
    :param mutual: whether the original context was mutually authenticated.
    :param renewed: whether it was issued in a re-authentication.
    :param attributes: the certificate's claims beyond the registered ones.
    :param key_thumbprint: of the key that signed in the original context (RFC 7638, base64url);
        empty in a ticket that was issued before it was kept.
    """

    tid: str
    subject: str
    issuer: str
    audience: str
    ark: bytes = field(repr=False)
    curve: str
    issued_at: int
    expires: int
    renew_until: int
    mutual: bool = False
    renewed: bool = False
    attributes: Mapping[str, object] = field(default_factory=dict)
    key_thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class InitiatorTicket:
    """What an initiator keeps to authenticate again without its key (PROTOCOL.md section 5.2).

    :param identity: the user's e-mail address.
    :param audience: service principal name it is for, without dialect prefix.
    :param curve: curve of the mechanisms it serves, ``P-256`` or ``P-521``.
    :param issuer: domain whose identity provider vouched for `identity`.
    :param tid: identifier to send.
    :param ark: authenticator root key, 32 octets, secret.
    :param issued_at: ms.
    :param expires: ms.
    :param mutual: whether the original context was mutually authenticated.
    :param renewed: whether it came from a re-authentication.
    """

    identity: str
    audience: str
    curve: str
    issuer: str
    tid: str
    ark: bytes = field(repr=False)
    issued_at: int
    expires: int
    mutual: bool = False
    renewed: bool = False
