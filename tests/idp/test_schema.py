"""The tables of older releases become today's, with what is in them.

In `data/schemas` are those of each release and of each state between two that somebody may have
run, as SQLAlchemy made them then: with a number of the schema since there is one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from browserid_sasl.errors import StoreError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Base, Database
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.idp.schema import NUMBER, STEPS, bring_up_to_date
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN
from tools import schemas

WITHOUT_NUMBER = sorted(schemas.FOLDER.glob("[0-9]-*.sql"))
NUMBERED = {
    file.name.split(".")[0].removeprefix("number-"): file
    for file in sorted(schemas.FOLDER.glob("number-*.sqlite.sql"))
}

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(params=[*WITHOUT_NUMBER, *NUMBERED.values()], ids=lambda path: path.stem)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database of an older release, with a row in each table."""
    return filled(tmp_path / "provider.sqlite", request.param)


def filled(path: Path, schema: Path) -> Path:
    path.touch(0o600)
    number = next((number for number, file in NUMBERED.items() if file == schema), "")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.read_text())
        for table in tables(connection):
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            values = {name: value(table, name, kind, number) for _, name, kind, *_ in columns}
            names = ", ".join(f'"{name}"' for name in values)
            holes = ", ".join("?" * len(values))
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({holes})",
                list(values.values()),
            )
        connection.commit()
    return path


def value(table: str, column: str, kind: str, number: str) -> object:
    """What a column has in the one row of its table, in a database of a number."""
    if kind == "INTEGER":
        # A session is one by its id.
        return 1 if column in ("id", "session") else 1_764_000_000_000
    if table == "domain":
        return DOMAIN
    if table == "alembic_version":
        return number
    if table == "server_secret":
        return "c2VjcmV0"
    if (table, column) == ("accounts", "password"):
        return CHEAP_HASHER.hash(b"secret")
    return ALICE if column == "email" else f"{table} {column} é"


def tables(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def rows(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            for table in tables(connection)
        }


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with closing(Database(file)) as database:
        yield database


def differences(database: Database) -> list[object]:
    with database.reading() as session:
        context = MigrationContext.configure(session.connection())
        return list(compare_metadata(context, Base.metadata))


class TestForward:
    """What becomes of an older database."""

    def test_every_row_is_kept(self, file: Path, database: Database) -> None:
        before = rows(file)
        bring_up_to_date(database)
        after = rows(file)
        before.pop("challenge_key", None)
        before.pop("alembic_version", None)
        assert {table: after[table] for table in before} == before

    def test_it_has_the_tables_of_a_new_one(
        self, file: Path, database: Database, tmp_path: Path
    ) -> None:
        bring_up_to_date(database)
        assert differences(database) == []
        new = tmp_path / "new.sqlite"
        with closing(Database(new)) as other:
            bring_up_to_date(other)
        assert set(rows(file)) == set(rows(new))
        assert constraints(file) == constraints(new)

    def test_its_people_sign_in(self, database: Database) -> None:
        bring_up_to_date(database)
        accounts = Accounts(database, DOMAIN, hasher=CHEAP_HASHER)
        assert accounts.verify(ALICE, "secret", 1_764_000_000_001)
        assert accounts.remove(ALICE)

    def test_the_provider_opens_it(self, file: Path) -> None:
        file.parent.chmod(0o700)
        folder = ProviderFolder(file.parent)
        assert folder.create(DOMAIN, "ES256", 1, local_tls=False).provider is False
        assert folder.open().accounts.exists(ALICE)

    def test_a_second_time_changes_nothing(self, file: Path, database: Database) -> None:
        bring_up_to_date(database)
        before = rows(file)
        bring_up_to_date(database)
        assert rows(file) == before

    def test_of_several_at_once_one_does_it(self, file: Path) -> None:
        def open_it() -> list[str]:
            with closing(Database(file)) as database:
                bring_up_to_date(database)
                return [account.email for account in Accounts(database, DOMAIN).all()]

        with ThreadPoolExecutor(4) as pool:
            started = [pool.submit(open_it) for _ in range(4)]
        assert [each.result(PATIENCE) for each in started] == [[ALICE]] * 4


def constraints(path: Path) -> dict[str, set[str]]:
    """What the tables insist on, whatever the order of their columns."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        # A length is nothing to SQLite.
        return {name: set(lines(re.sub(r"\(\d+\)", "", sql))) for name, sql in made}


def lines(sql: str) -> Iterator[str]:
    """Columns and constraints. What a primary key of one column may be is its own business."""
    for line in sql.splitlines():
        yield line.strip(" \t,").replace(" PRIMARY KEY AUTOINCREMENT", " PRIMARY KEY")


def test_a_step_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = filled(tmp_path / "provider.sqlite", WITHOUT_NUMBER[3])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE signing_keys (of_somebody_else TEXT)")
    before = rows(file)
    with closing(Database(file)) as database, pytest.raises(StoreError, match="already exists"):
        bring_up_to_date(database)
    assert rows(file) == before
    assert "challenge_key" in before


def test_the_tables_of_a_later_release_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "provider.sqlite"
    with closing(Database(file)) as database:
        bring_up_to_date(database)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        with pytest.raises(StoreError, match="later release: run that release"):
            bring_up_to_date(database)


@pytest.mark.parametrize("engine", schemas.ENGINES)
def test_every_number_has_its_tables_here(engine: str) -> None:
    """Whoever changes the schema runs `python -m tools.schemas`."""
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    numbers = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    of_engine = {number: schemas.file_of(number, engine) for number in numbers if number > "0001"}
    assert [number for number, file in of_engine.items() if not file.exists()] == []
    assert of_engine[NUMBER].read_text() == schemas.tables(engine)


def test_a_new_database_has_the_number_of_the_last_step() -> None:
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    assert ScriptDirectory.from_config(config).get_heads() == [NUMBER]
