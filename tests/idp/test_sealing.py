"""Secrets in the database: who reads it has none of them, who writes to it can exchange none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError
from browserid_sasl.idp.backup import back_up, restore
from browserid_sasl.idp.database import Base, secret_of
from browserid_sasl.idp.folder import Provider, ProviderFolder, Sharing
from tests.idp.test_totp import BOB, CLIENT, NOW, code
from tests.support.provider import ALICE, DOMAIN
from tests.support.sealing import write_keys

OLD, NEW = bytes(range(32)), bytes(32)
KNOWN = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""A secret of somebody who writes to the database."""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "encryption", OLD)


class Home:
    """A provider with a key to seal with, and people with second factors."""

    def __init__(self, path: Path, key_file: Path | None) -> None:
        self._path, self._key_file = path, key_file
        self.again().create(DOMAIN, "ES256", NOW, local_tls=False)
        provider = self.open()
        for address in (ALICE, BOB):
            provider.accounts.add_without_password(address, NOW)
        self.secrets = {who: self._second_factor(provider, who) for who in (ALICE, BOB)}
        self.pending = provider.second_factors.begin(ALICE, NOW)
        self.own = provider.secret.key("cookies")

    def _second_factor(self, provider: Provider, who: str) -> str:
        secret = provider.second_factors.begin(who, NOW)
        assert provider.second_factors.confirm(who, code(secret, NOW), CLIENT, NOW)
        return secret

    def again(self) -> ProviderFolder:
        """As another process has it, or another host."""
        return ProviderFolder(self._path, Sharing(key_file=self._key_file))

    def open(self) -> Provider:
        return self.again().open()

    def goes_on(self, later: int) -> bool:
        """Whether everything is known as it was."""
        provider, now = self.open(), NOW + later * 60_000
        return (
            all(
                provider.second_factors.check(who, code(secret, now), now)
                for who, secret in self.secrets.items()
            )
            and provider.second_factors.pending(ALICE, NOW) == self.pending
            and provider.secret.key("cookies") == self.own
        )

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        """What somebody gets, or does, who has the database alone."""
        with closing(sqlite3.connect(self._path / "provider.sqlite")) as connection:
            rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows

    def all_text(self) -> str:
        """All that is in the database."""
        return str([self.sql(f"SELECT * FROM {table}") for table in Base.metadata.tables])


@pytest.fixture
def home(tmp_path: Path, key_file: Path) -> Home:
    return Home(tmp_path / "idp", key_file)


def test_who_reads_the_database_has_no_secret(home: Home) -> None:
    text = home.all_text()
    assert not [secret for secret in (*home.secrets.values(), home.pending) if secret in text]
    assert home.goes_on(1)


def test_without_a_key_they_are_as_they_are(tmp_path: Path) -> None:
    home = Home(tmp_path / "idp", None)
    assert home.secrets[ALICE] in home.all_text()
    assert home.goes_on(1)


def test_every_secret_is_in_a_column_that_says_so() -> None:
    named = {table.name for table in Base.metadata.sorted_tables if secret_of(table) is not None}
    assert named >= {"server_secret", "second_factors", "new_second_factors"}
    for table in named:
        assert len(Base.metadata.tables[table].primary_key) == 1, "a name for each row"


EXCHANGES = [
    # Bob's codes for Alice's account, and a secret that was to be confirmed yet.
    "UPDATE second_factors SET secret ="
    f" (SELECT secret FROM second_factors WHERE email = '{BOB}') WHERE email = '{ALICE}'",
    f"UPDATE second_factors SET secret = (SELECT secret FROM new_second_factors)"
    f" WHERE email = '{ALICE}'",
    # One that somebody knows.
    f"UPDATE second_factors SET secret = '{KNOWN}' WHERE email = '{ALICE}'",
    f"UPDATE second_factors SET secret = 'sealed:{KNOWN}' WHERE email = '{ALICE}'",
    f"UPDATE second_factors SET secret = 'sealed:' WHERE email = '{ALICE}'",
    f"UPDATE second_factors SET secret = 'sealed:\u00e9=' WHERE email = '{ALICE}'",
]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_who_writes_to_the_database_can_exchange_no_secret(home: Home, exchange: str) -> None:
    home.sql(exchange)
    with pytest.raises(BrowserIDError) as caught:
        home.open().second_factors.check(ALICE, "123456", NOW)
    assert caught.value.code is Code.KEY_FILE_UNREADABLE
    assert ALICE in str(caught.value)


def test_without_the_file_they_are_no_use(home: Home) -> None:
    provider = ProviderFolder(home.again().path).open()
    ways: list[Callable[[], object]] = [
        lambda: provider.second_factors.check(ALICE, "123456", NOW),
        lambda: provider.second_factors.pending(ALICE, NOW),
        lambda: provider.secret.key("cookies"),
    ]
    for way in ways:
        with pytest.raises(BrowserIDError, match="`key_encryption_file`") as caught:
            way()
        assert caught.value.code is Code.KEY_FILE_UNREADABLE


class TestChangeOfTheKey:
    def test_after_it_the_old_key_is_of_no_use(self, home: Home, key_file: Path) -> None:
        before = home.again().keys.active(NOW).name
        write_keys(key_file, OLD, NEW)
        assert home.goes_on(1)
        write_keys(key_file, NEW, OLD)
        assert home.goes_on(2)
        # The signing key, two secrets, one to be confirmed, and the provider's own.
        assert home.again().reseal("uid 0", NOW) == 5
        write_keys(key_file, NEW)
        assert home.goes_on(3)
        assert home.again().keys.active(NOW).name == before

    def test_it_is_in_the_audit_log(self, home: Home) -> None:
        home.again().reseal("uid 7", NOW)
        last = (home.again().path / "audit.log").read_text().splitlines()[-1]
        assert last.endswith('"event":"resealed","secrets":5,"by":"uid 7"}')

    def test_nothing_is_changed_if_one_cannot_be_opened(self, home: Home, key_file: Path) -> None:
        before = home.all_text()
        write_keys(key_file, NEW)
        with pytest.raises(BrowserIDError) as caught:
            home.again().reseal("uid 0", NOW)
        assert caught.value.code is Code.KEY_FILE_UNREADABLE
        assert home.all_text() == before

    def test_what_was_never_sealed_is(self, home: Home, tmp_path: Path, key_file: Path) -> None:
        home.sql(f"UPDATE second_factors SET secret = '{KNOWN}' WHERE email = '{BOB}'")
        home.secrets[BOB] = KNOWN
        home.again().reseal("uid 0", NOW)
        assert home.goes_on(1)

    def test_without_a_key_there_is_nothing_to_seal_with(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "idp", None)
        with pytest.raises(ConfigurationError, match="nothing to seal secrets with"):
            home.again().reseal("uid 0", NOW)

    def test_nor_without_a_provider(self, tmp_path: Path, key_file: Path) -> None:
        (tmp_path / "none").mkdir(0o700)
        folder = ProviderFolder(tmp_path / "none", Sharing(key_file=key_file))
        with pytest.raises(ConfigurationError, match="there is no identity provider"):
            folder.reseal("uid 0", NOW)


class TestBackup:
    """A backup has them as the database does, and what is made of it as its own key wants it."""

    @pytest.mark.parametrize("keys", [(OLD,), (NEW, OLD)])
    def test_between_providers(
        self, home: Home, tmp_path: Path, key_file: Path, keys: tuple[bytes, ...]
    ) -> None:
        saved = tmp_path / "saved"
        back_up(home.again(), saved, "uid 0", NOW)
        assert not [each for each in home.secrets.values() if each in saved.read_text()]
        other = write_keys(tmp_path / "other-key", *keys)
        restored = ProviderFolder(tmp_path / "other", Sharing(key_file=other))
        restore(restored, saved, "uid 0", NOW)
        write_keys(other, keys[0])
        factors = ProviderFolder(tmp_path / "other", Sharing(key_file=other)).open().second_factors
        later = NOW + 60_000
        assert factors.check(ALICE, code(home.secrets[ALICE], later), later)

    def test_from_one_without_a_key_to_one_with_it(self, tmp_path: Path, key_file: Path) -> None:
        plain, saved = Home(tmp_path / "idp", None), tmp_path / "saved"
        back_up(plain.again(), saved, "uid 0", NOW)
        restored = ProviderFolder(tmp_path / "other", Sharing(key_file=key_file))
        restore(restored, saved, "uid 0", NOW)
        text = (tmp_path / "other" / "provider.sqlite").read_bytes()
        assert plain.secrets[ALICE].encode() not in text
        later = NOW + 60_000
        factors = restored.open().second_factors
        assert factors.check(ALICE, code(plain.secrets[ALICE], later), later)

    def test_what_is_of_another_key_is_not_restored(
        self, home: Home, tmp_path: Path, key_file: Path
    ) -> None:
        saved = tmp_path / "saved"
        back_up(home.again(), saved, "uid 0", NOW)
        write_keys(key_file, NEW)
        restored = ProviderFolder(tmp_path / "other", Sharing(key_file=key_file))
        with pytest.raises(BrowserIDError) as caught:
            restore(restored, saved, "uid 0", NOW)
        assert caught.value.code is Code.KEY_FILE_UNREADABLE
