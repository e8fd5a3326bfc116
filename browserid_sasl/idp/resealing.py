"""All secrets of a provider's database, sealed with the key that seals today.

So it is after the key was changed, and where rows were written when there was none.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Table, TableClause, bindparam, select, update

from browserid_sasl.idp.database import Base, Database, name_of_secret, secret_of
from browserid_sasl.idp.seal import Secrets


def reseal(database: Database) -> int:
    """Seal the secrets of all rows again, in one transaction.

    :returns: of how many rows.
    :raises StoreError: key-file-unreadable: one is sealed with a key that is not here; or
        cache-error. Nothing was changed.
    """
    with database.transaction() as session:
        return sum(
            reseal_rows(session.connection(), table, secret, key, database.secrets)
            for table, secret, key in _places()
        )


def _places() -> Iterator[tuple[Table, str, str]]:
    """Tables with a secret, its column, and their primary key."""
    for table in Base.metadata.sorted_tables:
        secret = secret_of(table)
        if secret is not None:
            (key,) = table.primary_key
            yield table, secret.name, key.name


def reseal_rows(
    connection: Connection, table: TableClause, secret: str, key: str, secrets: Secrets
) -> int:
    """Seal those of one table.

    :param secret: the column that is.
    :param key: the column that is the primary key.
    :returns: of how many rows.
    :raises StoreError: see `reseal`.
    """
    rows = connection.execute(select(table.c[key], table.c[secret])).all()
    kept = [
        {"row": row, "kept": secrets.keep_again(name_of_secret(table.name, row), text)}
        for row, text in rows
    ]
    if kept:
        change = update(table).where(table.c[key] == bindparam("row"))
        connection.execute(change.values({secret: bindparam("kept")}), kept)
    return len(kept)
