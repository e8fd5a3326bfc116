"""A try to sign in with something that can be guessed: counted, checked and recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.limits import SignInLimits
from browserid_sasl.web.refusal import RefusedError


class Attempts:
    """Lets people try, as often as the limits permit. Safe for threads.

    :param limits: on failures.
    :param audit: where they are recorded.
    """

    def __init__(self, limits: SignInLimits, audit: AuditLog) -> None:
        self._limits = limits
        self._audit = audit

    def check(
        self, email: str, client: str, now: int, right: Callable[[], bool], known: str = ""
    ) -> None:
        """Check what somebody gave. It counts as failed until `succeeded` is called.

        :param email: the account's address, whether or not there is one.
        :param client: IP address it comes from.
        :param now: ms.
        :param right: whether it is right; not called for somebody who has to wait.
        :param known: name of a browser in which this address has been signed in to before.
        :raises RefusedError: too-many-attempts, wrong-credentials.
        """
        # Counted before it is looked at: many tries at the same moment are as many as one after
        # another, and the answer to a try that is refused says nothing about the password.
        attempt = self._limits.begin(email, client, now, known)
        if attempt.blocked:
            seconds = -(-attempt.blocked // 1000)
            raise RefusedError(
                429,
                "too-many-attempts",
                f"too many sign-ins failed: try again in {seconds} s",
                Code.INTERACT_UNAVAILABLE,
                retry_after=seconds,
            )
        if not right():
            self.fail(email, client, now, wait=attempt.penalty)

    def fail(self, email: str, client: str, now: int, *, wait: int = 0) -> NoReturn:
        """Record that somebody was wrong, in a try that was counted.

        :param now: ms.
        :param wait: ms before the next one.
        :raises RefusedError: wrong-credentials.
        """
        self._audit.write(Event.SIGN_IN_FAILED, now, email=email, client=client, wait=wait)
        raise RefusedError(
            401,
            "wrong-credentials",
            "there is no account with this address and password",
            Code.INTERACT_FAILURE,
        )

    def succeeded(self, email: str, client: str, now: int, known: str = "") -> None:
        """Record that somebody is signed in, with all steps that their account has.

        :param now: ms.
        :raises StoreError: it cannot be recorded, and they must not be.
        """
        record = partial(self._audit.write, Event.SIGNED_IN, now, email=email, client=client)
        self._limits.succeeded(email, known, record)
