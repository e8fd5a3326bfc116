"""Challenges, of WebAuthn and of sign-ins elsewhere, that take no room until they are answered.

A challenge says until when it is good, and is authenticated by a secret of the provider's: so
strangers, who may ask for as many as they like, fill no table. Each is good for one answer. Only an
answer that was asked for here is remembered.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.errors import Code
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.server_secret import ServerSecret
from browserid_sasl.web.refusal import RefusedError

LIFE_MS: Final = 120_000
"""How long an answer may take: a browser gives up after half of it."""

_NONCE: Final = 16
_TIME: Final = 8
_MAC: Final = 32
_SIZE: Final = _NONCE + _TIME + _MAC


class AnsweredChallenge(Base):
    """A challenge that was answered: its nonce, and until when (ms) it would be good."""

    __tablename__ = "answered_challenges"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    expires: Mapped[int] = mapped_column(index=True)


class Challenges:
    """Makes and checks challenges. Safe for threads and processes.

    :param database: where it is kept what was answered.
    :param secret: of the provider.
    """

    def __init__(self, database: Database, secret: ServerSecret) -> None:
        self._database = database
        self._secret = secret

    def make(self, purpose: str, now: int, life: int = LIFE_MS) -> bytes:
        """A challenge.

        :param purpose: what an answer to it is good for, and for whom.
        :param now: ms.
        :param life: ms that an answer may take.
        """
        head = secrets.token_bytes(_NONCE) + (now + life).to_bytes(_TIME, "big")
        return head + self._mac(head, purpose)

    def spend(self, challenge: bytes, purpose: str, now: int) -> None:
        """Take an answer to a challenge, the first and only one.

        :raises RefusedError: it was never made for this purpose, is too old, or has been answered.
        """
        head = challenge[: _NONCE + _TIME]
        mac = challenge[_NONCE + _TIME :]
        # Before the time is read: nothing is believed of what somebody else has made.
        if len(challenge) != _SIZE or not hmac.compare_digest(mac, self._mac(head, purpose)):
            raise _refused("the browser answered a question that was not asked here")
        expires = int.from_bytes(head[_NONCE:], "big")
        if expires <= now:
            raise _refused("that took too long")
        nonce = head[:_NONCE].hex()
        with self._database.transaction() as session:
            session.execute(delete(AnsweredChallenge).where(AnsweredChallenge.expires <= now))
            if session.get(AnsweredChallenge, nonce) is not None:
                raise _refused("this answer was given before")
            session.add(AnsweredChallenge(nonce=nonce, expires=expires))

    def _mac(self, head: bytes, purpose: str) -> bytes:
        return hmac.digest(self._secret.key("challenges"), head + purpose.encode(), hashlib.sha256)


def _refused(why: str) -> RefusedError:
    return RefusedError(400, "stale-challenge", f"{why}: try again", Code.INTERACT_FAILURE)
