"""Signing in by mail: a code that is typed where it was asked for, or a link.

Both are of the browser that has asked. The code is worth nothing in another one: it is kept as a
keyed hash under that browser's secret, so whoever reads the database cannot try all million. The
link shows a page and changes nothing until a button is pressed, since programs follow links in
mail. In the browser that has asked, that button signs in. In any other it signs the browser in that
has asked, and so takes letters that only that one shows: or else people could be talked into
letting in whoever had asked in their name.

A code can be typed wrong a few times, the letters too, and an address gets few mails
(`mail_limits`). Whoever guesses, at any rate, hits the code of an address within a day with a
probability of at most its mails times `TRIES`, in a million.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.devices import LETTERS, normal
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.idp.tokens import MAX_TOKEN, digest, new_token
from browserid_sasl.web.refusal import RefusedError

LIFE_MS: Final = 900_000
"""For how long a code and a link are good."""

TRIES: Final = 5
"""How often a mail's code, or the letters for its link, may be given."""

DIGITS: Final = 6
"""Of a code."""

LETTERS_SHOWN: Final = 4
"""How many letters a browser shows that has asked."""

_WAITING: Final = "waiting"
_APPROVED: Final = "approved"
_USED: Final = "used"


class MailedCode(Base):
    """A mail that somebody may sign in with.

    `browser` and `link` are digests of the secret of the browser that has asked, and of the link's.
    `code` is a hash of the code under the former. `goal` is where that browser goes on. Times are
    in ms.
    """

    __tablename__ = "mailed_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    browser: Mapped[str] = mapped_column(index=True)
    code: Mapped[str]
    link: Mapped[str] = mapped_column(unique=True)
    goal: Mapped[str]
    client: Mapped[str]
    begun: Mapped[int]
    expires: Mapped[int] = mapped_column(index=True)
    tries: Mapped[int]
    state: Mapped[str]


@dataclass(frozen=True, slots=True)
class Mailed:
    """What goes into a mail. Both are secret.

    :param code: to type.
    :param token: of the link.
    """

    code: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody has asked for whose mail it is.

    :param email: as whom to be signed in.
    :param client: IP address of the browser.
    :param begun: ms.
    :param goal: where that browser goes on.
    :param here: whether it is this browser.
    """

    email: str
    client: str
    begun: int
    goal: str
    here: bool


class MailedCodes:
    """The mails that somebody may sign in with. Safe for threads and processes.

    In all methods `browser` is the secret of the browser that a request comes from, `now` in ms.

    :param database: where they are kept.
    :param secret: of the provider.
    :param audit: where what comes of them is written down.
    """

    def __init__(self, database: Database, secret: ServerSecret, audit: AuditLog) -> None:
        self._database = database
        self._secret = secret
        self._audit = audit

    def begin(
        self, email: str, browser: str, goal: str, client: str, now: int, *, sent: bool = True
    ) -> Mailed:
        """What to send to an address.

        :param goal: where the browser goes on.
        :param client: its IP address.
        :param sent: whether it is sent. If not, nothing is right that the browser types, and it is
            answered as if something were: or else who types something wrong would learn it.
        """
        mailed = Mailed(f"{secrets.randbelow(10**DIGITS):0{DIGITS}}", new_token())
        row = MailedCode(
            email=email,
            browser=digest(browser),
            code=_hash(browser, email, mailed.code if sent else new_token()),
            link=digest(mailed.token if sent else new_token()),
            goal=goal,
            client=client,
            begun=now,
            expires=now + LIFE_MS,
            tries=0,
            state=_WAITING,
        )
        with self._database.transaction() as session:
            # One that has expired is known for as long again, to be told from one that never was.
            session.execute(delete(MailedCode).where(MailedCode.expires <= now - LIFE_MS))
            session.add(row)
        return mailed

    def letters(self, browser: str, email: str) -> str:
        """What the browser that asks shows, whether or not a mail was sent."""
        return self._letters(digest(browser), email)

    def type(self, email: str, browser: str, code: str, client: str, now: int) -> Asked:
        """Sign in with the code that somebody has typed, or with what they have done elsewhere.

        :param code: as it was typed; without one, it has to be allowed by the link.
        :raises RefusedError: `mail-code-wrong`, `mail-code-spent`, `mail-not-allowed`.
        """
        typed = "".join(letter for letter in code[:_MAX_TYPED] if letter.isdigit())
        with self._database.transaction() as session:
            rows = _of(session, email, digest(browser), now)
            row = next((each for each in rows if each.state == _APPROVED), None)
            if row is None and typed:
                row = _match(rows, _hash(browser, email, typed))
            if row is not None:
                return _use(session, row)
            if typed and rows:
                self._audit.write(Event.MAIL_CODE_WRONG, now, email=email, client=client)
        if not typed:
            raise RefusedError(
                409, "mail-not-allowed", "the link in the mail was not opened and allowed yet"
            )
        if not rows or all(each.tries >= TRIES for each in rows):
            raise _spent()
        raise RefusedError(422, "mail-code-wrong", "this is not the code in the mail")

    def find(self, token: str, browser: str, now: int) -> Asked:
        """What somebody is asked about who has opened a link. It changes nothing.

        :raises RefusedError: `mail-code-spent`.
        """
        with self._database.reading() as session:
            row = _waiting(session, token, now)
            return _asked(row, digest(browser))

    def use(self, token: str, browser: str, now: int) -> Asked:
        """Sign the browser in that has asked, which is the one in which the link was opened.

        :raises RefusedError: `mail-code-spent`: also where it is another.
        """
        with self._database.transaction() as session:
            row = _waiting(session, token, now)
            if not hmac.compare_digest(row.browser, digest(browser)):
                raise _spent()
            return _use(session, row)

    def allow(self, token: str, letters: str, client: str, now: int) -> bool:
        """Let another browser in, the one that has asked and shows these letters.

        :returns: whether they are right.
        :raises RefusedError: `mail-code-spent`.
        """
        with self._database.transaction() as session:
            row = _waiting(session, token, now)
            # Counted before it is compared: many at the same moment are as many as in turn.
            row.tries += 1
            shown = self._letters(row.browser, row.email)
            right = hmac.compare_digest(shown.encode(), normal(letters[:_MAX_TYPED]).encode())
            if right:
                row.state = _APPROVED
            else:
                self._audit.write(Event.MAIL_CODE_WRONG, now, email=row.email, client=client)
        return right

    def deny(self, token: str, now: int) -> str:
        """End what was asked for in somebody's name; the address. All of it that waits.

        :raises RefusedError: `mail-code-spent`.
        """
        with self._database.transaction() as session:
            email = _waiting(session, token, now).email
            for row in session.scalars(select(MailedCode).where(MailedCode.email == email)):
                row.state = _USED
        return email

    def _letters(self, browser: str, email: str) -> str:
        key = self._secret.key("mail: letters")
        mac = hmac.digest(key, f"{browser} {email}".encode(), hashlib.sha256)
        number, letters = int.from_bytes(mac), ""
        for _ in range(LETTERS_SHOWN):
            number, index = divmod(number, len(LETTERS))
            letters += LETTERS[index]
        return letters


_MAX_TYPED: Final = 64


def _hash(browser: str, email: str, code: str) -> str:
    return hmac.digest(browser.encode(), f"{email} {code}".encode(), hashlib.sha256).hex()


def _of(session: Session, email: str, browser: str, now: int) -> list[MailedCode]:
    """What a browser may still sign in with."""
    query = select(MailedCode).where(MailedCode.email == email, MailedCode.browser == browser)
    return list(session.scalars(query.where(MailedCode.expires > now, MailedCode.state != _USED)))


def _match(rows: list[MailedCode], hashed: str) -> MailedCode | None:
    """The mail whose code it is. Each try counts for all of them."""
    found = None
    for row in rows:
        if row.tries < TRIES:
            row.tries += 1
            if hmac.compare_digest(row.code, hashed):
                found = row
    return found


def _use(session: Session, row: MailedCode) -> Asked:
    # In the transaction that looked: of two at the same time one signs in.
    same = (MailedCode.email == row.email, MailedCode.browser == row.browser)
    for each in session.scalars(select(MailedCode).where(*same)):
        each.state = _USED
    return _asked(row, row.browser)


def _asked(row: MailedCode, browser: str) -> Asked:
    here = hmac.compare_digest(row.browser, browser)
    return Asked(row.email, row.client, row.begun, row.goal, here)


def _waiting(session: Session, token: str, now: int) -> MailedCode:
    query = select(MailedCode).where(MailedCode.link == digest(token[:MAX_TOKEN]))
    row = session.scalar(query)
    if row is None or row.state != _WAITING or row.expires <= now or row.tries >= TRIES:
        raise _spent()
    return row


def _spent() -> RefusedError:
    return RefusedError(
        410,
        "mail-code-spent",
        "this mail is no longer good: it was used, is too old, or was tried too often",
        Code.INTERACT_FAILURE,
    )
