"""What keeps identities, and identity providers' documents. `store` implements it.

Times are milliseconds since the epoch. Every method may raise `StoreError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """A person's key and the certificate an identity provider gave it.

    :param identity: e-mail address.
    :param private_key_pem: PKCS #8 PEM, secret.
    :param certificate: the identity certificate (a JWT), or empty before there is one.
    :param expires: the certificate's expiry in ms, 0 without certificate.
    :param renewal: what the provider takes for another certificate, secret; empty without.
    :param renewal_expires: its expiry in ms, 0 without.
    """

    identity: str
    private_key_pem: bytes = field(repr=False)
    certificate: str
    expires: int
    renewal: str = field(default="", repr=False)
    renewal_expires: int = 0


class IdentityStore(Protocol):
    """A person's keys and certificates by e-mail address."""

    def put(self, record: IdentityRecord) -> None:
        """Store a record in place of the one for the same identity."""

    def get(self, identity: str) -> IdentityRecord | None:
        """The record of this identity, None if there is none."""

    def delete(self, identity: str) -> bool:
        """Forget an identity, its key included; whether it was there."""

    def all(self) -> Iterable[IdentityRecord]:
        """Every record, in the order of their addresses."""


@dataclass(frozen=True, slots=True)
class CachedDocument:
    """An identity provider's support document as fetched (PROTOCOL.md section 2).

    :param body: the JSON octets.
    :param expires: ms until which it may be used without asking again.
    """

    body: bytes
    expires: int


class AuthorityCache(Protocol):
    """Support documents by domain (PROTOCOL.md section 2).

    What a domain publishes about another one is under ``domain?domain=other``. A cache is bounded,
    and `too_many_documents` says what goes.
    """

    def get(self, domain: str, now: int) -> CachedDocument | None:
        """The document of this domain, None if there is none or it expired at `now` (ms)."""

    def put(self, domain: str, document: CachedDocument) -> None:
        """Store a document in place of the one for the same domain."""

    def delete(self, domain: str) -> bool:
        """Forget a document; whether it was there."""

    def all(self, now: int) -> Iterable[tuple[str, CachedDocument]]:
        """Every document that has not expired at `now` (ms), with its domain."""
