"""Accounts for many people at once, out of a file or of a directory.

They are made in portions, each in one transaction: people sign in meanwhile. So an import that is
broken off has done the portions before; done again, it goes on with the rest, since what is there
already stays as it is.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from browserid_sasl.errors import Code, StoreError
from browserid_sasl.idp.administration import Actor, Administration
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.backends import Denial, Roll, Vouched
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.people_file import Listed
from browserid_sasl.private_files import PRIVATE_FILE

_AT_ONCE: Final = 100
"""People in a transaction: less than others wait for one."""

_FORMULAS: Final = ("=", "+", "-", "@")
"""What spreadsheets take for the beginning of one."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_T = TypeVar("_T")


@dataclass(slots=True)
class Outcome:
    """What an import does, or would do.

    :param added: accounts that are made.
    :param existing: addresses that have one, which stays as it is.
    :param invited: how many of the new ones are invited.
    :param left_out: addresses that get none, and why.
    :param gone: those of accounts whose people the directory does not have any more, or would not
        let in.
    :param complete: whether the directory can have said all; else nobody is said to be gone.
    """

    added: int = 0
    existing: int = 0
    invited: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    complete: bool = True


class InvitationList:
    """Invitations in a file, a line for each: an address and a link.

    :param file: which nobody else may read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(b"address,link\r\n")
        self.is_empty = True

    def put(self, email: str, link: str) -> None:
        """Add one."""
        self.is_empty = False
        self._file.write(f"{_harmless(email)},{link}\r\n".encode())

    def flush(self) -> None:
        """Have them in the file. What an invitation is lost with can be invited again."""
        self._file.flush()


def _harmless(email: str) -> str:
    """An address as nothing that a spreadsheet calculates, and as nobody else's for a mail."""
    return f"<{email}>" if email.startswith(_FORMULAS) else email


@contextmanager
def new_invitation_list(path: Path | None, *, dry: bool) -> Iterator[InvitationList | None]:
    """A list in a file of its own, for its owner only, which goes again if nobody is in it.

    :param path: of the file, None for no list.
    :param dry: there is to be a list, and no file.
    :raises StoreError: cache-error: there is something of this name, or it cannot be made.
    """
    if path is None:
        yield None
        return
    with io.BytesIO() if dry else _new_private(path) as file:
        invitations = InvitationList(file)
        try:
            yield invitations
        finally:
            if invitations.is_empty and not dry:
                # Whose folder it is may have been somebody else's than the provider's.
                with suppress(OSError):
                    path.unlink()


def _new_private(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, _NEW, PRIVATE_FILE), "wb")
    except OSError as error:
        raise StoreError(
            Code.CACHE_ERROR,
            f"{path} cannot be made ({error.strerror})",
            "name a file that is not there yet",
        ) from None


class PeopleImport:
    """Makes accounts.

    :param provider: that they are made at.
    :param actor: who has them made.
    :param dry: whether none is made, and it is only counted.
    """

    def __init__(self, provider: Provider, actor: Actor, *, dry: bool) -> None:
        self._provider = provider
        self._administration = Administration(provider, actor)
        self._actor = actor
        self._dry = dry

    def from_file(
        self, people: Sequence[Listed], invitations: InvitationList | None, now: int
    ) -> Outcome:
        """Make accounts for the people of a file, without anything to sign in with.

        :param invitations: gets links for those who are new and to be invited.
        :param now: ms.
        :raises StoreError: cache-error: the rest could not be made.
        """
        outcome = Outcome()
        for portion in _portions(people):
            with self._portion():
                there = self._provider.accounts.existing([each.email for each in portion])
                outcome.existing += len(there)
                for each in portion:
                    if each.email not in there:
                        self._add(each, invitations, outcome, now)
                # Before the end of the transaction: no invitation that counts is in no file.
                if invitations:
                    invitations.flush()
        return outcome

    def from_directory(self, backend: str, roll: Roll, now: int) -> Outcome:
        """Make accounts for the people of a directory, who sign in by it.

        :param backend: its name.
        :param now: ms.
        :raises StoreError: cache-error: the rest could not be made.
        """
        outside = self._provider.outside
        known = outside.known_by(backend)
        # Nobody at all, or some that are elsewhere: that does not say that others are gone.
        outcome = Outcome(
            left_out=dict(roll.left_out), complete=roll.complete and bool(roll.people)
        )
        for portion in _portions(roll.people):
            with self._portion():
                for each in portion:
                    self._introduce(backend, each, outcome, now)
        if outcome.complete:
            there = {each.email for each in roll.people} | roll.further
            outcome.gone = sorted(known - there)
        return outcome

    def _introduce(self, backend: str, vouched: Vouched, outcome: Outcome, now: int) -> None:
        outside = self._provider.outside
        done = outside.introduce(backend, vouched, now, dry=self._dry)
        if isinstance(done, Denial):
            outcome.left_out[vouched.email] = done.value
        elif done:
            outcome.added += 1
        else:
            outcome.existing += 1

    def _add(
        self, listed: Listed, invitations: InvitationList | None, outcome: Outcome, now: int
    ) -> None:
        outcome.added += 1
        inviting = listed.invite and invitations is not None
        outcome.invited += inviting
        if self._dry:
            return
        self._provider.accounts.add_without_password(
            listed.email,
            now,
            lambda: self._provider.audit.write(Event.ACCOUNT_ADDED, now, email=listed.email),
        )
        if inviting and invitations:
            invitations.put(listed.email, self._administration.invite(listed.email, now))

    @contextmanager
    def _portion(self) -> Iterator[None]:
        provider = self._provider
        if self._dry:
            yield
            return
        with provider.audit.by(self._actor.name), provider.database.transaction():
            yield


def _portions(those: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    rest = iter(those)
    while portion := tuple(itertools.islice(rest, _AT_ONCE)):
        yield portion
