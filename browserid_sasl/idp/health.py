"""Whether the backends would answer at this moment: asked when somebody wants to know.

Each is asked once at a time and not more often than every few seconds, however many look, and takes
one of the places that its sign-ins have. Whoever looks waits for a while and no longer: a question
that takes longer goes on, and is the answer to the next look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import StoreError
from browserid_sasl.idp.backends import (
    OWN_ACCOUNTS,
    Backend,
    DeniedError,
    ProbedBackend,
    UnavailableError,
)
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.outside import Backends

PATIENCE_S: Final = 10.0
"""How long somebody waits for all of them."""

GOOD_FOR_S: Final = 5.0
"""How long an answer is good."""

_MOST_WAITING: Final = 2
"""How many wait at once, each in a thread of the server's: others see what is known."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """How a backend is.

    :param name: in the configuration.
    :param faults: what is wrong, in words that may be a stranger's; none: nothing is.
    :param asked: whether it can be asked at all, and has answered, or failed to.
    """

    name: str
    faults: tuple[str, ...] = ()
    asked: bool = True


class Health:
    """How all backends are. Safe for threads.

    :param backends: those that are configured.
    :param database: where the own accounts are.
    :param patience: s for which one call waits for all of them.
    """

    def __init__(
        self, backends: Backends, database: Database, patience: float = PATIENCE_S
    ) -> None:
        self._backends = backends
        self._database = database
        self._patience = patience
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        named = [name for name in backends.order if name != OWN_ACCOUNTS]
        self._probes = {name: _Probe(backends, name) for name in named}

    def of_all(self) -> list[State]:
        """How each is, in the order in which they are asked about people."""
        waits = self._waiting.acquire(blocking=False)
        try:
            return self._of_all(time.monotonic() + (self._patience if waits else 0))
        finally:
            if waits:
                self._waiting.release()

    def _of_all(self, until: float) -> list[State]:
        for probe in self._probes.values():
            probe.begin()
        return [
            self._own() if name == OWN_ACCOUNTS else self._probes[name].end(until)
            for name in self._backends.order
        ]

    def _own(self) -> State:
        try:
            self._database.check()
        except StoreError as error:
            return State(OWN_ACCOUNTS, (error.message,))
        return State(OWN_ACCOUNTS)


class _Probe:
    """The question to one backend."""

    def __init__(self, backends: Backends, name: str) -> None:
        self._backends = backends
        self._name = name
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._answered = 0.0
        self._state = State(name, asked=False)

    def begin(self) -> None:
        """Ask, unless that is being done, or was done just now."""
        with self._lock:
            if self._done is not None and not self._done.is_set():
                return
            if self._done is not None and time.monotonic() < self._answered + GOOD_FOR_S:
                return
            self._done = threading.Event()
        # It ends by the backend's own limits, and is no reason for the provider to go on.
        thread = threading.Thread(target=self._ask, args=(self._done,), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are too many threads: a later look asks again.
            self._answer(self._done, _failed(self._name))
            _logger.exception("backend %s cannot be asked how it is", self._name)

    def end(self, until: float) -> State:
        """The answer, waited for until a moment of the monotonic clock."""
        done = self._done
        if done is None or not done.wait(max(0.0, until - time.monotonic())):
            return State(self._name, ("it has not answered in time",))
        return self._state

    def _ask(self, done: threading.Event) -> None:
        # Unless it is found out how it is, something is wrong: not what was said the last time.
        state = _failed(self._name)
        try:
            state = self._found_out()
        except Exception:
            _logger.exception("backend %s cannot be asked how it is", self._name)
        finally:
            self._answer(done, state)

    def _found_out(self) -> State:
        try:
            return State(self._name, tuple(self._backends.try_out(self._name, _probe)))
        except _NotProbedError:
            return State(self._name, asked=False)
        except UnavailableError as error:
            return State(self._name, (str(error),))
        except DeniedError as error:
            return State(self._name, (f"it denies what it is asked: {error}",))

    def _answer(self, done: threading.Event, state: State) -> None:
        self._state, self._answered = state, time.monotonic()
        done.set()


def _failed(name: str) -> State:
    return State(name, ("it could not be asked: the provider's log says why",))


class _NotProbedError(Exception):
    """There is nothing to ask: requests bring along what it goes by."""


def _probe(backend: Backend) -> Sequence[str]:
    if not isinstance(backend, ProbedBackend):
        raise _NotProbedError
    return backend.probe()
