"""A provider's signing keys in its database, sealed under a key that the database does not have.

So hosts that share the database share the keys, and a rotation counts for all of them at once; who
reads the database, or a copy of it, can sign nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from browserid_sasl.errors import Code, LocalProtocolError, StoreError
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.seal import Seal
from browserid_sasl.idp.signing_keys import Found, SigningKey
from browserid_sasl.jose.keys import PrivateKey


class SealedKey(Base):
    """A signing key, see `SigningKey`; `sealed` is its PEM, sealed under its name."""

    __tablename__ = "signing_keys"

    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    signs_from: Mapped[int]
    published_until: Mapped[int | None]


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
