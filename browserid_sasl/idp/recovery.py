"""Recovery codes: ten of them, each once, in place of a second factor that is lost."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Base, Database, account_email
from browserid_sasl.idp.tokens import MAX_TOKEN, digest

CODES: Final = 10
"""How many there are in a set."""

# Without letters that look like digits (Crockford's base32): 16 of them are 80 bits, so that the
# digest of a code tells nothing of it, and none can be guessed.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH: Final = 16
_GROUP: Final = 4
_AS_TYPED: Final = str.maketrans({"o": "0", "i": "1", "l": "1", "-": "", " ": ""})


class RecoveryCode(Base):
    """A code that was not used yet: the digest of it with its account."""

    __tablename__ = "recovery_codes"

    digest: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = account_email()


class RecoveryCodes:
    """The recovery codes of a provider's accounts. Safe for threads and processes.

    Each call of `use` has to be counted with the sign-ins (module `limits`).

    :param database: where their digests are kept.
    :param audit: told what happens to them.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    def renew(self, email: str, client: str, now: int) -> list[str]:
        """Another set of codes for an account, in place of all before.

        :param email: of an account that there is, whose owner asks.
        :param client: IP address of who asks.
        :param now: ms.
        :returns: the codes, which nobody can show again.
        :raises StoreError: cache-error: they were not made.
        """
        codes = [_new_code() for _ in range(CODES)]
        with self._database.transaction() as session:
            session.execute(delete(RecoveryCode).where(RecoveryCode.email == email))
            session.add_all(
                RecoveryCode(digest=_digest(email, code), email=email) for code in codes
            )
            session.flush()
            self._audit.write(Event.RECOVERY_CODES_MADE, now, email=email, client=client)
        return codes

    def use(self, email: str, code: str, client: str, now: int) -> bool:
        """Whether this is a code of the account's that was not used before.

        :param email: whose it is, in lower case.
        :param code: as somebody typed it.
        :param client: IP address it came from.
        :param now: ms.
        """
        if len(code) > MAX_TOKEN:
            return False
        with self._database.transaction() as session:
            row = session.get(RecoveryCode, _digest(email, code))
            if row is None:
                return False
            session.delete(row)
            session.flush()
            left = self.left(email)
            self._audit.write(Event.RECOVERY_CODE_USED, now, email=email, client=client, left=left)
            return True

    def left(self, email: str) -> int:
        """How many codes an account has left."""
        with self._database.reading() as session:
            mine = select(func.count()).where(RecoveryCode.email == email)
            return session.scalar(mine) or 0

    def remove(self, email: str) -> None:
        """Have no codes any more."""
        with self._database.transaction() as session:
            session.execute(delete(RecoveryCode).where(RecoveryCode.email == email))


def _new_code() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(letters[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def _digest(email: str, code: str) -> str:
    return digest(f"{email} {code.lower().translate(_AS_TYPED)}")
