"""A provider's signing keys in its database, sealed under a key that the database does not have.

So hosts that share the database share the keys, and a rotation counts for all of them at once; who
reads the database, or a copy of it, can sign nothing. The key that seals is in a file that the
administrator gives each host.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.errors import Code, ConfigurationError, LocalProtocolError, StoreError
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.signing_keys import Found, SigningKey
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.private_files import read_private

_KEY: Final = 32
_NONCE: Final = 12
_MOST_KEYS: Final = 8


class SealedKey(Base):
    """A signing key, see `SigningKey`; `sealed` is nonce and AES-256-GCM of its PEM, base64url."""

    __tablename__ = "signing_keys"

    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    signs_from: Mapped[int]
    published_until: Mapped[int | None]


class Seal:
    """Seals signing keys, and opens them.

    :param keys: 32 octets each. The first seals; any opens.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    @classmethod
    def read(cls, file: Path) -> Seal:
        """That of a file with a key on each line, 32 octets in base64.

        :raises ConfigurationError: it cannot be read, others can read it, or it is none.
        """
        try:
            lines = read_private(file).split()
            keys = [base64.b64decode(line, validate=True) for line in lines]
        except OSError as error:
            raise _unfit(file, error.strerror or "it cannot be read") from None
        except binascii.Error:
            raise _unfit(file, "a line is not base64") from None
        if not 0 < len(keys) <= _MOST_KEYS or any(len(key) != _KEY for key in keys):
            raise _unfit(file, f"it has not 1 to {_MOST_KEYS} keys of {_KEY} octets")
        return cls(keys)

    def close(self, name: str, pem: bytes) -> str:
        """A key as the database has it.

        :param name: which nobody can exchange for another's.
        """
        nonce = secrets.token_bytes(_NONCE)
        return b64.encode(nonce + self._ciphers[0].encrypt(nonce, pem, name.encode()))

    def open(self, name: str, sealed: str) -> bytes:
        """What `close` was called with.

        :raises StoreError: key-file-unreadable: another key has sealed it, or it was changed.
        """
        octets = b64.decode(sealed, "the sealed key")
        nonce, rest = octets[:_NONCE], octets[_NONCE:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, name.encode())
            except (InvalidTag, ValueError):
                continue
        raise StoreError(
            Code.KEY_FILE_UNREADABLE,
            f"the signing key {name} in the database cannot be opened",
            "give this host the `key_encryption_file` that it was sealed with",
        )


class SealedKeys:
    """The keys in a database. See `KeyPlace`.

    :param database: where they are kept.
    :param seal: what they are sealed with.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
        # Keys with what they were sealed as, set together for threads' sake.
        self._opened: dict[tuple[str, str], PrivateKey] = {}

    def load(self) -> tuple[SigningKey, ...]:
        """The keys, as the database has them at this moment."""
        with self._database.reading() as session:
            rows = session.scalars(select(SealedKey).order_by(SealedKey.signs_from)).all()
        opened = {(row.name, row.sealed): self._private_key(row) for row in rows}
        self._opened = opened
        return tuple(
            SigningKey(
                row.name,
                row.signs_from,
                row.published_until,
                private_key=opened[row.name, row.sealed],
            )
            for row in rows
        )

    def find(self, now: int) -> Found:
        """The keys; there are either all or none."""
        keys = self.load()
        return Found(keys, keys, complete=True)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """In one transaction, so that of two hosts that rotate one comes after the other."""
        with self._database.transaction():
            yield

    def write(self, keys: Sequence[SigningKey]) -> None:
        """Have these keys, all sealed anew."""
        with self._database.transaction() as session:
            session.execute(delete(SealedKey))
            session.add_all(map(self._row, keys))

    def _row(self, key: SigningKey) -> SealedKey:
        return SealedKey(
            name=key.name,
            sealed=self._seal.close(key.name, key.private_key.to_pem()),
            signs_from=key.signs_from,
            published_until=key.published_until,
        )

    def _private_key(self, row: SealedKey) -> PrivateKey:
        known = self._opened.get((row.name, row.sealed))
        if known is not None:
            return known
        try:
            return PrivateKey.from_pem(self._seal.open(row.name, row.sealed))
        except LocalProtocolError as error:
            raise StoreError(
                Code.KEY_FILE_UNREADABLE,
                f"the signing key {row.name} in the database is damaged ({error.message})",
                "restore a backup",
            ) from None


def _unfit(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the key file {file} cannot be used ({why})",
        "make one for all hosts with `openssl rand -base64 32`, mode 600, of the user the provider"
        " runs as",
    )
