"""Invitations: an administrator's link, with which somebody sets up their account once.

Nobody but that person ever knows a password then. The link is spent by success, and not by the
first look at it: programs that follow the links in mail spend none. A new link for an account makes
the one before void.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Base, Database, account_email
from browserid_sasl.idp.tokens import MAX_TOKEN, digest, new_token
from browserid_sasl.web.refusal import RefusedError

LIFE_MS: Final = 259_200_000
"""How long a link is good for, unless somebody says otherwise."""

MAX_LIFE_MS: Final = 2_592_000_000
"""How long it may be."""


class Invitation(Base):
    """An invitation that was not accepted yet: the digest of its token. Times are in ms."""

    __tablename__ = "invitations"

    email: Mapped[str] = account_email(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    created: Mapped[int]
    expires: Mapped[int]


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation that can be accepted yet.

    :param email: of whom it is for.
    :param created: ms.
    :param expires: ms.
    """

    email: str
    created: int
    expires: int


class Invitations:
    """The invitations of a provider. Safe for threads and processes.

    :param database: where they are kept.
    :param audit: told what happens to them.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    def make(self, email: str, by: str, now: int, life: int = LIFE_MS, *, client: str = "") -> str:
        """An invitation, in place of the one before.

        :param email: of an account that there is.
        :param by: who invites.
        :param now: ms.
        :param life: ms for which it is good.
        :param client: IP address of who invites, empty for the provider's machine.
        :returns: the token in its link.
        :raises StoreError: cache-error: it was not made.
        """
        token = new_token()
        with self._database.transaction() as session:
            session.merge(
                Invitation(email=email, digest=digest(token), created=now, expires=now + life)
            )
            session.flush()
            who = {"by": by, "client": client} if client else {"by": by}
            self._audit.write(Event.INVITED, now, email=email, **who, expires=now + life)
        return token

    def open(self, now: int, most: int, after: str = "") -> list[OpenInvitation]:
        """Invitations that can be accepted yet, in the order of their addresses.

        :param now: ms.
        :param most: how many.
        :param after: only those that come after this address.
        """
        wanted = (
            select(Invitation)
            .where(Invitation.email > after, Invitation.expires > now)
            .order_by(Invitation.email)
            .limit(most)
        )
        with self._database.reading() as session:
            rows = session.scalars(wanted)
            return [OpenInvitation(row.email, row.created, row.expires) for row in rows]

    def withdraw(self, email: str, by: str, now: int, *, client: str = "") -> bool:
        """Have an invitation be good no more; whether there was one that was.

        For the parameters see `make`.
        """
        with self._database.transaction() as session:
            row = session.get(Invitation, email)
            if row is None:
                return False
            session.delete(row)
            session.flush()
            if row.expires <= now:
                return False
            who = {"by": by, "client": client} if client else {"by": by}
            self._audit.write(Event.INVITATION_WITHDRAWN, now, email=email, **who)
            return True

    def find(self, token: str, now: int) -> str | None:
        """Whom an invitation is for, None if it is not good (any more). It stays so.

        :param now: ms.
        """
        if len(token) > MAX_TOKEN:
            return None
        with self._database.reading() as session:
            row = session.scalar(select(Invitation).where(Invitation.digest == digest(token)))
            return row.email if row is not None and row.expires > now else None

    def check(self, token: str, now: int) -> str:
        """Whom an invitation is for. It stays good.

        :raises RefusedError: it is not good (any more).
        """
        email = self.find(token, now)
        if email is None:
            raise RefusedError(
                410,
                "invitation-spent",
                "this link was used already, or is too old: ask your administrator for another",
                Code.INTERACT_FAILURE,
            )
        return email

    @contextmanager
    def accepting(self, token: str, client: str, now: int) -> Iterator[str]:
        """Whom an invitation is for, while their account is set up.

        It is spent at the end of the block, together with what the block does to the database; if
        the block raises, neither has happened.

        :param client: IP address of who accepts.
        :param now: ms.
        :raises RefusedError: it is not good (any more).
        """
        with self._database.transaction() as session:
            email = self.check(token, now)
            yield email
            session.execute(delete(Invitation).where(Invitation.email == email))
            self._audit.write(Event.INVITATION_ACCEPTED, now, email=email, client=client)
