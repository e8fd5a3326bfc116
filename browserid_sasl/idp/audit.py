"""The audit log: who signed in, who failed to, what was certified, which accounts changed.

It is in the database, where it can be searched and where all hosts write to it, for as long as the
administrator wants and in as many entries; and in a file of this host, as one JSON object on a
line, whatever becomes of the database. An entry has its `time`, its `event`, and what the event is
about. Passwords and private keys are never in it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import ColumnElement, Index, and_, delete, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.idp.audit_file import AuditFile
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.jose import json as strict_json

LIFE_MS: Final = 34_560_000_000
"""How long an entry is kept, unless somebody says otherwise: 400 days."""

MOST_ENTRIES: Final = 1_000_000
"""How many there are at the most, unless somebody says otherwise."""

TIMES: Final = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")
"""How people write a time, in UTC, since which or until which they look for entries."""

_PURGED_EACH: Final = 64
_PURGED_AT_ONCE: Final = 1_000
"""More than are written meanwhile, and no more than others can wait for."""


class Event(Enum):
    """What happened, by the word the log has for it."""

    PROVIDER_CREATED = "provider-created"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    KEY_CREATED = "key-created"
    RESEALED = "resealed"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    REFUSED = "refused"
    CERTIFIED = "certified"
    CONSENTED = "consented"
    CODE_USED_TWICE = "code-used-twice"
    DEVICE_CODE_WRONG = "device-code-wrong"
    DEVICE_DENIED = "device-denied"
    REVOKED = "revoked"
    VOUCHING_ENDED = "vouching-ended"
    ACCOUNT_ADDED = "account-added"
    ACCOUNT_REMOVED = "account-removed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an event's name
    PASSWORD_REMOVED = "password-removed"  # noqa: S105
    PASSKEY_ADDED = "passkey-added"
    PASSKEY_RENAMED = "passkey-renamed"
    PASSKEY_REMOVED = "passkey-removed"
    PASSKEY_CHANGED = "passkey-changed"
    PASSKEY_CLONED = "passkey-cloned"
    RP_ID_CONFIRMED = "rp-id-confirmed"
    SECOND_FACTOR_ADDED = "second-factor-added"
    SECOND_FACTOR_REMOVED = "second-factor-removed"
    RECOVERY_CODES_MADE = "recovery-codes-made"
    RECOVERY_CODE_USED = "recovery-code-used"
    MAIL_SENT = "mail-sent"
    MAIL_SPARED = "mail-spared"
    MAIL_FAILED = "mail-failed"
    MAIL_BOUNCED = "mail-bounced"
    MAIL_UNWANTED = "mail-unwanted"
    MAIL_ALLOWED = "mail-allowed"
    MAIL_CODE_WRONG = "mail-code-wrong"
    MAIL_LINK_ALLOWED = "mail-link-allowed"
    OWN_PROVIDER = "own-provider"
    INVITED = "invited"
    INVITATION_ACCEPTED = "invitation-accepted"
    INVITATION_WITHDRAWN = "invitation-withdrawn"
    SESSIONS_ENDED = "sessions-ended"
    ADMINISTRATOR_ADDED = "administrator-added"
    ADMINISTRATOR_REMOVED = "administrator-removed"


class AuditRow(Base):
    """An entry. What it is about, besides the columns, is in `details`, an object of JSON.

    `time` is in ms; `email` and `client` are empty where the event has none; `host` has written it.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_time", "time", "id"),
        Index("audit_email", "email", "time", "id"),
        Index("audit_event", "event", "time", "id"),
        Index("audit_client", "client", "time", "id"),
        # No number twice: whoever reads on from one misses nothing.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[int]
    event: Mapped[str]
    email: Mapped[str]
    client: Mapped[str]
    host: Mapped[str]
    details: Mapped[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log.

    :param id: its number; a later entry has a greater one.
    :param time: ms.
    :param event: a word of `Event`, or of another release.
    :param email: whose account it is about, empty if none's.
    :param client: IP address of who caused it, empty if that was no client.
    :param host: that has written it.
    :param details: what else it is about.
    """

    id: int
    time: int
    event: str
    email: str
    client: str
    host: str
    details: dict[str, Any]

    def members(self) -> dict[str, Any]:
        """It, as an object of JSON; the time is UTC."""
        named = {"email": self.email, "client": self.client}
        about = {name: value for name, value in named.items() if value} | self.details
        head = {"id": self.id, "time": _in_utc(self.time), "event": self.event}
        return head | about | {"host": self.host}


@dataclass(frozen=True, slots=True)
class Question:
    """What entries somebody looks for: those for which all of it is true that is given.

    :param event: a word of `Event`.
    :param email: of the account, in lower case.
    :param client: IP address.
    :param since: ms, the first that counts.
    :param until: ms, the first that does not.
    :param text: which is in the address or in the details, in upper or lower case.
    """

    event: str = ""
    email: str = ""
    client: str = ""
    since: int | None = None
    until: int | None = None
    text: str = ""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What is true of a row that is looked for."""
        given = [
            (column, wanted)
            for column, wanted in (
                (AuditRow.email, self.email),
                (AuditRow.client, self.client),
                (AuditRow.event, self.event),
            )
            if wanted
        ]
        # By the index of the first, which has the fewest entries. The others are written so that
        # no index is taken for them: nearly all entries may be of one event.
        for number, (column, wanted) in enumerate(given):
            yield (column + "" if number else column) == wanted
        if self.since is not None:
            yield AuditRow.time >= self.since
        if self.until is not None:
            yield AuditRow.time < self.until
        if self.text:
            columns = (AuditRow.email, AuditRow.details)
            yield or_(*(column.icontains(self.text, autoescape=True) for column in columns))


@dataclass(frozen=True, slots=True)
class Retention:
    """What the database keeps of the log. The files are the administrator's to keep.

    :param life: ms for which an entry is kept.
    :param entries: how many are.
    """

    life: int = LIFE_MS
    entries: int = MOST_ENTRIES


class AuditLog:
    """Writes and finds entries. Safe for threads and processes.

    :param database: where they can be found.
    :param file: of this host, which they are written to as well.
    :param retention: what the database keeps.
    """

    def __init__(
        self, database: Database, file: AuditFile, retention: Retention | None = None
    ) -> None:
        self._database = database
        self._file = file
        self._retention = retention or Retention()
        self._host = socket.gethostname()
        self._behalf = _Behalf()
        self.listener: Callable[[Event], object] = _nobody
        """Told of each event that was written."""

    @contextmanager
    def by(self, who: str) -> Iterator[None]:
        """Say in all that this thread writes in the block who has done it.

        :param who: an administrator's address, or who has run a command.
        """
        before, self._behalf.who = self._behalf.who, who
        try:
            yield
        finally:
            self._behalf.who = before

    def write(self, event: Event, now: int, **details: str | int) -> None:
        """Write an entry, in the transaction that the thread is in, or in one of its own.

        :param now: ms.
        :param details: what the event is about.
        :raises StoreError: cache-error: it was not written. What it was to record must not take
            place then.
        """
        if self._behalf.who:
            details.setdefault("by", self._behalf.who)
        members = {"time": _in_utc(now), "event": event.value} | details
        with self._database.joining() as session:
            row = self._row(event, now, details)
            session.add(row)
            session.flush()
            if row.id % _PURGED_EACH == 0:
                self._purge(session, row.id, now)
            # Last: what was written to it cannot be taken back.
            self._file.append(strict_json.dumps(members))
        self.listener(event)

    def _row(self, event: Event, now: int, details: dict[str, str | int]) -> AuditRow:
        rest = dict(details)
        email, client = str(rest.pop("email", "")), str(rest.pop("client", ""))
        return AuditRow(
            time=now,
            event=event.value,
            email=email,
            client=client,
            host=self._host,
            details=strict_json.dumps(rest).decode(),
        )

    def _purge(self, session: Session, newest: int, now: int) -> None:
        for too_old in (
            AuditRow.id <= newest - self._retention.entries,
            AuditRow.time <= now - self._retention.life,
        ):
            oldest = select(AuditRow.id).where(too_old).order_by(AuditRow.id)
            gone = oldest.limit(_PURGED_AT_ONCE)
            session.execute(delete(AuditRow).where(AuditRow.id.in_(gone)))

    def search(
        self, question: Question, most: int, *, before: tuple[int, int] | None = None
    ) -> list[Entry]:
        """The newest entries that somebody looks for, the newest first.

        :param most: how many.
        :param before: time (ms) and number of the last entry of a page before: only those that
            come after it there.
        :raises StoreError: cache-error.
        """
        wanted = select(AuditRow).where(*question.conditions())
        if before is not None:
            time, number = before
            same = and_(AuditRow.time == time, AuditRow.id < number)
            wanted = wanted.where(AuditRow.time <= time, or_(AuditRow.time < time, same))
        newest = (AuditRow.time.desc(), AuditRow.id.desc())
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(*newest).limit(most))
            return [_entry(row) for row in rows]


class _Behalf(threading.local):
    """On whose behalf a thread works, empty for nobody's."""

    who = ""


def _entry(row: AuditRow) -> Entry:
    details = strict_json.parse_object(row.details.encode(), "an entry of the audit log")
    return Entry(row.id, row.time, row.event, row.email, row.client, row.host, details)


def _in_utc(time: int) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _nobody(_event: Event) -> None:
    pass
