"""Codes of six digits that change every thirty seconds, as a second factor (TOTP, RFC 6238)."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import delete
from sqlalchemy.orm import Mapped

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import (
    Account,
    Base,
    Database,
    account_email,
    name_of_secret,
    secret_text,
)
from browserid_sasl.web.refusal import RefusedError

STEP_MS: Final = 30_000
"""How long a code is shown."""

SETUP_MS: Final = 3_600_000
"""How long somebody may take to confirm that the codes they see are right."""

_DIGITS: Final = 6
_SECRET: Final = 20
_WINDOW: Final = 1


class SecondFactor(Base):
    """A secret that codes are made from (base32), and the last step one was used of."""

    __tablename__ = "second_factors"

    email: Mapped[str] = account_email(primary_key=True)
    secret: Mapped[str] = secret_text()
    step: Mapped[int]
    created: Mapped[int]


class NewSecondFactor(Base):
    """A secret that is not confirmed yet, and until when (ms) it may be."""

    __tablename__ = "new_second_factors"

    email: Mapped[str] = account_email(primary_key=True)
    secret: Mapped[str] = secret_text()
    expires: Mapped[int]


class SecondFactors:
    """The accounts that have a second factor. Safe for threads and processes.

    How often a code may be guessed is not decided here: every call of `check` and `confirm` has to
    be counted with the sign-ins (module `limits`), and an account's failures may not be forgotten
    before its second factor has been right, too.

    :param database: where their secrets are kept.
    :param audit: told what happens to them.
    :param issuer: what apps that show the codes call the provider.
    """

    def __init__(self, database: Database, audit: AuditLog, issuer: str) -> None:
        self._database = database
        self._audit = audit
        self._issuer = issuer

    def begin(self, email: str, now: int) -> str:
        """A new secret for an account. It is of no effect until it is confirmed.

        :param email: of an account that there is, whose owner asks.
        :param now: ms.
        :returns: the secret, in base32.
        :raises RefusedError: there is no such account.
        """
        secret = base64.b32encode(secrets.token_bytes(_SECRET)).decode("ascii")
        with self._database.transaction() as session:
            if session.get(Account, email) is None:
                raise _refused(404, "no-account", "there is no such account (any more)")
            kept = self._database.secrets.keep(_name(NewSecondFactor, email), secret)
            session.merge(NewSecondFactor(email=email, secret=kept, expires=now + SETUP_MS))
        return secret

    def pending(self, email: str, now: int) -> str | None:
        """The secret that the account's owner has not confirmed yet, if there is one."""
        with self._database.reading() as session:
            row = session.get(NewSecondFactor, email)
            return self._secret(row) if row is not None and row.expires > now else None

    def uri(self, email: str, secret: str) -> str:
        """What an app is told, as `otpauth://`."""
        return _totp(secret).get_provisioning_uri(email, self._issuer)

    def qr_code(self, email: str, secret: str) -> str:
        """The same as a picture that can stand in a page (SVG)."""
        code = segno.make(self.uri(email, secret), micro=False)
        return code.svg_inline(scale=4, dark="#000", light="#fff")

    def confirm(self, email: str, code: str, client: str, now: int) -> bool:
        """Have the new secret from now on, if this is a code of it.

        :param email: whose it is.
        :param code: as somebody typed it.
        :param client: IP address it came from.
        :param now: ms.
        :returns: whether it is.
        """
        with self._database.transaction() as session:
            secret = self.pending(email, now)
            step = _step_of(secret, code, now) if secret else None
            if secret is None or step is None:
                return False
            kept = self._database.secrets.keep(_name(SecondFactor, email), secret)
            session.merge(SecondFactor(email=email, secret=kept, step=step, created=now))
            session.execute(delete(NewSecondFactor).where(NewSecondFactor.email == email))
            session.flush()
            self._audit.write(Event.SECOND_FACTOR_ADDED, now, email=email, client=client)
            return True

    def check(self, email: str, code: str, now: int) -> bool:
        """Whether this is a code of the account's. It is not, the second time.

        :param email: whose it is, in lower case.
        :param code: as somebody typed it.
        :param now: ms.
        """
        with self._database.transaction() as session:
            row = session.get(SecondFactor, email)
            step = _step_of(self._secret(row), code, now) if row is not None else None
            # Nor one older than the last: somebody may have looked on while it was typed.
            if row is None or step is None or step <= row.step:
                return False
            row.step = step
            return True

    def has(self, email: str) -> bool:
        """Whether the account has a second factor.

        :param email: in lower case.
        """
        with self._database.reading() as session:
            return session.get(SecondFactor, email) is not None

    def remove(self, email: str, client: str, now: int) -> bool:
        """Have none any more; whether there was one.

        :param client: IP address of who wants that.
        """
        with self._database.transaction() as session:
            session.execute(delete(NewSecondFactor).where(NewSecondFactor.email == email))
            row = session.get(SecondFactor, email)
            if row is None:
                return False
            session.delete(row)
            session.flush()
            self._audit.write(Event.SECOND_FACTOR_REMOVED, now, email=email, client=client)
            return True

    def _secret(self, row: SecondFactor | NewSecondFactor) -> str:
        return self._database.secrets.read(_name(type(row), row.email), row.secret)


def _name(row: type[SecondFactor | NewSecondFactor], email: str) -> str:
    return name_of_secret(row.__tablename__, email)


def _totp(secret: str) -> TOTP:
    return TOTP(base64.b32decode(secret), _DIGITS, SHA1(), STEP_MS // 1000)  # noqa: S303 - RFC 6238


def _step_of(secret: str, code: str, now: int) -> int | None:
    """The step of time whose code this is, None if it is of none near to now.

    All of them are compared, so that how long that takes says nothing.
    """
    typed = "".join(code.split()).encode("utf-8", "replace")
    steps = range(now // STEP_MS - _WINDOW, now // STEP_MS + _WINDOW + 1)
    found = [
        step
        for step in steps
        if hmac.compare_digest(_totp(secret).generate(step * STEP_MS // 1000), typed)
    ]
    return found[-1] if found else None


def _refused(status: int, word: str, message: str) -> RefusedError:
    return RefusedError(status, word, message, Code.INTERACT_FAILURE)
