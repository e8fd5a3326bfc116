"""Write the tables of the provider's database as this release makes them.

python -m tools.schemas     # writes two files to tests/idp/data/schemas

Whoever changes the schema does so: later releases see by these files whether what this one has made
becomes theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_mock_engine

from browserid_sasl.idp.database import Base
from browserid_sasl.idp.schema import NUMBER

FOLDER: Final = Path(__file__).resolve().parents[1] / "tests" / "idp" / "data" / "schemas"
ENGINES: Final = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}
_VERSION: Final = """\
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
"""


def file_of(number: str, engine: str) -> Path:
    """Where the tables of a number of the schema are."""
    return FOLDER / f"number-{number}.{engine}.sql"


def tables(engine: str) -> str:
    """The statements that make them.

    :param engine: whose, a key of `ENGINES`.
    """
    said: list[str] = []

    def hear(statement: Any, *_: object, **__: object) -> None:
        text = str(statement.compile(dialect=mock.dialect)).strip()
        said.append("\n".join(_tidied(text)) + ";\n")

    mock = create_mock_engine(ENGINES[engine], hear)
    # Else they would come in the order in which somebody has imported their modules.
    Base.metadata.create_all(mock, tables=Base.metadata.sorted_tables, checkfirst=False)
    return "".join((*_in_order(said), _VERSION))


def _tidied(text: str) -> Iterator[str]:
    return (line.rstrip() for line in text.splitlines() if line.strip())


def _in_order(statements: list[str]) -> Iterator[str]:
    """Indexes by their names: SQLAlchemy makes those of a table in any order."""
    for are_indexes, group in groupby(statements, lambda each: each.startswith("CREATE INDEX")):
        some = list(group)
        yield from sorted(some) if are_indexes else some


if __name__ == "__main__":
    for each in ENGINES:
        file_of(NUMBER, each).write_text(tables(each), encoding="utf-8")
