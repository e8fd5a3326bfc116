"""Assertions signed with the key of a person who has signed in (PROTOCOL.md section 1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.jose import jwt
from browserid_sasl.store.base import IdentityRecord, IdentityStore

MARGIN_MS: Final = 30_000
"""A certificate that expires so soon might do so before the server has looked at it."""


class AgentCredentialSource:
    """The keys and certificates in a store. Implements `gss.interfaces.CredentialSource`.

    :param store: where they are.
    :param identity: the person's e-mail address; empty for the only one that is signed in.
    :param clock: ms since the epoch.
    """

    def __init__(self, store: IdentityStore, identity: str, clock: Callable[[], int]) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock

    @property
    def identity(self) -> str:
        """The person's address. Their certificate may have expired: a ticket may do without it.

        :raises CredentialError: interact-required when nobody is signed in, no-default-identity
            when it is not clear who is meant.
        """
        return self._record().identity

    def assertion(self, claims: bytes) -> str:
        """Sign an assertion.

        :param claims: the payload, ready-made JSON.
        :returns: the backed assertion, ``certificate~assertion``.
        :raises CredentialError: interact-required when signing in is needed first.
        """
        record = self._record()
        if record.expires <= self._clock() + MARGIN_MS:
            raise CredentialError(
                Code.INTERACT_REQUIRED,
                f"the certificate of {record.identity} has expired",
                f"sign in again: browserid login {record.identity}",
            )
        from browserid_sasl.jose.keys import PrivateKey  # noqa: PLC0415 - not for a ticket

        key = PrivateKey.from_pem(record.private_key_pem)
        return f"{record.certificate}~{jwt.sign(claims, key)}"

    def _record(self) -> IdentityRecord:
        records = {record.identity: record for record in self._store.all() if record.certificate}
        if self._identity:
            return _chosen(records, self._identity)
        if not records:
            raise _not_signed_in("nobody is signed in", "you@example.org")
        if len(records) > 1:
            raise CredentialError(
                Code.NO_DEFAULT_IDENTITY,
                "more than one identity is signed in: " + ", ".join(records),
                "choose one, in the program or with `identity` in the configuration",
            )
        return next(iter(records.values()))


def _chosen(records: dict[str, IdentityRecord], identity: str) -> IdentityRecord:
    if identity in records:
        return records[identity]
    # A provider may spell an address differently from the person; it is the same person.
    for address, record in records.items():
        if address.lower() == identity.lower():
            return record
    raise _not_signed_in(f"{identity} is not signed in", identity)


def _not_signed_in(message: str, identity: str) -> CredentialError:
    return CredentialError(
        Code.INTERACT_REQUIRED, message, f"sign in first: browserid login {identity}"
    )
