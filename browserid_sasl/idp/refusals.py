"""Refusals in the audit log: as many as somebody can read, however many there are.

Who is refused has no account, and it costs them nothing. So a minute has so many lines and no more,
of all and of each network, and the next line says how many there would have been.
"""

from __future__ import annotations

from typing import Final

from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.backends import Denial
from browserid_sasl.idp.rations import Ration
from browserid_sasl.web.clients import network_of
from browserid_sasl.web.refusal import RefusedError

MOST: Final = 100
"""Lines of a minute."""

MOST_OF_NETWORK: Final = 10
"""Those of one network among them."""

_WORTH_IT: Final = frozenset(
    {
        *("cloned-passkey", "invalid-passkey", "not-verified", "other-account", "stale-challenge"),
        *("unknown-passkey", "second-factor-needed", "too-many-attempts", "cross-site"),
        *("code-expired", "code-used", "invalid-code", "invitation-spent", "revoked-key"),
        *("renewal-expired", "renewal-revoked", "renewal-unknown", "too-many-keys", "no-account"),
        *(each.value for each in Denial if each is not Denial.WRONG_PASSWORD),
        *("administrator-account", "no-longer-vouched", "passkey-needed"),
        *("too-many-mails", "mail-code-spent"),
    }
)
"""What somebody was refused who wanted to be somebody. Requests that make no sense are not in it,
nor wrong passwords and codes, which have events of their own."""


class Refusals:
    """Writes them down. Safe for threads.

    :param audit: where.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._ration = Ration(MOST, MOST_OF_NETWORK)

    def record(self, error: RefusedError, client: str, now: int, email: str = "") -> None:
        """Write a refusal down, if it is one that counts.

        :param client: IP address it was refused to.
        :param now: ms.
        :param email: whose account it was about, as far as that is known.
        :raises StoreError: it cannot be written.
        """
        if error.word not in _WORTH_IT:
            return
        left_out = self._ration.admit(network_of(client), now)
        if left_out is not None:
            self._audit.write(
                Event.REFUSED,
                now,
                email=email,
                client=client,
                reason=error.word,
                left_out=left_out,
            )
