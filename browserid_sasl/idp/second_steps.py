"""What is asked for after a password, the provider's own or a backend's."""

from __future__ import annotations

from typing import Literal

from browserid_sasl.errors import Code
from browserid_sasl.idp.passkeys import Passkeys
from browserid_sasl.idp.totp import SecondFactors
from browserid_sasl.web.refusal import RefusedError

SecondStep = Literal["code", "passkey", "required"]
"""A code, of who has an app for it; or a passkey too, of who has one; or one of them of all."""


class SecondSteps:
    """Says what a password is worth. Safe for threads and processes.

    :param policy: what the administrator wants.
    :param factors: of those who have an app that makes codes.
    :param passkeys: of all.
    """

    def __init__(self, policy: SecondStep, factors: SecondFactors, passkeys: Passkeys) -> None:
        self._policy = policy
        self._factors = factors
        self._passkeys = passkeys

    def by_code(self, email: str) -> bool:
        """Whether a code is taken after the password."""
        return self._factors.has(email)

    def by_passkey(self, email: str) -> bool:
        """Whether a passkey is taken, and so needed where no code is."""
        return self._policy != "code" and self._passkeys.usable(email) > 0

    def follow(self, email: str) -> bool:
        """Whether a password alone is not enough."""
        return self.by_code(email) or self.by_passkey(email)

    def is_missing(self, email: str) -> bool:
        """Whether an account needs a second step, and has none yet."""
        return self._policy == "required" and not self.follow(email)

    def check(self, email: str) -> None:
        """See that an account has what it needs to get a certificate.

        :raises RefusedError: second-step-missing.
        """
        if self.is_missing(email):
            raise RefusedError(
                403,
                "second-step-missing",
                "this account needs a passkey, or an app that makes codes: sign in in a browser and"
                " add one",
                Code.INTERACT_FAILURE,
            )
