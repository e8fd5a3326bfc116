"""Records for the tests of the stores."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from browserid_sasl.gss.tickets import AcceptorTicket, InitiatorTicket
from browserid_sasl.identity.ports import IdentityRecord

#: In 2100: a database that goes by its own clock keeps what is valid then.
NOW = 4_102_444_800_000
HOUR = 3_600_000


def tid(text: str = "") -> str:
    """An identifier as acceptors make them, of a text or of something new."""
    digest = sha256(text.encode() or os.urandom(32)).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def acceptor_ticket(now: int = NOW, /, **changes: Any) -> AcceptorTicket:
    fields: dict[str, Any] = {
        "tid": tid(),
        "subject": "alice@example.org",
        "issuer": "example.org",
        "audience": "imap/mail.example.org",
        "ark": bytes(range(32)),
        "curve": "P-256",
        "issued_at": now,
        "expires": now + 10 * HOUR,
        "renew_until": now + 7 * 24 * HOUR,
        "attributes": {},
    }
    return AcceptorTicket(**fields | changes)


def initiator_ticket(now: int = NOW, /, **changes: Any) -> InitiatorTicket:
    fields: dict[str, Any] = {
        "identity": "alice@example.org",
        "audience": "imap/mail.example.org",
        "curve": "P-256",
        "issuer": "example.org",
        "tid": tid(),
        "ark": bytes(range(32)),
        "issued_at": now,
        "expires": now + 10 * HOUR,
    }
    return InitiatorTicket(**fields | changes)


def identity_record(now: int = NOW, /, **changes: Any) -> IdentityRecord:
    fields: dict[str, Any] = {
        "identity": "alice@example.org",
        "private_key_pem": b"-----BEGIN PRIVATE KEY-----\nsecret\n",
        "certificate": "header.payload.signature",
        "expires": now + HOUR,
    }
    return IdentityRecord(**fields | changes)
