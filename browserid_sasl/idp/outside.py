"""People whom a backend vouches for, and not a password of the provider's own.

Each has an account like everybody else, made when the backend first vouches for them, and a row
that says which backend it is and what it calls them. That row decides who is asked about the
address from then on. An address never moves by itself: not from one person of a backend to another
who has got it there, not from one backend to another, and not from an account of the provider's own
to a backend. At a fallback provider the configuration says by domain who vouches: where it says
something else than before, or leaves a choice, an address has one way at a time, and what came of
the one before ends.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import anyio
from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.audit import AuditLog, Event
from browserid_sasl.idp.backends import (
    MOST_AT_ONCE,
    OWN_ACCOUNTS,
    Backend,
    Denial,
    DeniedError,
    Identity,
    KeepingBackend,
    MoreAskedError,
    PasswordBackend,
    RedirectBackend,
    RequestBackend,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.database import Account, Base, Database, account_email
from browserid_sasl.idp.exchanges import Exchanges, Waiting
from browserid_sasl.idp.passwords import NO_PASSWORD
from browserid_sasl.idp.rations import Told
from browserid_sasl.idp.renewals import Renewals
from browserid_sasl.idp.sessions import Sessions
from browserid_sasl.idp.upstream_tokens import UpstreamTokens
from browserid_sasl.web.refusal import RefusedError

_TRY_AGAIN_S: Final = 10
_WRONG_TAKES_S: Final = 1.0
"""More than backends usually take, all together."""

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


class OutsideIdentity(Base):
    """See `Identity`. `claims` is what the backend has said last, as an object of JSON."""

    __tablename__ = "outside_identities"

    email: Mapped[str] = account_email(primary_key=True)
    backend: Mapped[str]
    subject: Mapped[str]
    version: Mapped[str]
    claims: Mapped[str]

    @property
    def identity(self) -> Identity:
        """The row."""
        claims = json.loads(self.claims)
        return Identity(self.email, self.backend, self.subject, self.version, claims)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found out about an account that is to get a certificate.

    :param email: the account's address.
    :param identity: by which it is known outside, None for one of the provider's own.
    :param vouched: what the backend says of it now, likewise.
    """

    email: str
    identity: Identity | None = None
    vouched: Vouched | None = None

    @property
    def claims(self) -> Mapping[str, list[str]]:
        """What the certificate is to say besides the address."""
        return self.vouched.claims if self.vouched else {}


class Backends:
    """Those that are configured, in the order in which they are asked.

    :param order: names, `OWN_ACCOUNTS` among them if these may sign in.
    :param named: all but the own accounts.
    """

    def __init__(
        self, order: Sequence[str] = (OWN_ACCOUNTS,), named: Sequence[Backend] = ()
    ) -> None:
        self.order = tuple(order)
        self._named = {each.name: each for each in named}
        self._logs = {each.name: Told(_logger) for each in named}
        self._rooms = {each.name: threading.BoundedSemaphore(MOST_AT_ONCE) for each in named}

    @property
    def most_at_once(self) -> int:
        """How many questions may be under way: so many threads may be waiting."""
        return MOST_AT_ONCE * len(self._named)

    @property
    def any_outside(self) -> bool:
        """Whether there is one besides the own accounts."""
        return bool(self._named)

    @property
    def redirecting(self) -> Sequence[RedirectBackend]:
        """Those at whose own page people sign in."""
        return [each for each in self._in_order if isinstance(each, RedirectBackend)]

    @property
    def by_request(self) -> Sequence[RequestBackend]:
        """Those that know people by their requests themselves."""
        return [each for each in self._in_order if isinstance(each, RequestBackend)]

    @property
    def take_passwords(self) -> bool:
        """Whether there is one that takes a password here, or the own accounts."""
        return len(self.redirecting) + len(self.by_request) < len(self.order)

    @property
    def _in_order(self) -> Sequence[Backend]:
        return [self._named[name] for name in self.order if name in self._named]

    def redirecting_to(self, name: str) -> RedirectBackend | None:
        """The one of `redirecting` with a name."""
        return next((each for each in self.redirecting if each.name == name), None)

    def authority_of(self, email: str) -> RedirectBackend | None:
        """Who vouches for the addresses of a domain, None if the configuration does not say."""
        domain = domain_of(email)
        return next((each for each in self.redirecting if domain in each.domains), None)

    def may_vouch(self, name: str, email: str) -> bool:
        """Whether a backend, or the own accounts, may say whose an address is."""
        authority = self.authority_of(email)
        if authority is None:
            named = self._named.get(name)
            return not (isinstance(named, RedirectBackend) and named.domains)
        return name == authority.name or (name == OWN_ACCOUNTS and authority.mail_too)

    def keep_in(self, database: Database) -> None:
        """Have a database for what they keep of people."""
        for each in self._in_order:
            if isinstance(each, RedirectBackend | KeepingBackend):
                each.keep_in(database)

    async def hold_back(self, began: float) -> None:
        """Wait with the answer to a wrong password.

        Where several are asked, one after another, it would say by its time who knows the address.

        :param began: when the password was given, by the monotonic clock.
        """
        if self._named:
            await anyio.sleep(max(0.0, began + _WRONG_TAKES_S - time.monotonic()))

    def ask(self, name: str, question: Callable[[Backend], _T]) -> _T:
        """Ask one that is not the own accounts, unless too many wait for it already.

        :raises DeniedError: what it says; or `not-configured`: there is no such backend.
        :raises RefusedError: backend-unavailable.
        """
        try:
            return self.try_out(name, question)
        except UnavailableError as error:
            self._logs[name].tell(logging.ERROR, "backend %s: %s", name, error)
            raise RefusedError(
                503,
                "backend-unavailable",
                "where people's passwords are cannot be asked at the moment: try again in a little"
                " while",
                Code.INTERACT_UNAVAILABLE,
                retry_after=_TRY_AGAIN_S,
            ) from None

    def try_out(self, name: str, question: Callable[[Backend], _T]) -> _T:
        """Ask one as `ask` does, for somebody who wants to know what is wrong with it.

        :raises DeniedError: see `ask`.
        :raises UnavailableError: it cannot be asked, and why.
        """
        if name not in self._named:
            raise DeniedError(Denial.NOT_CONFIGURED)
        with self._room(name):
            return question(self._named[name])

    @contextmanager
    def _room(self, name: str) -> Iterator[None]:
        if not self._rooms[name].acquire(blocking=False):
            raise UnavailableError(f"{MOST_AT_ONCE} questions wait for an answer")
        try:
            yield
        finally:
            self._rooms[name].release()


class Outside:
    """What the provider knows of people by its backends. Safe for threads and processes.

    :param database: where the rows are.
    """

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        accounts: Accounts,
        sessions: Sessions,
        renewals: Renewals,
        backends: Backends,
    ) -> None:
        self._database = database
        self._audit = audit
        self._accounts = accounts
        self._sessions = sessions
        self._renewals = renewals
        self.backends = backends
        backends.keep_in(database)
        self._tokens = UpstreamTokens(database)
        self.exchanges = Exchanges()

    def identity(self, email: str) -> Identity | None:
        """Who vouches for an account; None for one of the provider's own, or none at all."""
        with self._database.reading() as session:
            row = session.get(OutsideIdentity, email)
            return row.identity if row else None

    def verify(
        self, email: str, password: str, client: str, now: int, own: Callable[[], bool]
    ) -> bool:
        """Whether a backend, or the own accounts after them, know this address and password.

        :param email: the address, in lower case.
        :param client: IP address it comes from.
        :param now: ms.
        :param own: asks the own accounts.
        :raises DeniedError: see `PasswordBackend.verify`, and `vouch`.
        :raises MoreAskedError: a backend asks for more. It is not among the exchanges yet.
        :raises RefusedError: backend-unavailable.
        """
        with ExitStack() as unused:
            hiding: MoreAskedError | None = None
            for name in self._asked_about(email):
                try:
                    vouched = self.backends.ask(name, partial(_verify, email, password))
                except MoreAskedError as error:
                    error.backend = name
                    if error.exchange.knows:
                        raise
                    # Somebody else may know the address. If not, it goes on as if it were known.
                    hiding = hiding or error
                    unused.callback(error.exchange.end)
                    continue
                if vouched is not None:
                    self.vouch(name, vouched, client, now, expected=email)
                    return True
            # Also where there is no such account: it takes as long as with one.
            right = self.has_own_accounts and own()
            if hiding is None or right:
                return right
            unused.pop_all()
            raise hiding

    def go_on(self, waiting: Waiting, answers: Sequence[str], client: str, now: int) -> bool:
        """Answer what a backend asks somebody.

        :param waiting: the exchange, which was taken from `exchanges`.
        :param answers: see `Exchange.answer`.
        :param client: IP address of who answers.
        :param now: ms.
        :returns: False if more is asked.
        :raises DeniedError: see `Exchange.answer`, and `vouch`.
        :raises RefusedError: backend-unavailable.
        """
        exchange = waiting.exchange
        try:
            vouched = self.backends.ask(waiting.backend, lambda _: exchange.answer(answers))
        except RefusedError:
            # It may not have been asked at all, as too many were.
            exchange.end()
            raise
        if vouched is not None:
            self.vouch(waiting.backend, vouched, client, now, expected=waiting.email)
        return vouched is not None

    @property
    def has_own_accounts(self) -> bool:
        """Whether accounts of the provider's own may sign in."""
        return OWN_ACCOUNTS in self.backends.order

    def _asked_about(self, email: str) -> Sequence[str]:
        """The backends that get a password to see: of those who are known, one at the most."""
        identity = self.identity(email)
        if identity is not None:
            return (identity.backend,)
        if self._accounts.exists(email):
            return ()
        return [name for name in self.backends.order if name != OWN_ACCOUNTS]

    def vouch(
        self, backend: str, vouched: Vouched, client: str, now: int, *, expected: str = ""
    ) -> str:
        """Take a backend's word for somebody who signs in, whose account is made if there is none.

        If they have another password there than at their last sign-in, what came of that ends.

        :param backend: its name.
        :param client: IP address of who signs in.
        :param now: ms.
        :param expected: the address they have given, if they have.
        :returns: the account's address.
        :raises DeniedError: other-subject, own-account, renamed: the address is not theirs;
            foreign: it is none that the backend may vouch for.
        """
        try:
            email = self._accounts.address(vouched.email)
        except LocalProtocolError:
            raise DeniedError(Denial.FOREIGN) from None
        if not self.backends.may_vouch(backend, email):
            raise DeniedError(Denial.FOREIGN)
        if expected not in ("", email):
            raise DeniedError(Denial.RENAMED)
        with self._database.transaction() as session:
            account, row = session.get(Account, email), session.get(OutsideIdentity, email)
            if account is None:
                self._add(session, email, backend, client, now)
            elif row is None or row.backend != backend:
                self._take_over(session, row, backend, email, client, now)
                row = None
            if row is None:
                row = OutsideIdentity(email=email, backend=backend, subject=vouched.subject)
                row.version = vouched.version
                session.add(row)
            elif row.subject != vouched.subject:
                raise DeniedError(Denial.OTHER_SUBJECT)
            if row.version != vouched.version:
                self._end(email, Denial.PASSWORD_CHANGED, client, now)
            row.version, row.claims = vouched.version, vouched.claims_text
        return email

    def over_at(self, email: str) -> int | None:
        """Ms at which what an account has is over at the latest; None if that is not known."""
        identity = self.identity(email)
        backend = self.backends.redirecting_to(identity.backend) if identity else None
        return backend.over_at(email) if backend else None

    def introduce(self, backend: str, vouched: Vouched, now: int, *, dry: bool) -> Denial | bool:
        """Make the account of somebody who has not signed in yet, for an administrator to see.

        :param backend: what vouches for them.
        :param now: ms.
        :param dry: whether it is only found out what would be done.
        :returns: whether it was made, and is not there already; or why it is not theirs.
        """
        try:
            email = self._accounts.address(vouched.email)
        except LocalProtocolError:
            return Denial.FOREIGN
        with self._database.transaction() as session:
            account, row = session.get(Account, email), session.get(OutsideIdentity, email)
            if row is not None:
                ours = (row.backend, row.subject) == (backend, vouched.subject)
                return Denial.OTHER_SUBJECT if not ours else False
            if account is not None:
                return Denial.OWN_ACCOUNT
            if dry:
                return True
            self._add(session, email, backend, "", now)
            row = OutsideIdentity(email=email, backend=backend, subject=vouched.subject)
            row.version, row.claims = vouched.version, vouched.claims_text
            session.add(row)
            session.flush()
        return True

    def known_by(self, backend: str) -> set[str]:
        """The addresses of those whom a backend has vouched for."""
        wanted = select(OutsideIdentity.email).where(OutsideIdentity.backend == backend)
        with self._database.reading() as session:
            return set(session.scalars(wanted))

    def vouch_by_mail(self, email: str, client: str, now: int) -> None:
        """Take it for shown by a mail whose an address is. What came of another way ends.

        :param email: the address, in lower case.
        :param client: IP address of who signs in.
        :param now: ms.
        :raises DeniedError: other-way: people of its domain sign in elsewhere.
        """
        if not self.backends.may_vouch(OWN_ACCOUNTS, email):
            raise DeniedError(Denial.OTHER_WAY)
        with self._database.transaction() as session:
            row = session.get(OutsideIdentity, email)
            if row is not None:
                self._let_go(session, row, client, now)

    def admit(self, email: str, client: str, now: int) -> None:
        """See that somebody may sign in who has shown something else than a password.

        :raises RefusedError: they may not, or it cannot be found out; see `check`.
        """
        with self._deciding(email, client, now):
            identity = self._identity_of(email)
            if identity is not None:
                vouched = self.backends.ask(identity.backend, lambda each: each.check(identity))
                self.vouch(identity.backend, vouched, client, now, expected=email)

    def check(self, email: str, client: str, now: int) -> Standing:
        """See that an account may get a certificate: its backend is asked whether all still holds.

        If it does not, everything the account's machines and browsers have ends.

        :param client: IP address of who wants it.
        :param now: ms.
        :returns: what was found out.
        :raises RefusedError: no-longer-vouched, or backend-unavailable.
        """
        with self._deciding(email, client, now):
            identity = self._identity_of(email)
            if identity is None:
                return Standing(email)
            vouched = self.backends.ask(identity.backend, lambda each: each.check(identity))
            _compare(identity, vouched)
            return Standing(email, identity, vouched)

    def confirm(self, standing: Standing) -> None:
        """See that it is as `check` has found it, in the transaction that certifies.

        :raises RefusedError: no-longer-vouched: something has ended meanwhile.
        """
        with self._database.transaction() as session:
            row = session.get(OutsideIdentity, standing.email)
            if (row.identity if row else None) != standing.identity:
                raise _no_longer()
            if row is not None and standing.vouched is not None:
                row.claims = standing.vouched.claims_text

    @contextmanager
    def _deciding(self, email: str, client: str, now: int) -> Iterator[None]:
        try:
            yield
        except DeniedError as error:
            # A backend that somebody has left out of the configuration may come back.
            if error.denial is not Denial.NOT_CONFIGURED:
                with self._database.transaction():
                    self._end(email, error.denial, client, now)
            raise _no_longer() from None

    def _identity_of(self, email: str) -> Identity | None:
        identity = self.identity(email)
        if identity is None and not self.has_own_accounts:
            raise DeniedError(Denial.NOT_CONFIGURED)
        if not self.backends.may_vouch(identity.backend if identity else OWN_ACCOUNTS, email):
            raise DeniedError(Denial.OTHER_WAY)
        return identity

    def _take_over(
        self,
        session: Session,
        row: OutsideIdentity | None,
        backend: str,
        email: str,
        client: str,
        now: int,
    ) -> None:
        """Have an account be a backend's that another way has led to.

        :raises DeniedError: the configuration does not say that it is the backend's.
        """
        authority = self.backends.authority_of(email)
        if authority is None or authority.name != backend:
            raise DeniedError(Denial.OTHER_SUBJECT if row else Denial.OWN_ACCOUNT)
        if row is None:
            self._end(email, Denial.OTHER_WAY, client, now)
        else:
            self._let_go(session, row, client, now)

    def _let_go(self, session: Session, row: OutsideIdentity, client: str, now: int) -> None:
        """End what a backend has vouched for, and forget that it has."""
        self._end(row.email, Denial.OTHER_WAY, client, now)
        self._tokens.drop(row.email)
        session.delete(row)
        session.flush()

    def _add(self, session: Session, email: str, backend: str, client: str, now: int) -> None:
        session.add(Account(email=email, password=NO_PASSWORD, created=now, changed=now))
        session.flush()
        whence = {"client": client} if client else {}
        self._audit.write(Event.ACCOUNT_ADDED, now, email=email, **whence, backend=backend)

    def _end(self, email: str, denial: Denial, client: str, now: int) -> None:
        self._audit.write(
            Event.VOUCHING_ENDED, now, email=email, client=client, reason=denial.value
        )
        self._sessions.end_all(email)
        self._renewals.revoke_all(email, now, client=client)


def _no_longer() -> RefusedError:
    return RefusedError(
        401,
        "no-longer-vouched",
        "who vouched for this account does not any more: sign in again, or ask your administrator",
        Code.INTERACT_REQUIRED,
    )


def _verify(email: str, password: str, backend: Backend) -> Vouched | None:
    """What a backend says of a password; nothing if it is one that takes none."""
    return backend.verify(email, password) if isinstance(backend, PasswordBackend) else None


def _compare(identity: Identity, vouched: Vouched) -> None:
    """See that what a backend says is what the account was signed in to by.

    :raises DeniedError: it is not.
    """
    # Whose it is comes first: another person's password says nothing.
    if vouched.subject != identity.subject:
        raise DeniedError(Denial.OTHER_SUBJECT)
    if vouched.email != identity.email:
        raise DeniedError(Denial.RENAMED)
    if vouched.version != identity.version:
        raise DeniedError(Denial.PASSWORD_CHANGED)
