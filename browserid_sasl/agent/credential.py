"""Assertions signed with the key of a person who has signed in (PROTOCOL.md section 1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from browserid_sasl.agent.naming import account_names, choose
from browserid_sasl.errors import Code, CredentialError
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
    """

    def __init__(
        self, store: IdentityStore, name: str, clock: Callable[[], int], *, default: str = ""
    ) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._default = default

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
        """
        record = self._record()
        if record.expires <= self._clock() + MARGIN_MS:
            raise CredentialError(
                Code.INTERACT_REQUIRED,
                f"the certificate of {record.identity} has expired",
                f"sign in again: browserid login {record.identity}",
            )
        key = PrivateKey.from_pem(record.private_key_pem)
        return f"{record.certificate}~{jwt.sign(claims, key)}"

    def _record(self) -> IdentityRecord:
        records = {record.identity: record for record in self._store.all() if record.certificate}
        return records[choose(records, self._name, self._default, account_names)]
