"""What the database has to read for what people do all day: all of a table for none of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.renewals import Proof
from browserid_sasl.idp.wishes import Granted
from tests.support.grants import ALICE, CLIENT, HOUR_MS, NOW, Program, provider_in, wish_of
from tests.support.statements import statements

_ONE_ROW: Final = ("domain", "server_secret", "alembic_version")


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return provider_in(tmp_path)


def sign_in_and_renew(provider: Provider) -> None:
    """What of it is kept, and what is tidied up on the way."""
    token, _ = provider.sessions.begin(ALICE, "password", CLIENT, "a browser", NOW)
    provider.sessions.find(token, NOW)
    provider.limits.begin(ALICE, CLIENT, NOW)
    program = Program()
    granted = Granted(wish_of(program.key), renewal=True)
    secret, _ = provider.renewals.issue(granted, NOW + HOUR_MS, NOW, lambda: None)
    later = NOW + HOUR_MS // 2
    proof = Proof.parse(program.renewal(secret, later))
    provider.renewals.find(proof, later)
    provider.renewals.use(proof, CLIENT, later + HOUR_MS, later, lambda: None)
    provider.devices.begin(wish_of(Program().key), NOW)
    provider.sessions.end(token)


def test_no_table_is_read_as_a_whole(provider: Provider) -> None:
    with statements() as asked:
        sign_in_and_renew(provider)
    kinds = {statement.split()[0] for statement, _ in asked}
    assert {"SELECT", "INSERT", "UPDATE", "DELETE"} <= kinds
    assert [line for line in plans(provider, asked) if reads_all(line)] == []


def plans(provider: Provider, asked: list[tuple[str, Any]]) -> Iterator[str]:
    with provider.database.reading() as session:
        connection = session.connection()
        for statement, parameters in asked:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                yield from (f"{row[3]}: {statement}" for row in rows)


def reads_all(line: str) -> bool:
    return line.startswith("SCAN ") and line.split()[1].rstrip(":") not in _ONE_ROW
