"""Sign-ins about which a backend has more questions, while people find the answers.

Each is a process of this host's, so it is here in memory, and whoever answers has to come to the
same process again. Who does not come back in time has to begin anew.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from browserid_sasl.errors import Code
from browserid_sasl.idp.backends import Exchange
from browserid_sasl.web.clients import network_of
from browserid_sasl.web.refusal import RefusedError

PATIENCE_S: Final = 180
"""How long a person has for an answer."""

MOST: Final = 64
MOST_OF_A_NETWORK: Final = 16
"""Exchanges that wait at a time. Nobody's is ended for another's sake."""

_TOKEN_OCTETS: Final = 32
_TRY_AGAIN_S: Final = 30


@dataclass(frozen=True, slots=True)
class Waiting:
    """An exchange that waits for answers.

    :param backend: whose it is.
    :param email: who wants to sign in, in lower case.
    :param exchange: what is asked.
    """

    backend: str
    email: str
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class _Kept:
    waiting: Waiting
    network: str
    timer: threading.Timer


class Exchanges:
    """Keeps them, and ends those to which nobody comes back. Safe for threads.

    :param patience: s that a person has for an answer.
    """

    def __init__(self, patience: float = PATIENCE_S) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def keep(self, waiting: Waiting, client: str) -> str:
        """Have an exchange wait.

        :param client: IP address of who signs in.
        :returns: what the browser takes it up by, once: secret.
        :raises RefusedError: too-many-exchanges. It is ended.
        """
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        network = network_of(client)
        timer = threading.Timer(self._patience, self._end, [_name(token)])
        timer.daemon = True
        with self._lock:
            full = self._is_full(network)
            if not full:
                self._kept[_name(token)] = _Kept(waiting, network, timer)
        if full:
            waiting.exchange.end()
            raise _too_many()
        timer.start()
        return token

    def find(self, token: str) -> Waiting | None:
        """The exchange, which goes on to wait; None if it is not here, or not any more."""
        with self._lock:
            kept = self._kept.get(_name(token))
        return kept.waiting if kept else None

    def take(self, token: str) -> Waiting | None:
        """The exchange, which nobody else gets from now on; None as with `find`."""
        with self._lock:
            kept = self._kept.pop(_name(token), None)
        if kept is None:
            return None
        kept.timer.cancel()
        return kept.waiting

    def _end(self, name: str) -> None:
        with self._lock:
            kept = self._kept.pop(name, None)
        if kept is not None:
            kept.timer.cancel()
            kept.waiting.exchange.end()

    def _is_full(self, network: str) -> bool:
        kept = self._kept.values()
        return len(kept) >= MOST or (
            sum(each.network == network for each in kept) >= MOST_OF_A_NETWORK
        )


def _name(token: str) -> str:
    """What it is found by: how far a guess is right is not to be seen by the time."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _too_many() -> RefusedError:
    return RefusedError(
        429,
        "too-many-exchanges",
        f"too many sign-ins wait for an answer: try again in {_TRY_AGAIN_S} s",
        Code.INTERACT_UNAVAILABLE,
        retry_after=_TRY_AGAIN_S,
    )
