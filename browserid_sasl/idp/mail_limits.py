"""How much mail a fallback provider sends: to an address, for a network, and in all.

Anybody may ask for a mail to anybody, so what is limited is what somebody else has of it. To an
address goes one a minute, five an hour and ten a day; those that are asked for in a browser in
which it has signed in before are counted apart, so that nobody can use them up for its owner. What
is behind a plus in an address makes it no other one here, since it ends in the same mailbox. What
an address is spared is told to nobody: it would say what others have asked for. Addresses that do
not want any more mail, and those that cannot get any, are left alone.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.devices import site_of
from browserid_sasl.idp.tokens import MAX_TOKEN, digest
from browserid_sasl.web.refusal import RefusedError

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

OF_ADDRESS: Final = ((MINUTE_MS, 1), (HOUR_MS, 5), (DAY_MS, 10))
"""To an address, at the most: ms, and mails within them."""

OF_NETWORK: Final = 20
"""What a network may ask for within an hour, whether or not a mail comes of it."""

NOT_ME_MS: Final = 180 * DAY_MS
"""For how long an address gets no mail whose owner has not asked for one."""

BOUNCED_MS: Final = 7 * DAY_MS
"""For how long one gets none that could not be delivered to."""

_KEPT_MS: Final = 7 * DAY_MS
"""For how long a mail may come back."""


class SentMail(Base):
    """A mail that was asked for.

    `counted` is the address, with the browser's name where it is known there. `sent` is 1 if the
    mail was to be sent, `bounce` the digest of what it comes back with. `time` is in ms.
    """

    __tablename__ = "sent_mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    counted: Mapped[str] = mapped_column(index=True)
    network: Mapped[str] = mapped_column(index=True)
    bounce: Mapped[str] = mapped_column(unique=True)
    sent: Mapped[int]
    time: Mapped[int] = mapped_column(index=True)


class MailBlock(Base):
    """An address that gets no mail until a moment (ms). `reason` is an event's word."""

    __tablename__ = "mail_blocks"

    email: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    until: Mapped[int]


class MailLimits:
    """Counts mails, across hosts and restarts. Safe for threads and processes.

    :param database: where they are kept.
    :param audit: where it is written down who gets none any more.
    :param per_hour: mails that are sent within an hour, in all.
    """

    def __init__(self, database: Database, audit: AuditLog, per_hour: int) -> None:
        self._database = database
        self._audit = audit
        self._per_hour = per_hour

    def ask(self, email: str, client: str, now: int, known: str = "") -> str | None:
        """Count a mail that somebody asks for.

        :param email: whom it would go to.
        :param client: IP address of who asks.
        :param now: ms.
        :param known: name of a browser in which this address has been signed in to before.
        :returns: what it is to come back with if it cannot be delivered, a secret; None if it is
            not to be sent, which nobody may be told.
        :raises RefusedError: `too-many-mails`: the network has asked for enough, or all have.
        """
        token = secrets.token_hex(_OCTETS)
        mailbox, network = mailbox_of(email), site_of(client)
        counted = f"{mailbox} {known}" if known else mailbox
        with self._database.transaction() as session:
            session.execute(delete(SentMail).where(SentMail.time <= now - _KEPT_MS))
            session.execute(delete(MailBlock).where(MailBlock.until <= now))
            _check(session, SentMail.network == network, OF_NETWORK, now)
            _check(session, SentMail.sent == 1, self._per_hour, now)
            blocked = any(session.get(MailBlock, each) for each in {email, mailbox})
            sent = not blocked and _spares(session, counted, now)
            row = SentMail(email=email, counted=counted, network=network, time=now)
            row.bounce, row.sent = digest(token), int(sent)
            session.add(row)
            return token if sent else None

    def not_me(self, email: str, client: str, now: int) -> None:
        """Send an address no mail any more, for a long while: its owner has not asked for any."""
        self._block(mailbox_of(email), Event.MAIL_UNWANTED, now, now + NOT_ME_MS, client=client)

    def bounced(self, token: str, now: int) -> str | None:
        """Send no more mail where one could not be delivered, for some days.

        :param token: what it has come back with.
        :returns: the address, None if no mail was sent with that.
        """
        query = select(SentMail.email).where(SentMail.sent == 1)
        with self._database.transaction() as session:
            found = query.where(SentMail.bounce == digest(token[:MAX_TOKEN].lower()))
            email = session.scalar(found)
            block = session.get(MailBlock, email) if email else None
            if email is not None and (block is None or block.until < now + BOUNCED_MS):
                self._block(email, Event.MAIL_BOUNCED, now, now + BOUNCED_MS)
        return email

    def allow(self, email: str, by: str, now: int) -> bool:
        """Send an address mail again; whether it was blocked."""
        with self._database.transaction() as session:
            asked = (session.get(MailBlock, each) for each in {email, mailbox_of(email)})
            blocks = [block for block in asked if block is not None and block.until > now]
            if not blocks:
                return False
            for block in blocks:
                session.delete(block)
            session.flush()
            self._audit.write(Event.MAIL_ALLOWED, now, email=email, by=by)
            return True

    def _block(self, email: str, event: Event, now: int, until: int, **details: str) -> None:
        with self._database.transaction() as session:
            session.merge(MailBlock(email=email, reason=event.value, until=until))
            session.flush()
            self._audit.write(event, now, email=email, until=until, **details)


def mailbox_of(email: str) -> str:
    """An address without what is behind a plus, which most domains deliver to the same mailbox.

    Where it is another person's, the two share what they may be sent.
    """
    local, _, domain = email.rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


_OCTETS: Final = 16
"""Of what a mail comes back with. It is part of an address, in which case may be lost."""


def _check(session: Session, which: ColumnElement[bool], most: int, now: int) -> None:
    query = select(func.count(), func.min(SentMail.time)).where(SentMail.time > now - HOUR_MS)
    count, first = session.execute(query.where(which)).one()
    if count >= most:
        raise RefusedError(
            429,
            "too-many-mails",
            "too many mails were asked for: try again later",
            Code.INTERACT_UNAVAILABLE,
            retry_after=max(1, -(-(min(first, now) + HOUR_MS - now) // 1000)),
        )


def _spares(session: Session, counted: str, now: int) -> bool:
    """Whether an address has had less than it may get."""
    query = select(func.count()).where(SentMail.counted == counted, SentMail.sent == 1)
    return all(
        (session.scalar(query.where(SentMail.time > now - within)) or 0) < most
        for within, most in OF_ADDRESS
    )
