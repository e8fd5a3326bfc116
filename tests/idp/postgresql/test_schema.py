"""The tables of an older release on PostgreSQL become today's, with what is in them, sealed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, select

from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.idp.schema import STEPS
from browserid_sasl.idp.seal import Seal
from tests.idp.test_schema import differences, value
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN

RELEASED = ["0002"]
"""The first release that there was on PostgreSQL, and those after it."""

SECRETS = {"server_secret", "second_factors", "new_second_factors"}


@pytest.fixture(params=RELEASED)
def old(request: pytest.FixtureRequest, uri: str) -> dict[str, dict[str, object]]:
    """A database of that release, with a row in each table."""
    with closing(Database(uri)) as database, database.transaction() as session:
        connection = session.connection()
        config = Config(attributes={"connection": connection, "secrets": database.secrets})
        config.set_main_option("script_location", str(STEPS))
        command.upgrade(config, request.param)
        tables = MetaData()
        tables.reflect(connection)
        tables.remove(tables.tables["alembic_version"])
        written = {table.name: row_of(table) for table in tables.sorted_tables}
        for table in tables.sorted_tables:
            connection.execute(table.insert().values(written[table.name]))
        return written


def row_of(table: Table) -> dict[str, object]:
    """A row, by what SQLite calls the types of its columns."""
    kinds = {column.name: column.type.python_type for column in table.columns}
    return {
        name: value(table.name, name, "INTEGER" if kind is int else "VARCHAR")
        for name, kind in kinds.items()
    }


def test_every_row_is_kept_and_secrets_are_sealed(
    uri: str, key_file: Path, tmp_path: Path, old: dict[str, dict[str, object]]
) -> None:
    folder = ProviderFolder(tmp_path / "host", Sharing(uri, key_file))
    folder.prepare(DOMAIN)
    with closing(Database(uri, Seal.read(key_file))) as database:
        assert differences(database) == []
        with database.reading() as session:
            tables = MetaData()
            tables.reflect(session.connection())
            found = {
                name: dict(session.execute(select(tables.tables[name])).mappings().one())
                for name in old
            }
        assert sealed(found) == SECRETS
        assert {name: found[name] for name in found.keys() - SECRETS} == {
            name: old[name] for name in found.keys() - SECRETS
        }
        secret = database.secrets.read(
            "second_factors " + ALICE, str(found["second_factors"]["secret"])
        )
        assert secret == old["second_factors"]["secret"]
        accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
        assert accounts.verify(ALICE, "secret", 1_764_000_000_001)


def sealed(rows: dict[str, dict[str, object]]) -> set[str]:
    """Tables with something that is."""
    return {
        name
        for name, row in rows.items()
        if any(str(each).startswith("sealed:") for each in row.values())
    }
