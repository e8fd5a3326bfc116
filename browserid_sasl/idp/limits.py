"""How often a password may be guessed.

Every sign-in counts as failed until it succeeds, so that many at once do not count less than one
after the other. Within a window of time an account, and a client's network, may fail a number of
times; after that each failure doubles the time to wait. A success forgets the account's failures
and no others: somebody with an account of their own gains nothing for guessing at the next one.
Addresses without an account are counted too, or the answers would tell which these are. A browser
in which somebody has signed in before is counted apart: who guesses locks nobody else out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from browserid_sasl.idp.database import Database, Failure
from browserid_sasl.web.clients import network_of

_FIRST_WAIT_MS = 1_000


def _no_record() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Policy:
    """How many failures are permitted.

    :param free: how many cost no wait.
    :param window: ms for which a failure counts, and the longest wait.
    """

    free: int = 5
    window: int = 900_000

    def wait(self, failures: int) -> int:
        """Ms to wait after that many failures."""
        if failures < self.free:
            return 0
        doublings = min(failures - self.free, self.window.bit_length())
        return min(_FIRST_WAIT_MS << doublings, self.window)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whether a sign-in may be tried.

    :param blocked: ms to wait before it may, 0 if it may now.
    :param penalty: ms to wait before the next one if this one fails.
    """

    blocked: int = 0
    penalty: int = 0


class SignInLimits:
    """Counts failed sign-ins, across restarts. Safe for threads and processes.

    :param database: where they are kept.
    :param policy: for an account, and for a network, each.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    def begin(self, email: str, client: str, now: int, known: str = "") -> Attempt:
        """Count a sign-in that is about to be tried, if it may be.

        :param email: the account's address, whether or not there is one.
        :param client: the client's IP address.
        :param now: ms.
        :param known: name of a browser in which this address has been signed in to before.
        """
        email, network = _counted(email, known), known or network_of(client)
        with self._database.transaction() as session:
            session.execute(delete(Failure).where(Failure.time <= now - self._policy.window))
            failures = [
                self._failures(session, Failure.email, email),
                self._failures(session, Failure.network, network),
            ]
            blocked = max(self._blocked(count, last, now) for count, last in failures)
            if blocked:
                return Attempt(blocked=blocked)
            session.add(Failure(email=email, network=network, time=now))
            return Attempt(penalty=max(self._policy.wait(count + 1) for count, _ in failures))

    def succeeded(
        self, email: str, known: str = "", record: Callable[[], object] = _no_record
    ) -> None:
        """Forget the account's failures, or those in one browser.

        :param record: writes down that somebody is signed in; if it raises, nothing is forgotten.
        """
        with self._database.transaction() as session:
            session.execute(delete(Failure).where(Failure.email == _counted(email, known)))
            record()

    def _failures(
        self, session: Session, column: InstrumentedAttribute[str], value: str
    ) -> tuple[int, int]:
        query = select(func.count(), func.max(Failure.time)).where(column == value)
        count, last = session.execute(query).one()
        return count, last or 0

    def _blocked(self, count: int, last: int, now: int) -> int:
        wait = self._policy.wait(count)
        # After the clock was set back `last` is in the future.
        return max(0, min(last, now) + wait - now)


def _counted(email: str, known: str) -> str:
    """What failures are counted for. No address has a space in it."""
    return f"{email} {known}" if known else email
