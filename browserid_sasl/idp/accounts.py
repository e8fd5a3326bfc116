"""The people of a domain, and their passwords.

An account need not have a password: whoever has a passkey needs none.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.identity.addresses import (
    MAX_ADDRESS,
    in_lower_case,
    is_domain,
    is_dot_string,
    without_needless_quotes,
)
from browserid_sasl.idp.database import Account, Database
from browserid_sasl.idp.passwords import NO_PASSWORD, Cost, StandIns

MAX_PASSWORD: Final = 1024
"""Characters of a password at the most."""

_MAX_LOCAL_PART: Final = 64

_MOST_HASHED: Final = max(1, min(4, os.cpu_count() or 1))
"""Passwords at a time: each takes a processor, and the memory that its hash costs."""

_HASHING: Final = threading.BoundedSemaphore(_MOST_HASHED)
"""Of all domains of a process together, or many domains would take that many times the memory.

Who floods one of them is never before anybody of another by more passwords than one domain has
threads for (`app`, `web.site`).
"""


def _no_record() -> None:
    pass


class Accounts:
    """The accounts of one domain, or of a fallback provider. Safe for threads.

    :param database: where they are kept.
    :param domain: whose addresses they have.
    :param everywhere: whether they may have those of other domains, too.
    :param hasher: makes and checks password hashes.
    """

    def __init__(
        self,
        database: Database,
        domain: str,
        *,
        everywhere: bool = False,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._database = database
        self._domain = domain
        self._everywhere = everywhere
        self._hasher = hasher or Cost().hasher()
        self._stand_ins = StandIns(database, self._hasher)

    def address(self, text: str) -> str:
        """The address in the form in which accounts have it: in lower case, without quotes.

        :raises LocalProtocolError: invalid-parameter: no account can have this address.
        """
        address = without_needless_quotes(in_lower_case(text))
        local, _, domain = address.rpartition("@")
        if self._everywhere:
            _check_public(text, domain)
        elif domain != self._domain:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{text[:MAX_ADDRESS]!r} is not an address of {self._domain}",
                f"write it as name@{self._domain}",
            )
        if len(local) > _MAX_LOCAL_PART or not is_dot_string(local):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{text[:MAX_ADDRESS]!r} is not a valid e-mail address",
                "letters, digits and .!#$%&'*+/=?^_`{|}~- may stand before the @",
            )
        return address

    def add(
        self, address: str, password: str, now: int, record: Callable[[], object] = _no_record
    ) -> bool:
        """Make an account.

        :param now: ms.
        :param record: writes down that it is made; if it raises, none is.
        :returns: False, and nothing changed, if there is one with this address.
        :raises LocalProtocolError: invalid-parameter: address or password cannot be used.
        """
        email = self.address(address)
        return self._add(email, self.hash(password), now, record)

    def add_without_password(
        self, address: str, now: int, record: Callable[[], object] = _no_record
    ) -> bool:
        """Make an account that nobody can sign in to until it has some means for that.

        Otherwise like `add`.
        """
        return self._add(self.address(address), NO_PASSWORD, now, record)

    def _add(self, email: str, hashed: str, now: int, record: Callable[[], object]) -> bool:
        with self._database.transaction() as session:
            if session.get(Account, email) is not None:
                return False
            session.add(Account(email=email, password=hashed, created=now, changed=now))
            session.flush()
            record()
            return True

    def set_password(
        self, address: str, password: str, now: int, record: Callable[[], object] = _no_record
    ) -> None:
        """Give an account another password.

        :param now: ms.
        :param record: writes down that it is changed; if it raises, it is not.
        :raises LocalProtocolError: invalid-parameter: no such account, or no usable password.
        """
        email = self.address(address)
        self.set_hash(email, self.hash(password), now, record)

    def hash(self, password: str) -> str:
        """What is kept of a password. It takes a while, and so is no part of a transaction.

        :raises LocalProtocolError: invalid-parameter: it cannot be used.
        """
        octets = _normal(check_password(password))
        with _HASHING:
            return self._hasher.hash(octets)

    def set_hash(
        self, email: str, hashed: str, now: int, record: Callable[[], object] = _no_record
    ) -> None:
        """Give an account the password that `hash` was called with.

        :param email: in lower case.
        :param now: ms.
        :param record: writes down that it is changed; if it raises, it is not.
        :raises LocalProtocolError: invalid-parameter: no such account.
        """
        self._change(email, hashed, now, record)

    def remove_password(
        self, address: str, now: int, record: Callable[[], object] = _no_record
    ) -> None:
        """Leave an account without a password.

        Whether there is another means to sign in is for the caller to know.

        :param now: ms.
        :param record: writes down that it is changed; if it raises, it is not.
        :raises LocalProtocolError: invalid-parameter: no such account.
        """
        self._change(self.address(address), NO_PASSWORD, now, record)

    def _change(self, email: str, hashed: str, now: int, record: Callable[[], object]) -> None:
        with self._database.transaction() as session:
            account = session.get(Account, email)
            if account is None:
                raise LocalProtocolError(
                    Code.INVALID_PARAMETER,
                    f"there is no account {email}",
                    f"make one with `browserid-idp add-user {email}`",
                )
            account.password = hashed
            account.changed = now
            session.flush()
            record()

    def remove(self, address: str, record: Callable[[], object] = _no_record) -> bool:
        """Remove an account; whether there was one.

        :param record: writes down that it is removed; if it raises, it is not.
        """
        email = self.address(address)
        with self._database.transaction() as session:
            account = session.get(Account, email)
            if account is None:
                return False
            session.delete(account)
            session.flush()
            record()
            return True

    def all(self) -> list[Account]:
        """Every account, in the order of their addresses."""
        with self._database.reading() as session:
            return list(session.scalars(select(Account).order_by(Account.email)))

    def exists(self, address: str) -> bool:
        """Whether there is an account.

        :param address: in lower case.
        """
        with self._database.reading() as session:
            return session.get(Account, address) is not None

    def existing(self, addresses: Sequence[str]) -> set[str]:
        """Those of some addresses that have an account.

        :param addresses: in lower case.
        """
        with self._database.reading() as session:
            found = select(Account.email).where(Account.email.in_(addresses))
            return set(session.scalars(found))

    def has_password(self, address: str) -> bool:
        """Whether there is an account, and it has a password.

        :param address: in lower case.
        """
        with self._database.reading() as session:
            account = session.get(Account, address)
        return account is not None and account.password != NO_PASSWORD

    def verify(self, address: str, password: str, now: int) -> bool:
        """Whether the account exists and this is its password.

        It takes the same time in any case. A hash made with other parameters than are used today
        is replaced.

        :param address: in lower case.
        :param now: ms.
        """
        with self._database.reading() as session:
            account = session.get(Account, address)
        # Whoever has a password has it looked for, too.
        instead = self._stand_ins.hash(address, now)
        hashed = (account.password if account else NO_PASSWORD) or instead
        try:
            with _HASHING:
                self._hasher.verify(hashed, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        if account is None:
            return False
        if self._hasher.check_needs_rehash(hashed):
            self._rehash(address, hashed, password, now)
        return True

    def _rehash(self, email: str, old: str, password: str, now: int) -> None:
        new = self.hash(password)
        with self._database.transaction() as session:
            account = session.get(Account, email)
            # It may have got another password since it was verified.
            if account is not None and account.password == old:
                account.password = new
                account.changed = now


def _check_public(text: str, domain: str) -> None:
    # In ASCII alone: a name in other letters may look like one that it is not.
    if not is_domain(domain) or domain.endswith(".localhost"):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{text[:MAX_ADDRESS]!a} is not an e-mail address of a public domain",
            "write it as name@example.org; a domain in other letters as xn--...",
        )


def check_password(password: str) -> str:
    """The password itself, if it can be one.

    :raises LocalProtocolError: invalid-parameter.
    """
    if not 0 < len(password) <= MAX_PASSWORD or not _is_text(password):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            "the password cannot be used",
            f"it has to have 1 to {MAX_PASSWORD} characters",
        )
    return password


def _is_text(password: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in password)


def _normal(password: str) -> bytes:
    # One and the same password is typed as different code points on different keyboards.
    return unicodedata.normalize("NFC", password).encode("utf-8")
