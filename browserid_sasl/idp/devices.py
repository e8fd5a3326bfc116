"""Signing in on another device (RFC 8628): codes that a person types, and polls for what they did.

Anybody may begin: so the requests that wait are limited, in all and for each network, and the more
there are the fewer a network may have. A code is looked for among those of the account that is
signed in only, which may be wrong a few times in a code's life. So whoever guesses, at any rate
and with any number of accounts, hits one with a probability of at most

    TRIES * MOST_WAITING / len(LETTERS) ** LENGTH

within that time: for each account, its tries times its share of what waits.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import Code
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.database import Account, Base, Database
from browserid_sasl.idp.tokens import digest, new_token
from browserid_sasl.idp.wish_columns import WishColumns
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.web.refusal import RefusedError

LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, which make words, and nothing that looks like a digit (RFC 8628 section 6.1)."""

LENGTH: Final = 8
"""Letters of a code."""

LIFE_MS: Final = 600_000
"""For how long a code can be typed."""

INTERVAL_S: Final = 5
"""How long a program waits between polls, and how much longer after each that came too early."""

MOST_WAITING: Final = 2_000
"""Requests that wait at a time."""

MOST_OF_NETWORK: Final = 50
"""Those of one network, as long as less than half of all wait."""

FEWEST_OF_NETWORK: Final = 5
"""Those of one network when more do."""

TRIES: Final = 10
"""Wrong codes of an account in a code's life."""

_GROUP: Final = 4
_IPV6_SITE: Final = 48
_EARLY_MS: Final = 500
"""Ms by which a poll may be early, since networks are not even."""

_WAITING: Final = "waiting"
_APPROVED: Final = "approved"
_DENIED: Final = "denied"
_TAKEN: Final = "taken"


class DeviceRequest(WishColumns, Base):
    """A program that waits for its person.

    `code` and `secret` are digests of the code that is typed and the one that is polled with.
    `begun`, `expires` and `polled` are in ms, `interval` in s. `renewal` is 0 or 1.
    """

    __tablename__ = "devices"
    # No number twice: somebody may be looking at a request that is gone.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(index=True)
    secret: Mapped[str] = mapped_column(unique=True)
    network: Mapped[str] = mapped_column(index=True)
    begun: Mapped[int]
    expires: Mapped[int] = mapped_column(index=True)
    polled: Mapped[int]
    interval: Mapped[int]
    state: Mapped[str]
    renewal: Mapped[int]


class WrongCode(Base):
    """A code that was typed and is none of the account's. `time` is in ms."""

    __tablename__ = "wrong_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    time: Mapped[int] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a program gets when it begins.

    :param device_code: what it polls with, secret.
    :param user_code: what its person types, in groups.
    :param interval: s to wait between polls.
    :param expires_in: s for which both are good.
    """

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    interval: int
    expires_in: int


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A request that a person is asked about.

    :param id: of the request.
    :param wish: what is to be certified, for which machine, and where that is.
    :param begun: ms.
    :param expires: ms.
    :param client: IP address of the browser in which they are.
    """

    id: int
    wish: Wish
    begun: int
    expires: int
    client: str


class Devices:
    """The requests of devices. Safe for threads and processes.

    :param database: where they are kept.
    :param audit: where consents are written down.
    """

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    def begin(self, wish: Wish, now: int) -> DeviceCode:
        """Note that a program waits.

        :param wish: whose address need not be that of an account.
        :param now: ms.
        :raises RefusedError: `too-many-devices`: there are enough, in all or from its network.
        """
        secret, code = new_token(), "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        network = site_of(wish.client)
        row = DeviceRequest(
            code=digest(code),
            secret=digest(secret),
            wish=wish,
            network=network,
            begun=now,
            expires=now + LIFE_MS,
            polled=now,
            interval=INTERVAL_S,
            state=_WAITING,
            renewal=0,
        )
        with self._database.transaction() as session:
            # An expired one is known for as long again, to be told from one that never was.
            session.execute(delete(DeviceRequest).where(DeviceRequest.expires <= now - LIFE_MS))
            _check_room(session, network, now)
            session.add(row)
        shown = "-".join(code[at : at + _GROUP] for at in range(0, LENGTH, _GROUP))
        return DeviceCode(secret, shown, INTERVAL_S, LIFE_MS // 1000)

    def find(self, user_code: str, email: str, client: str, now: int) -> PendingDevice | None:
        """The request that a person means. A code that is none of theirs is counted.

        :param user_code: as they have typed it.
        :param email: the account that is signed in.
        :param client: IP address of their browser.
        :param now: ms.
        :returns: None if there is none of this account.
        :raises RefusedError: `too-many-attempts`, `code-expired`, or `code-used`.
        """
        with self._database.transaction() as session:
            session.execute(delete(WrongCode).where(WrongCode.time <= now - LIFE_MS))
            # Before anything is looked for: the number of looks is what bounds guessing.
            _check_tries(session, email, now)
            query = select(DeviceRequest).where(DeviceRequest.code == digest(normal(user_code)))
            row = session.scalar(query.where(DeviceRequest.email == email))
            if row is None:
                session.add(WrongCode(email=email, time=now))
                session.flush()
                self._audit.write(Event.DEVICE_CODE_WRONG, now, email=email, client=client)
                return None
            pending = PendingDevice(row.id, row.wish, row.begun, row.expires, client)
            _check_waits(row, now)
        return pending

    def approve(self, pending: PendingDevice, renewal: bool, now: int) -> None:
        """Let the program have its certificate.

        :param renewal: whether the person has allowed renewals.
        :param now: ms.
        :raises RefusedError: `code-expired`, or `code-used`: it was decided on before.
        """
        self._decide(pending, _APPROVED, renewal, now, Event.CONSENTED)

    def deny(self, pending: PendingDevice, now: int) -> None:
        """Tell the program that its person does not want it. See `approve`."""
        self._decide(pending, _DENIED, False, now, Event.DEVICE_DENIED)

    def poll(self, device_code: str, now: int) -> Granted:
        """What the person has consented to: once.

        :param now: ms.
        :raises RefusedError: with the words of RFC 8628 section 3.5: `authorization_pending`,
            `slow_down`, `access_denied`, `expired_token`.
        """
        outcome = self._poll(device_code, now)
        if isinstance(outcome, RefusedError):
            raise outcome
        return outcome

    def confirm(self, device_code: str) -> None:
        """See that what `poll` gave still stands, in the transaction that certifies.

        :raises RefusedError: `access_denied`: all that the account had was ended meanwhile.
        """
        taken = select(DeviceRequest.id).where(
            DeviceRequest.secret == digest(device_code), DeviceRequest.state == _TAKEN
        )
        with self._database.reading() as session:
            if session.scalar(taken) is None:
                raise _denied()

    def _poll(self, device_code: str, now: int) -> Granted | RefusedError:
        with self._database.transaction() as session:
            query = select(DeviceRequest).where(DeviceRequest.secret == digest(device_code))
            row = session.scalar(query)
            if row is None or row.expires <= now or row.state == _TAKEN:
                return _refused("expired_token", "the code has expired, or was used: begin anew")
            early = row.polled <= now < row.polled + row.interval * 1000 - _EARLY_MS
            row.polled = now
            if early:
                row.interval += INTERVAL_S
                return _refused("slow_down", f"wait for {row.interval} s between two polls")
            if row.state == _WAITING:
                return _refused("authorization_pending", "the person has not decided yet")
            if row.state == _DENIED:
                return _denied()
            # Approved, and perhaps removed since: an account made anew has approved nothing.
            if not _has_account(session, row):
                return _refused("access_denied", "the account is gone")
            # In the transaction that looked: of two polls at the same time one gets it.
            row.state = _TAKEN
            return Granted(row.wish, bool(row.renewal))

    def _decide(
        self, pending: PendingDevice, state: str, renewal: bool, now: int, event: Event
    ) -> None:
        wish = pending.wish
        details = {**wish.details, "client": pending.client, "device": wish.client}
        with self._database.transaction() as session:
            row = session.get(DeviceRequest, pending.id)
            if row is None:
                raise _expired()
            _check_waits(row, now)
            row.state, row.renewal = state, int(renewal)
            account = session.get(Account, row.email)
            if account is not None:
                # It may have been made since, to approve this, or by a clock that was wrong.
                row.begun = max(row.begun, account.created)
            session.flush()
            self._audit.write(event, now, **details, renewal=renewal)


def end_devices(session: Session, email: str) -> None:
    """Deny what an account has approved, when all that it has ends.

    What waits for somebody goes on to: nobody has consented to it.
    """
    approved = (DeviceRequest.email == email, DeviceRequest.state.in_((_APPROVED, _TAKEN)))
    session.execute(update(DeviceRequest).where(*approved).values(state=_DENIED))


def normal(user_code: str) -> str:
    """A code without what people write between its letters, in upper case."""
    return "".join(letter for letter in user_code.upper() if letter.isalnum())


def site_of(client: str) -> str:
    """What counts as one stranger: an IPv4 address, or the /48 that an IPv6 site has.

    Whoever has one of these has tens of thousands of the networks that hosts choose from.
    """
    address = ip_address(client)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_SITE), strict=False))
    return client


def _has_account(session: Session, row: DeviceRequest) -> bool:
    """Whether the account that approved is still the one with this address."""
    account = session.get(Account, row.email)
    return account is not None and account.created <= row.begun


def _check_room(session: Session, network: str, now: int) -> None:
    count = select(func.count()).select_from(DeviceRequest).where(DeviceRequest.expires > now)
    waiting = session.scalar(count) or 0
    own = session.scalar(count.where(DeviceRequest.network == network)) or 0
    most = MOST_OF_NETWORK if waiting < MOST_WAITING // 2 else FEWEST_OF_NETWORK
    if waiting >= MOST_WAITING or own >= most:
        raise RefusedError(
            429,
            "too-many-devices",
            "too many sign-ins wait for their persons: try again in some minutes",
            Code.INTERACT_UNAVAILABLE,
            retry_after=60,
        )


def _check_tries(session: Session, email: str, now: int) -> None:
    query = select(func.count(), func.min(WrongCode.time)).where(WrongCode.email == email)
    tries, first = session.execute(query).one()
    if tries >= TRIES:
        seconds = max(1, -(-(min(first, now) + LIFE_MS - now) // 1000))
        raise RefusedError(
            429,
            "too-many-attempts",
            f"too many wrong codes: try again in {seconds} s",
            Code.INTERACT_UNAVAILABLE,
            retry_after=seconds,
        )


def _check_waits(row: DeviceRequest, now: int) -> None:
    if row.expires <= now:
        raise _expired()
    if row.state != _WAITING:
        raise RefusedError(
            400, "code-used", "this code was used already: begin anew on the machine"
        )


def _expired() -> RefusedError:
    return RefusedError(400, "code-expired", "this code has expired: begin anew on the machine")


def _denied() -> RefusedError:
    return _refused("access_denied", "the person has refused, or has signed out everywhere since")


def _refused(word: str, message: str) -> RefusedError:
    return RefusedError(400, word, message, Code.INTERACT_REQUIRED)
