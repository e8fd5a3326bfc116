"""Assertions signed with the key of a person who has signed in (PROTOCOL.md section 1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from browserid_sasl.agent.naming import SignInRequiredError, account_names, choose
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey

MARGIN_MS: Final = 30_000
"""A certificate that expires so soon might do so before the server has looked at it."""


class AgentCredentialSource:
    """The keys and certificates in a store. Implements `gss.ports.CredentialSource`.

    :param store: where they are.
    :param name: who is meant, see `naming.choose`; empty for the default identity.
    :param clock: ms since the epoch.
    :param default: the configured identity; empty for the only one that is signed in.
    :param renew: gets and keeps another certificate for a record that can be renewed; None where
        somebody else sees to that.
    :param find: gets a record with its key, None if it is not there; the store when None.
    """

    def __init__(
        self,
        store: IdentityStore,
        name: str,
        clock: Callable[[], int],
        *,
        default: str = "",
        renew: Callable[[IdentityRecord], IdentityRecord] | None = None,
        find: Callable[[str], IdentityRecord | None] | None = None,
    ) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._default = default
        self._renew = renew
        self._find = find or store.get

    @property
    def identity(self) -> str:
        """The person's address. Their certificate may have expired: a ticket may do without it.

        :raises CredentialError: interact-required when the one that is meant is not signed in,
            no-default-identity when it is not clear who is meant.
        """
        return self._record().identity

    def assertion(self, claims: bytes) -> str:
        """Sign an assertion.

        :param claims: the payload, ready-made JSON.
        :returns: the backed assertion, ``certificate~assertion``.
        :raises CredentialError: interact-required when signing in is needed first.
        :raises DiscoveryError: the certificate has to be renewed, and the provider cannot be
            reached.
        """
        record = self._with_key(self._record().identity)
        if record.expires <= self._clock() + MARGIN_MS:
            if self._renew is None or not record.renewal:
                raise _has_expired(record.identity)
            record = self._renew(record)
        key = PrivateKey.from_pem(record.private_key_pem)
        return f"{record.certificate}~{jwt.sign(claims, key)}"

    def _with_key(self, identity: str) -> IdentityRecord:
        """The record with its key, which the ones in a list need not have."""
        record = self._find(identity)
        if record is None:
            raise SignInRequiredError(
                identity,
                f"the key of {identity} is in the keyring, which does not give it",
                f"unlock the keyring, or sign in again: browserid login {identity}",
            )
        return record

    def _record(self) -> IdentityRecord:
        records = {record.identity: record for record in self._store.all() if record.certificate}
        return records[choose(records, self._name, self._default, account_names)]


def _has_expired(identity: str) -> SignInRequiredError:
    """The error to raise for a certificate that is good no more."""
    return SignInRequiredError(
        identity,
        f"the certificate of {identity} has expired",
        f"sign in again: browserid login {identity}",
    )
