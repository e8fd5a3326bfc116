"""Who may administrate on the pages, and the sessions in which somebody does.

An administrator is an account, and the right goes with it. It is given and taken by a command on
the provider's machine alone: whoever takes an administrator over can make no other of it. For the
same reason nothing that an administrator signs in with is changed by another on the pages, and no
account of one is removed there, so nobody can remove the last, or lock the others out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Account, Base, Database, account_email
from browserid_sasl.idp.invitations import Invitations
from browserid_sasl.idp.sessions import PageSession, StoredSession

IDLE_MS: Final = 900_000
"""For how long a session may administrate in which nobody does: less than people may be signed in.
"""

_NOTED_EVERY_MS: Final = 60_000


class AdministratorRow(Base):
    """An administrator: since when (ms), and who has made them one."""

    __tablename__ = "administrators"

    email: Mapped[str] = account_email(primary_key=True)
    since: Mapped[int]
    by: Mapped[str]


class AdministeringSession(Base):
    """When (ms) somebody has last used a session to administrate."""

    __tablename__ = "administering_sessions"

    session: Mapped[int] = mapped_column(
        ForeignKey(StoredSession.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    used: Mapped[int]


@dataclass(frozen=True, slots=True)
class Administrator:
    """Somebody who may administrate.

    :param email: the account's address.
    :param since: ms.
    :param by: who has made them one.
    """

    email: str
    since: int
    by: str


class Administrators:
    """The administrators of a domain, none until somebody says. Safe for threads and processes.

    :param database: where they are kept.
    :param audit: told of each change.
    :param invitations: of the accounts.
    """

    def __init__(self, database: Database, audit: AuditLog, invitations: Invitations) -> None:
        self._database = database
        self._audit = audit
        self._invitations = invitations

    def add(self, email: str, by: str, now: int) -> bool:
        """Make somebody an administrator.

        A link with which their account can be set up is void then: another administrator may have
        made it, and would be who accepts it.

        :param by: who does that.
        :param now: ms.
        :returns: whether they were none.
        :raises LocalProtocolError: invalid-parameter: there is no such account.
        """
        with self._database.transaction() as session:
            if session.get(Account, email) is None:
                raise LocalProtocolError(
                    Code.INVALID_PARAMETER,
                    f"there is no account {email}",
                    f"make one with `browserid-idp invite {email}`, or name another",
                )
            if session.get(AdministratorRow, email) is not None:
                return False
            session.add(AdministratorRow(email=email, since=now, by=by))
            session.flush()
            self._invitations.withdraw(email, by, now)
            self._audit.write(Event.ADMINISTRATOR_ADDED, now, email=email, by=by)
            return True

    def remove(self, email: str, by: str, now: int) -> bool:
        """Take the right from somebody; whether they had it. Their next request is refused.

        :param by: who does that.
        :param now: ms.
        """
        with self._database.transaction() as session:
            row = session.get(AdministratorRow, email)
            if row is None:
                return False
            session.delete(row)
            session.flush()
            self._audit.write(Event.ADMINISTRATOR_REMOVED, now, email=email, by=by)
            return True

    def all(self) -> list[Administrator]:
        """All of them, in the order of their addresses."""
        with self._database.reading() as session:
            rows = session.scalars(select(AdministratorRow).order_by(AdministratorRow.email))
            return [Administrator(row.email, row.since, row.by) for row in rows]

    def has(self, email: str) -> bool:
        """Whether somebody is one.

        :param email: in lower case.
        """
        with self._database.reading() as session:
            return session.get(AdministratorRow, email) is not None

    def may_go_on(self, session: PageSession, now: int) -> bool:
        """Whether somebody is there who has signed in to this session, or administrated in it.

        It counts as used now. Once it was left for too long, only another sign-in helps.
        """
        with self._database.reading() as reading:
            row = reading.get(AdministeringSession, session.id)
            used = max(session.created, row.used if row else 0)
        if now >= used + IDLE_MS:
            return False
        if row is None or now >= row.used + _NOTED_EVERY_MS:
            self._note(session, now)
        return True

    def _note(self, session: PageSession, now: int) -> None:
        with self._database.transaction() as writing:
            # It may have been ended meanwhile.
            if writing.get(StoredSession, session.id) is not None:
                writing.merge(AdministeringSession(session=session.id, used=now))
