"""What there is for asking again about somebody who has signed in: a refresh token of another
provider, or the certificates that they have shown.

A refresh token may be good for one use: then two that use the same one look like theft, and all of
it ends. So whoever uses an account's has a turn, on one host or on several, and others wait.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session

from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.idp.database import (
    Base,
    Database,
    account_email,
    name_of_secret,
    secret_text,
)

_LOOKS_EVERY_S: Final = 0.05
_MARGIN_MS: Final = 5_000


class UpstreamToken(Base):
    """An account's: the token, empty for none, and since when (ms) its person is signed in there.

    `turn` is that of whoever uses it, which ends by itself at `turn_ends` (ms).
    """

    __tablename__ = "upstream_tokens"

    email: Mapped[str] = account_email(primary_key=True)
    token: Mapped[str] = secret_text()
    since: Mapped[int]
    turn: Mapped[str]
    turn_ends: Mapped[int]


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is to ask with.

    :param email: whose it is.
    :param token: the refresh token, empty for none. Secret.
    :param since: ms, when they signed in there.
    :param turn: whose turn it is.
    """

    email: str
    token: str = field(repr=False)
    since: int
    turn: str


class UpstreamTokens:
    """Keeps them, sealed where there is a key for that. Safe for threads, processes and hosts.

    :param database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, email: str, token: str, since: int) -> None:
        """Keep what came of a sign-in, in place of what there was.

        :param email: of an account.
        :param since: ms.
        """
        kept = self._database.secrets.keep(_name(email), token)
        with self._database.transaction() as session:
            session.merge(UpstreamToken(email=email, token=kept, since=since, turn="", turn_ends=0))

    def find(self, email: str) -> Kept | None:
        """What there is for an account, to look at: for its use there is `turn`."""
        with self._database.reading() as session:
            row = session.get(UpstreamToken, email)
            return self._kept(row) if row else None

    def drop(self, email: str) -> None:
        """Keep nothing any more for an account."""
        with self._database.transaction() as session:
            session.execute(delete(UpstreamToken).where(UpstreamToken.email == email))

    @contextmanager
    def turn(self, email: str, most: int) -> Iterator[Kept | None]:
        """Use what there is for an account, as the only one that does; None if there is nothing.

        :param email: the account's.
        :param most: ms for which others are waited for, and that the block takes at the most.
        :raises UnavailableError: others take too long.
        """
        ends = time.monotonic() + most / 1000
        while (taken := self._take(email, most)) is _BUSY:
            if time.monotonic() >= ends:
                raise UnavailableError("somebody else asks about the account, and has no answer")
            time.sleep(_LOOKS_EVERY_S)
        try:
            yield taken
        finally:
            if taken is not None:
                self._end(taken)

    def replace(self, kept: Kept, token: str) -> None:
        """Keep another token, unless there was another sign-in meanwhile."""
        with self._database.transaction() as session:
            row = _row_of(session, kept)
            if row is not None:
                row.token = self._database.secrets.keep(_name(kept.email), token)

    def is_of_now(self, kept: Kept) -> bool:
        """Whether there was no other sign-in meanwhile."""
        with self._database.reading() as session:
            return _row_of(session, kept) is not None

    def _take(self, email: str, most: int) -> Kept | None:
        now = time.time_ns() // 1_000_000
        with self._database.transaction() as session:
            row = session.get(UpstreamToken, email)
            if row is None:
                return None
            if row.turn and now < row.turn_ends:
                return _BUSY
            row.turn, row.turn_ends = secrets.token_hex(8), now + most + _MARGIN_MS
            return self._kept(row)

    def _kept(self, row: UpstreamToken) -> Kept:
        token = self._database.secrets.read(_name(row.email), row.token)
        return Kept(row.email, token, row.since, row.turn)

    def _end(self, kept: Kept) -> None:
        with self._database.transaction() as session:
            row = _row_of(session, kept)
            if row is not None:
                row.turn, row.turn_ends = "", 0


_BUSY: Final = Kept("", "", 0, "")


def _row_of(session: Session, kept: Kept) -> UpstreamToken | None:
    row = session.get(UpstreamToken, kept.email)
    return row if row is not None and row.turn == kept.turn else None


def _name(email: str) -> str:
    return name_of_secret(UpstreamToken.__tablename__, email)
