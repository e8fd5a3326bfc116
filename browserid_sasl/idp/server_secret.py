"""A secret of the provider's own, from which keys are derived for what others carry for it.

What a browser is given to bring back (a cookie, a challenge) need not be kept here when it is
authenticated with such a key. Whoever has the database has the secret, unless it is sealed there.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cached_property
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.idp.database import Base, Database, name_of_secret, secret_text
from browserid_sasl.jose import b64

_OCTETS: Final = 32


class StoredSecret(Base):
    """The one row with the secret, in base64url."""

    __tablename__ = "server_secret"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = secret_text()


_NAME: Final = name_of_secret(StoredSecret.__tablename__, 1)
_VALUE: Final = select(StoredSecret.value).where(StoredSecret.id == 1)


class ServerSecret:
    """The secret, made when it is first used. Safe for threads and processes.

    :param database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, purpose: str) -> bytes:
        """The key for one purpose: 32 octets, which say nothing about those for another.

        :raises StoreError: cache-error.
        """
        return hmac.digest(self._secret, purpose.encode(), hashlib.sha256)

    @cached_property
    def _secret(self) -> bytes:
        with self._database.reading() as session:
            value = session.scalar(_VALUE)
        secret = self._database.secrets.read(_NAME, value or self._made())
        return b64.decode(secret, "the server's secret")

    def _made(self) -> str:
        with self._database.transaction() as session:
            # Again: another process may have made it meanwhile.
            value = session.scalar(_VALUE)
            if value is None:
                secret = b64.encode(secrets.token_bytes(_OCTETS))
                value = self._database.secrets.keep(_NAME, secret)
                session.add(StoredSecret(id=1, value=value))
        return value
