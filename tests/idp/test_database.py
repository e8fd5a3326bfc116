"""The provider's database when it is not as it was left."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, DamagedStoreError
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.schema import bring_up_to_date
from tests.support.patience import PATIENCE
from tests.support.provider import CHEAP_HASHER

ALICE = "alice@example.test"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with one account, which nobody has open."""
    path = tmp_path / "provider.sqlite"
    with closing(Database(path)) as database:
        bring_up_to_date(database)
        Accounts(database, "example.test", hasher=CHEAP_HASHER).add(ALICE, "secret", 1)
    return path


def uses(file: Path) -> list[Callable[[], object]]:
    """What a provider does with accounts."""
    accounts = Accounts(Database(file), "example.test", hasher=CHEAP_HASHER)
    return [
        accounts.all,
        lambda: accounts.verify(ALICE, "secret", 2),
        lambda: accounts.set_password(ALICE, "other", 2),
        lambda: accounts.add("bob@example.test", "secret", 2),
        lambda: accounts.remove(ALICE),
    ]


@pytest.mark.parametrize("column", ["email", "password", "created", "changed"])
@pytest.mark.parametrize("value", ["X'ff'", "CAST(X'ff' AS TEXT)"])
def test_a_value_that_is_none(file: Path, column: str, value: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE accounts SET {column} = {value}")
        connection.commit()
    everybody, *_ = uses(file)
    with pytest.raises(DamagedStoreError, match="is damaged .*: stop the provider, keep the file"):
        everybody()


def test_a_password_s_hash_is_not_in_the_error(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "UPDATE accounts SET password = CAST(password || CAST(X'ff' AS TEXT) AS TEXT)"
        )
        connection.commit()
    for use in uses(file)[:3]:
        with pytest.raises(DamagedStoreError) as caught:
            use()
        assert "argon2" not in str(caught.value)


def test_an_octet_changed(file: Path) -> None:
    data = file.read_bytes()
    for seed in range(150):
        chance = random.Random(seed)
        altered = bytearray(data)
        place = chance.choice([at for at, octet in enumerate(data) if octet])
        altered[place] ^= 1 << chance.randrange(8)
        copy = file.with_name(f"{seed}.sqlite")
        copy.write_bytes(altered)
        copy.chmod(0o600)
        for use in uses(copy):
            with suppress(BrowserIDError):
                use()


class TestTransactions:
    """A transaction inside of another is a part of it."""

    @pytest.fixture
    def database(self, file: Path) -> Database:
        return Database(file)

    @pytest.fixture
    def accounts(self, database: Database) -> Accounts:
        return Accounts(database, "example.test", hasher=CHEAP_HASHER)

    def test_what_is_inside_goes_with_the_one_around_it(
        self, database: Database, accounts: Accounts
    ) -> None:
        with pytest.raises(RuntimeError), database.transaction():
            assert accounts.remove(ALICE)
            assert accounts.add("bob@example.test", "secret", 2)
            raise RuntimeError
        assert [account.email for account in accounts.all()] == [ALICE]
        assert accounts.verify(ALICE, "secret", 3)

    def test_what_fails_inside_leaves_the_rest(
        self, database: Database, accounts: Accounts
    ) -> None:
        def refuse() -> None:
            raise RuntimeError

        with database.transaction():
            with suppress(RuntimeError):
                accounts.remove(ALICE, refuse)
            accounts.add("bob@example.test", "secret", 2)
        assert [account.email for account in accounts.all()] == [ALICE, "bob@example.test"]

    def test_another_thread_waits(self, database: Database, accounts: Accounts) -> None:
        with ThreadPoolExecutor(1) as other:
            with database.transaction():
                accounts.remove(ALICE)
                added = other.submit(accounts.add, "bob@example.test", "secret", 2)
                assert not accounts.exists("bob@example.test")
            assert added.result(PATIENCE)
        assert [account.email for account in accounts.all()] == ["bob@example.test"]
