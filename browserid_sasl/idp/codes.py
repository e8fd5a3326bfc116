"""One-time codes: what a browser carries from the consent page to the program that listens.

A code is worth nothing without the verifier that its challenge was made from (RFC 7636), which
has never left the program. Any try spends it. A second try means that somebody else has had it
too, and what the first one got is revoked (RFC 6749 section 4.1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import Code as Reason
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Base, Database, account_email
from browserid_sasl.idp.renewals import Renewals
from browserid_sasl.idp.signing_keys import MAX_CERTIFICATE_LIFE_MS
from browserid_sasl.idp.tokens import digest, new_token
from browserid_sasl.idp.wish_columns import WishColumns
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose import b64
from browserid_sasl.web.refusal import RefusedError

CODE_LIFE_MS: Final = 60_000

MAX_VERIFIER: Final = 128
"""Characters of a verifier at the most (RFC 7636 section 4.1)."""

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_REMEMBERED_MS: Final = MAX_CERTIFICATE_LIFE_MS
"""For how long a code is known as spent: as long as what it gave is worth something."""


class OneTimeCode(WishColumns, Base):
    """A consent that a program may fetch a certificate for.

    `code` is a digest. `expires` is in ms. `renewal` and `spent` are 0 or 1.
    """

    __tablename__ = "codes"

    code: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = account_email()
    challenge: Mapped[str]
    renewal: Mapped[int]
    expires: Mapped[int] = mapped_column(index=True)
    spent: Mapped[int]


@dataclass(frozen=True, slots=True)
class _Found:
    granted: Granted
    challenge: str
    expires: int
    spent: bool


class Codes:
    """The codes that were given. Safe for threads and processes.

    :param database: where they are kept.
    :param renewals: what codes were exchanged for.
    :param audit: where consents are written down.
    """

    def __init__(self, database: Database, renewals: Renewals, audit: AuditLog) -> None:
        self._database = database
        self._renewals = renewals
        self._audit = audit

    def grant(self, wish: Wish, challenge: str, renewal: bool, now: int) -> str:
        """Make a code for what a person has consented to.

        :param challenge: base64url of SHA-256 of the program's verifier.
        :param renewal: whether they have allowed renewals.
        :param now: ms.
        """
        code = new_token()
        row = OneTimeCode(
            code=digest(code),
            wish=wish,
            challenge=challenge,
            renewal=int(renewal),
            expires=now + CODE_LIFE_MS,
            spent=0,
        )
        with self._database.transaction() as session:
            session.execute(delete(OneTimeCode).where(OneTimeCode.expires <= now - _REMEMBERED_MS))
            session.add(row)
            session.flush()
            self._audit.write(Event.CONSENTED, now, **wish.details, renewal=renewal)
        return code

    def redeem(self, code: str, verifier: str, client: str, now: int) -> Granted:
        """What a code stands for. It is spent, whatever comes of it.

        :param verifier: what the code's challenge was made from.
        :param client: IP address of the program that tries.
        :param now: ms.
        :raises RefusedError: `invalid-code`: it is unknown, spent, expired, or another program's.
        """
        # Spent before anything is compared: whoever guesses a verifier has one try.
        found = self._spend(code)
        if found is None:
            raise _refused("it is not known here")
        # Before its age and its verifier: that it comes again is bad news however it comes.
        if found.spent:
            wish = found.granted.wish
            self._renewals.revoke_key(wish, now, client=client)
            seen = {"email": wish.email, "key": wish.fingerprint, "client": client}
            self._audit.write(Event.CODE_USED_TWICE, now, **seen)
            raise _refused("it was used before, and what it gave is revoked")
        if found.expires <= now:
            raise _refused("it has expired")
        if not _fits(verifier, found.challenge):
            raise _refused("the `code_verifier` is not the one it was asked for with")
        return found.granted

    def confirm(self, code: str) -> None:
        """See that what `redeem` gave still stands, in the transaction that certifies.

        :raises RefusedError: `invalid-code`: all that the account had was ended meanwhile.
        """
        with self._database.reading() as session:
            if session.get(OneTimeCode, digest(code)) is None:
                raise _refused("it was revoked")

    def _spend(self, code: str) -> _Found | None:
        with self._database.transaction() as session:
            row = session.get(OneTimeCode, digest(code))
            if row is None:
                return None
            spent, row.spent = bool(row.spent), 1
            return _Found(Granted(row.wish, bool(row.renewal)), row.challenge, row.expires, spent)


def end_codes(session: Session, email: str) -> None:
    """Void the codes of an account, when all that it has ends.

    Of those that were spent, too: there is nothing left for a second try to revoke.
    """
    session.execute(delete(OneTimeCode).where(OneTimeCode.email == email))


def _fits(verifier: str, challenge: str) -> bool:
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = b64.encode(hashlib.sha256(verifier.encode("ascii")).digest())
    return hmac.compare_digest(made.encode("ascii"), challenge.encode("ascii"))


def _refused(why: str) -> RefusedError:
    return RefusedError(
        400, "invalid-code", f"the code is not good: {why}; sign in again", Reason.INTERACT_FAILURE
    )
