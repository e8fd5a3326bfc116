"""The people of a domain, as an administrator looks at them: many, found page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from browserid_sasl.identity.addresses import MAX_ADDRESS
from browserid_sasl.idp.administrators import AdministratorRow
from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.invitations import Invitation
from browserid_sasl.idp.outside import OutsideIdentity
from browserid_sasl.idp.passkeys import PasskeyRow
from browserid_sasl.idp.passwords import NO_PASSWORD
from browserid_sasl.idp.totp import SecondFactor


@dataclass(frozen=True, slots=True)
class Person:
    """An account, and what can be signed in to it with.

    :param email: its address.
    :param created: ms.
    :param password: whether it has one of the provider's own.
    :param passkeys: how many there are that sign it in.
    :param second_factor: whether a code is asked for after the password.
    :param backend: the name of what vouches for it, empty for nothing but the provider.
    :param invited: whether there is a link with which it can be set up.
    :param administrator: whether it may administrate.
    """

    email: str
    created: int
    password: bool
    passkeys: int
    second_factor: bool
    backend: str
    invited: bool
    administrator: bool

    @property
    def can_sign_in(self) -> bool:
        """Whether there is anything to sign in with."""
        return self.password or self.passkeys > 0 or bool(self.backend)


class People:
    """Finds people. Safe for threads and processes.

    :param database: where they are.
    :param rp_id: what passkeys have to be for.
    """

    def __init__(self, database: Database, rp_id: str) -> None:
        self._database = database
        self._rp_id = rp_id

    def find(self, email: str, now: int) -> Person | None:
        """The account with an address, None if there is none.

        :param now: ms.
        """
        with self._database.reading() as session:
            account = session.get(Account, email)
            return self._persons(session, [account], now)[0] if account else None

    def search(self, text: str, now: int, most: int, *, after: str = "") -> list[Person]:
        """Those whose address has a text in it, in the order of their addresses.

        :param text: in upper or lower case, nothing in it stands for anything else; may be empty.
        :param now: ms.
        :param most: how many.
        :param after: only those that come after this address, the last of a page before.
        """
        if len(text) > MAX_ADDRESS:
            # No address has it in it, and databases take no pattern of any length.
            return []
        wanted = select(Account).where(Account.email > after).order_by(Account.email).limit(most)
        if text:
            # Addresses are in lower case.
            wanted = wanted.where(Account.email.contains(text.lower(), autoescape=True))
        with self._database.reading() as session:
            return self._persons(session, list(session.scalars(wanted)), now)

    def _persons(self, session: Session, accounts: Sequence[Account], now: int) -> list[Person]:
        emails = [account.email for account in accounts]
        passkeys = self._passkeys(session, emails)
        backends = select(OutsideIdentity.email, OutsideIdentity.backend)
        vouching = session.execute(backends.where(OutsideIdentity.email.in_(emails)))
        backend_of = {row.email: row.backend for row in vouching}
        links = select(Invitation.email).where(Invitation.email.in_(emails))
        invited = set(session.scalars(links.where(Invitation.expires > now)))
        with_code = _having(session, SecondFactor.email, emails)
        administrators = _having(session, AdministratorRow.email, emails)
        return [
            Person(
                email=account.email,
                created=account.created,
                password=account.password != NO_PASSWORD,
                passkeys=passkeys.get(account.email, 0),
                second_factor=account.email in with_code,
                backend=backend_of.get(account.email, ""),
                invited=account.email in invited,
                administrator=account.email in administrators,
            )
            for account in accounts
        ]

    def _passkeys(self, session: Session, emails: Sequence[str]) -> dict[str, int]:
        counted = (
            select(PasskeyRow.email, func.count().label("passkeys"))
            .where(PasskeyRow.email.in_(emails), PasskeyRow.rp_id == self._rp_id)
            .group_by(PasskeyRow.email)
        )
        return {row.email: row.passkeys for row in session.execute(counted)}


def _having(
    session: Session, column: InstrumentedAttribute[str], emails: Sequence[str]
) -> set[str]:
    return set(session.scalars(select(column).where(column.in_(emails))))
