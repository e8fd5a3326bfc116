"""The tables of an older release on PostgreSQL become today's, with what is in them, sealed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData, Table, select

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Base, Database, name_of_secret, secret_of
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.idp.seal import Seal
from tests.idp.test_schema import NUMBERED, differences, value
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN
from tools import schemas

RELEASED = sorted(NUMBERED)
"""The first schema that there was on PostgreSQL, and those after it."""

SEALED = "0003"
"""The first in which secrets are."""
SECRETS = {
    table.name: column.name
    for table in Base.metadata.sorted_tables
    if (column := secret_of(table)) is not None
}
"""The column of each table that has one."""

Row = dict[str, object]


@pytest.fixture(params=RELEASED)
def old(request: pytest.FixtureRequest, uri: str, key_file: Path) -> dict[str, Row]:
    """A database of that number, with a row in each table."""
    number = request.param
    with closing(Database(uri, Seal.read(key_file))) as database, database.transaction() as session:
        connection = session.connection()
        connection.exec_driver_sql(schemas.file_of(number, "postgresql").read_text())
        tables = MetaData()
        tables.reflect(connection)
        rows = {table.name: row_of(table, number) for table in tables.sorted_tables}
        for table in tables.sorted_tables:
            row = rows[table.name]
            kept = keep(database, table.name, row) if number >= SEALED else row
            connection.execute(table.insert().values(kept))
        del rows["alembic_version"]
        return rows


def keep(database: Database, table: str, row: Row) -> Row:
    """A row with its secret sealed, if it has one."""
    if table not in SECRETS:
        return row
    column = SECRETS[table]
    return row | {column: database.secrets.keep(name_of(table, row), str(row[column]))}


def name_of(table: str, row: Row) -> str:
    """What the secret of a row is sealed under."""
    [key] = Base.metadata.tables[table].primary_key
    return name_of_secret(table, row[key.name])


def row_of(table: Table, number: str) -> Row:
    """A row, by what SQLite calls the types of its columns."""
    kinds = {column.name: column.type.python_type for column in table.columns}
    return {
        name: value(table.name, name, "INTEGER" if kind is int else "VARCHAR", number)
        for name, kind in kinds.items()
    }


def test_every_row_is_kept_and_secrets_are_sealed(
    uri: str, key_file: Path, tmp_path: Path, old: dict[str, Row]
) -> None:
    folder = ProviderFolder(tmp_path / "host", Sharing(uri, key_file))
    folder.prepare(DOMAIN)
    with closing(Database(uri, Seal.read(key_file))) as database:
        assert differences(database) == []
        found = {table: row_in(database, table) for table in old}
        for table in SECRETS.keys() & found.keys():
            column, row = SECRETS[table], found[table]
            assert str(row[column]).startswith("sealed:")
            row[column] = database.secrets.read(name_of(table, row), str(row[column]))
        assert found == old
        accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
        assert accounts.verify(ALICE, "secret", 1_764_000_000_001)


def row_in(database: Database, name: str) -> Row:
    """The one row that a table has today."""
    with database.reading() as session:
        table = Table(name, MetaData(), autoload_with=session.connection())
        return dict(session.execute(select(table)).mappings().one())
