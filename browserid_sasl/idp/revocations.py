"""The list of keys whose certificates and tickets are not to be taken any more.

Servers that look fetch it once a minute (PROTOCOL.md section 8). An entry leaves by itself when
nothing of its key can be in force any more.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from browserid_sasl.errors import Code, StoreError, UnavailableStoreError
from browserid_sasl.identity.revocations import MAX_REVOKED
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.signing_keys import SigningKeys
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey

MEDIA_TYPE: Final = "application/jwt"

DOCUMENT_LIFE_MS: Final = 300_000
"""For how long a list may be believed."""

_REMADE_MS: Final = 60_000


class Revocation(Base):
    """A key that was revoked.

    `key` is its RFC 7638 thumbprint in base64url, `until` (ms) when nothing of it is in force.
    """

    __tablename__ = "revocations"
    # No number twice: by the newest one it is seen that the list has changed.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    until: Mapped[int] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The list as it is published.

    :param text: the signed token.
    :param version: another one for each list that says something else, and for each minute.
    :param expires: ms until which it may be believed.
    """

    text: str
    version: str
    expires: int


class Revocations:
    """The keys that were revoked. Safe for threads and processes.

    :param database: where they are kept.
    :param issuer: the domain whose list it is.
    :param keys: what signs it.
    """

    def __init__(self, database: Database, issuer: str, keys: SigningKeys) -> None:
        self._database = database
        self._issuer = issuer
        self._keys = keys
        self._lock = threading.Lock()
        self._made: RevocationList | None = None

    def document(self, now: int) -> str:
        """The list, signed.

        :param now: ms.
        :raises StoreError: cache-error: there is more on it than anybody would read.
        """
        return self.published(now).text

    def published(self, now: int) -> RevocationList:
        """The list and its version, made when what it says has changed, and once a minute.

        Where the database is away it is the last one, until that may not be believed any more.

        :param now: ms.
        :raises StoreError: cache-error: there is more on it than anybody would read, or the
            database is away for longer.
        """
        try:
            return self._current(now)
        except UnavailableStoreError:
            last = self._made
            if last is None or not last.expires - DOCUMENT_LIFE_MS <= now < last.expires:
                raise
            return last

    def _current(self, now: int) -> RevocationList:
        key = self._keys.active(now)
        with self._lock:
            version = f"{key.name}-{now // _REMADE_MS}-{self._newest()}"
            if self._made is None or self._made.version != version:
                text = self._make(key.private_key, now)
                self._made = RevocationList(text, version, now + DOCUMENT_LIFE_MS)
            return self._made

    def _newest(self) -> int:
        """The number of the newest entry: whoever asks costs no more than that."""
        with self._database.reading() as session:
            return session.scalar(select(func.max(Revocation.id))) or 0

    def _make(self, key: PrivateKey, now: int) -> str:
        query = select(Revocation.key).where(Revocation.until > now).order_by(Revocation.id)
        with self._database.reading() as session:
            revoked = list(session.scalars(query))
        if len(revoked) > MAX_REVOKED:
            raise StoreError(
                Code.CACHE_ERROR,
                f"there are {len(revoked)} revoked keys, and a list has at most {MAX_REVOKED}",
                "make all certificates void with `browserid-idp rotate-key --withdraw-old`",
            )
        claims = {"iss": self._issuer, "iat": now, "exp": now + DOCUMENT_LIFE_MS}
        return jwt.sign(claims | {"revoked": revoked}, key)


def is_revoked(session: Session, thumbprint: str) -> bool:
    """Whether a key is on the list, within a transaction."""
    query = select(Revocation.id).where(Revocation.key == thumbprint)
    return session.scalar(query) is not None


def add_to(session: Session, thumbprint: str, until: int) -> None:
    """Put a key on the list, within a transaction. One that is there stays for as long at least.

    :param thumbprint: RFC 7638, in base64url.
    :param until: ms from which nothing of it can be in force.
    """
    entry = session.scalar(select(Revocation).where(Revocation.key == thumbprint))
    if entry is None:
        session.add(Revocation(key=thumbprint, until=until))
    else:
        entry.until = max(entry.until, until)
    session.flush()
