"""How what somebody signs in with changes: each change as a whole, with what it entails.

Nobody locks themselves out by removing the last means there is. Whatever changes ends the other
sessions of the account: who has crept into one does not outlast the change that is to throw them
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from browserid_sasl.errors import Code
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.invitations import Invitations
from browserid_sasl.idp.outside import Outside
from browserid_sasl.idp.passkeys import Passkeys
from browserid_sasl.idp.recovery import RecoveryCodes
from browserid_sasl.idp.renewals import Renewals
from browserid_sasl.idp.sessions import Sessions
from browserid_sasl.idp.totp import SecondFactors
from browserid_sasl.web.refusal import RefusedError


class Means:
    """Changes what people sign in with. Safe for threads and processes.

    In all methods `client` is the IP address of who wants the change, `now` is in ms, and `keep`
    is the session that stays.

    :param database: in which all of the following are.
    """

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        accounts: Accounts,
        sessions: Sessions,
        renewals: Renewals,
        passkeys: Passkeys,
        second_factors: SecondFactors,
        recovery_codes: RecoveryCodes,
        invitations: Invitations,
        outside: Outside,
    ) -> None:
        self._database = database
        self._audit = audit
        self._accounts = accounts
        self._sessions = sessions
        self._renewals = renewals
        self._passkeys = passkeys
        self._second_factors = second_factors
        self._recovery_codes = recovery_codes
        self._invitations = invitations
        self._outside = outside

    def add_passkey(
        self, email: str, response: str, name: str, client: str, now: int, *, keep: int
    ) -> None:
        """Add the passkey that a browser has made.

        :raises RefusedError: see `Passkeys.register`.
        """
        with self._change(email, keep):
            self._passkeys.register(email, response, name, client, now)

    def remove_passkey(self, email: str, number: int, client: str, now: int, *, keep: int) -> None:
        """Remove a passkey.

        :raises RefusedError: there is no such one, or nothing would be left.
        """
        with self._change(email, keep):
            self._passkeys.remove(email, number, client, now)
            self._check_left(email)

    def set_password(self, email: str, password: str, client: str, now: int, *, keep: int) -> None:
        """Give the account a password, or another one.

        :raises LocalProtocolError: invalid-parameter: it cannot be used.
        :raises RefusedError: its password is elsewhere.
        """
        hashed = self._accounts.hash(password)
        with self._change(email, keep):
            self._set_hash(email, hashed, client, now)

    def remove_password(self, email: str, client: str, now: int, *, keep: int) -> None:
        """Remove the password, and with it what only came after it.

        :raises RefusedError: nothing would be left.
        """
        with self._change(email, keep):
            self._remove_password(email, client, now)
            self._check_left(email)

    def confirm_second_factor(
        self, email: str, code: str, client: str, now: int, *, keep: int
    ) -> list[str] | None:
        """Have the second factor that was begun from now on.

        :returns: recovery codes for it, None if `code` is wrong.
        """
        with self._database.transaction():
            if not self._second_factors.confirm(email, code, client, now):
                return None
            self._sessions.end_all(email, keep)
            return self._recovery_codes.renew(email, client, now)

    def remove_second_factor(self, email: str, client: str, now: int, *, keep: int) -> None:
        """Remove the second factor, with its recovery codes."""
        with self._change(email, keep):
            self._remove_second_factor(email, client, now)

    def renew_recovery_codes(self, email: str, client: str, now: int, *, keep: int) -> list[str]:
        """Other recovery codes, in place of all before."""
        with self._change(email, keep):
            return self._recovery_codes.renew(email, client, now)

    def remove_all(self, email: str, client: str, now: int) -> None:
        """Leave nothing to sign in with that is the provider's own, nor what came of it."""
        with self._database.transaction():
            self._passkeys.remove_all(email, client, now)
            self._remove_password(email, client, now)
            self._sessions.end_all(email)
            # Whoever took the account over may have signed programs of theirs in.
            self._renewals.revoke_all(email, now, client=client)

    def accept_with_passkey(self, token: str, response: str, client: str, now: int) -> str:
        """Accept an invitation with a passkey as the only means to sign in.

        :param token: of the invitation.
        :param response: the passkey that a browser has made.
        :returns: whose account it is.
        :raises RefusedError: the invitation or the passkey is no good; it can be tried again.
        """
        with self._accepting(token, client, now) as email:
            self._passkeys.register(email, response, "", client, now)
            return email

    def accept_with_password(self, token: str, password: str, client: str, now: int) -> str:
        """Accept an invitation with a password as the only means to sign in.

        :raises RefusedError: the invitation is no good.
        :raises LocalProtocolError: invalid-parameter: the password cannot be used.
        """
        # Who has no invitation does not make anything be hashed.
        self._invitations.check(token, now)
        hashed = self._accounts.hash(password)
        with self._accepting(token, client, now) as email:
            self._set_hash(email, hashed, client, now)
            return email

    def has_any(self, email: str) -> bool:
        """Whether somebody can sign in to the account."""
        own = self._accounts.has_password(email) or self._passkeys.usable(email) > 0
        return own or self.is_outside(email)

    def is_outside(self, email: str) -> bool:
        """Whether a backend vouches for the account, which then has no password of its own."""
        return self._outside.identity(email) is not None

    def gives_password(self, email: str) -> bool:
        """Whether somebody may sign in to the account by a password, wherever that is kept."""
        return self._accounts.has_password(email) or self.is_outside(email)

    def check_own_password(self, email: str) -> None:
        """See that an account may have a password of the provider's.

        :raises RefusedError: password-elsewhere: a backend vouches for it.
        """
        if self.is_outside(email):
            raise RefusedError(
                409,
                "password-elsewhere",
                "the password of this account is not the provider's: change it where it is kept",
                Code.INTERACT_FAILURE,
            )

    @contextmanager
    def _change(self, email: str, keep: int) -> Iterator[None]:
        with self._database.transaction():
            yield
            self._sessions.end_all(email, keep)

    @contextmanager
    def _accepting(self, token: str, client: str, now: int) -> Iterator[str]:
        """Whom an invitation is for, whose account has nothing any more that signs them in."""
        with self._invitations.accepting(token, client, now) as email:
            self.remove_all(email, client, now)
            yield email

    def _set_hash(self, email: str, hashed: str, client: str, now: int) -> None:
        def record() -> None:
            self._audit.write(Event.PASSWORD_CHANGED, now, email=email, client=client)

        self.check_own_password(email)
        self._accounts.set_hash(email, hashed, now, record)

    def _remove_password(self, email: str, client: str, now: int) -> None:
        def record() -> None:
            self._audit.write(Event.PASSWORD_REMOVED, now, email=email, client=client)

        self._remove_second_factor(email, client, now)
        if self._accounts.has_password(email):
            self._accounts.remove_password(email, now, record)

    def _remove_second_factor(self, email: str, client: str, now: int) -> None:
        self._second_factors.remove(email, client, now)
        self._recovery_codes.remove(email)

    def _check_left(self, email: str) -> None:
        if not self.has_any(email):
            raise RefusedError(
                409,
                "last-means",
                "nothing would be left to sign in with: first add another passkey, or a password",
                Code.INTERACT_FAILURE,
            )
