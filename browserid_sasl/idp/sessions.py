"""Who is signed in on the pages, kept on the server: a browser has a random token, no more.

A session ends when it is ended, when nobody has used it for a while, at a certain age, and with its
account. A sign-in of which the second step is missing is kept likewise: it is a row of another
kind, which is good for that step only.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Index, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.idp.database import Account, Base, Database

_TOKEN_OCTETS: Final = 32
_HALF_WAY_LIFE_MS: Final = 600_000
_PER_ACCOUNT: Final = 50
_NOTED_EVERY_MS: Final = 60_000
_SET_BACK_MS: Final = 300_000
"""A session that was used so far in the future was used by a clock that was wrong."""

_MAX_AGENT: Final = 200

PASSKEY: Final = "passkey"
"""The method of a session that was signed in to with a passkey, which knows its owner."""

_FULL: Final = "full"
_HALF_WAY: Final = "half-way"


class StoredSession(Base):
    """A session. `token` is the SHA-256 of what the browser has; times are in ms."""

    __tablename__ = "page_sessions"
    __table_args__ = (
        Index("page_sessions_email", "email"),
        Index("page_sessions_created", "created"),
        Index("page_sessions_used", "used"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    email: Mapped[str]
    method: Mapped[str]
    client: Mapped[str]
    agent: Mapped[str]
    created: Mapped[int]
    used: Mapped[int]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions last.

    :param life: ms from the sign-in on, at the most.
    :param idle: ms without a request.
    """

    life: int = 43_200_000
    idle: int = 3_600_000


@dataclass(frozen=True, slots=True)
class PageSession:
    """Somebody who is signed in in a browser.

    :param id: for lists of them; no secret.
    :param email: the account's address.
    :param method: what they signed in with, such as `password`.
    :param client: IP address from which they did.
    :param agent: what the browser called itself.
    :param created: ms.
    :param used: ms, to the minute.
    """

    id: int
    email: str
    method: str
    client: str
    agent: str
    created: int
    used: int

    @property
    def by_passkey(self) -> bool:
        """Whether it was signed in to with a passkey."""
        return self.method == PASSKEY


class Sessions:
    """The sessions of all accounts. Safe for threads and processes.

    :param database: where they are kept.
    :param policy: how long they last.
    """

    def __init__(self, database: Database, policy: SessionPolicy | None = None) -> None:
        self._database = database
        self.policy = policy or SessionPolicy()

    def begin(
        self,
        email: str,
        method: str,
        client: str,
        agent: str,
        now: int,
        *,
        half_way: bool = False,
    ) -> tuple[str, PageSession]:
        """Begin a session with a token that nobody had before, so none can be foisted on anybody.

        :param half_way: whether a second step is missing yet.
        :returns: the token, which is secret, and the session.
        """
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        row = StoredSession(
            token=_hash(token),
            kind=_HALF_WAY if half_way else _FULL,
            email=email,
            method=method,
            client=client,
            agent=agent[:_MAX_AGENT],
            created=now,
            used=now,
        )
        with self._database.transaction() as session:
            self._drop_ended(session, now)
            account = session.get(Account, email)
            if account is not None:
                # Made before the clock was set back: it is this account's all the same.
                row.created = max(now, account.created)
            session.add(row)
            session.flush()
            self._drop_oldest(session, email)
            return token, _seen(row)

    def find(self, token: str, now: int) -> PageSession | None:
        """The session with this token, if it is in force. It counts as used now."""
        return self._find(token, now, _FULL, self.policy.life, self.policy.idle)

    def find_half_way(self, token: str, now: int) -> PageSession | None:
        """The sign-in with this token of which the second step is missing."""
        return self._find(token, now, _HALF_WAY, _HALF_WAY_LIFE_MS, _HALF_WAY_LIFE_MS)

    def end(self, token: str) -> None:
        """End the session with this token, of either kind."""
        with self._database.transaction() as session:
            session.execute(delete(StoredSession).where(StoredSession.token == _hash(token)))

    def end_all(self, email: str, except_id: int | None = None) -> None:
        """End the sessions of an account, but for one."""
        with self._database.transaction() as session:
            of_account = StoredSession.email == email
            session.execute(delete(StoredSession).where(of_account, StoredSession.id != except_id))

    def all(self, email: str, now: int) -> list[PageSession]:
        """The sessions of an account that are in force, the one used last first."""
        with self._database.transaction() as session:
            self._drop_ended(session, now)
            rows = session.scalars(
                select(StoredSession)
                .where(StoredSession.email == email, StoredSession.kind == _FULL)
                .order_by(StoredSession.used.desc(), StoredSession.id.desc())
            )
            return [_seen(row) for row in rows]

    def _find(self, token: str, now: int, kind: str, life: int, idle: int) -> PageSession | None:
        with self._database.reading() as session:
            row = session.scalar(
                select(StoredSession)
                # An account that was made anew under the same address is another one.
                .join(Account, Account.email == StoredSession.email)
                .where(StoredSession.token == _hash(token), StoredSession.kind == kind)
                .where(Account.created <= StoredSession.created)
            )
        if row is None or now >= min(row.created + life, row.used + idle):
            return None
        if now < row.used - _SET_BACK_MS:
            return None
        if now >= row.used + _NOTED_EVERY_MS:
            return self._note(row.id, now)
        return _seen(row)

    def _note(self, number: int, now: int) -> PageSession | None:
        """Write down that a session is used, if it has not been ended meanwhile."""
        with self._database.transaction() as session:
            row = session.get(StoredSession, number)
            if row is None:
                return None
            row.used = max(row.used, now)
            return _seen(row)

    def _drop_ended(self, session: Session, now: int) -> None:
        too_old = StoredSession.created <= now - self.policy.life
        unused = StoredSession.used <= now - self.policy.idle
        session.execute(delete(StoredSession).where(too_old | unused))

    def _drop_oldest(self, session: Session, email: str) -> None:
        newest = (
            select(StoredSession.id)
            .where(StoredSession.email == email)
            .order_by(StoredSession.id.desc())
            .limit(_PER_ACCOUNT)
        )
        surplus = StoredSession.email == email, StoredSession.id.not_in(newest)
        session.execute(delete(StoredSession).where(*surplus))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _seen(row: StoredSession) -> PageSession:
    return PageSession(row.id, row.email, row.method, row.client, row.agent, row.created, row.used)
