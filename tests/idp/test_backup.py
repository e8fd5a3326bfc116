"""A backup has what has to last, and a provider that is made of it goes on where that one was."""

from __future__ import annotations

import base64
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, LocalProtocolError
from browserid_sasl.idp.backup import KEPT, TRANSIENT, Content, back_up, restore
from browserid_sasl.idp.database import Base
from browserid_sasl.idp.folder import Provider, ProviderFolder, Sharing
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.schema import NUMBER
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PrivateKey
from tests.support.provider import ALICE, CHEAP_HASHER, DOMAIN
from tests.support.sealing import write_keys

NOW = 1_764_000_000_000
KEY = PrivateKey.generate("ES256").public_key
WISH = Wish(ALICE, KEY, "desk", "192.0.2.1")


@pytest.fixture
def folder(tmp_path: Path) -> ProviderFolder:
    """A provider with somebody in it, who has signed in, and is signed in."""
    folder = ProviderFolder(tmp_path / "idp")
    fill(folder)
    return folder


def fill(folder: ProviderFolder) -> None:
    folder.create(DOMAIN, "ES256", NOW, local_tls=False)
    provider = folder.open()
    provider.accounts._hasher = CHEAP_HASHER
    provider.accounts.add(ALICE, "secret", NOW)
    provider.renewals.issue(Granted(WISH, renewal=True), NOW + 1, NOW, lambda: None)
    provider.renewals.revoke_all(ALICE, NOW)
    provider.invitations.make(ALICE, "uid 0", NOW)
    provider.recovery_codes.renew(ALICE, "192.0.2.1", NOW)
    provider.sessions.begin(ALICE, "password", "192.0.2.1", "", NOW)
    folder.keys.rotate(None, NOW + 1)


@pytest.fixture
def file(folder: ProviderFolder, tmp_path: Path) -> Path:
    file = tmp_path / "backup"
    back_up(folder, file, "uid 0", NOW)
    return file


def keys(folder: ProviderFolder) -> set[tuple[str, int, int | None]]:
    return {(key.name, key.signs_from, key.published_until) for key in folder.keys.all()}


def test_the_provider_of_a_backup_goes_on(
    folder: ProviderFolder, file: Path, tmp_path: Path
) -> None:
    other = ProviderFolder(tmp_path / "other")
    content = restore(other, file, "uid 0", NOW + 9)
    assert content == Content(DOMAIN, 2, 13)
    provider = other.open(Policy())
    assert keys(other) == keys(folder)
    assert provider.domain == DOMAIN
    assert provider.accounts.verify(ALICE, "secret", NOW + 9)
    assert provider.recovery_codes.left(ALICE) == 10
    # What was revoked is, and goes on to be on the list.
    assert provider.renewals.all(ALICE, NOW) == []
    assert KEY.thumbprint.hex()
    assert revoked(provider) == [WISH.fingerprint]


def revoked(provider: Provider) -> list[str]:
    document = provider.revocations.document(NOW)
    claims = json.loads(base64.urlsafe_b64decode(document.split(".")[1] + "=="))
    return list(claims["revoked"])


def test_what_is_used_up_does_not_come_back(file: Path, tmp_path: Path) -> None:
    other = ProviderFolder(tmp_path / "other")
    restore(other, file, "uid 0", NOW + 9)
    with closing(sqlite3.connect(other.path / "provider.sqlite")) as connection:
        assert connection.execute("SELECT event FROM audit").fetchall() == [("restored",)]
        for table in TRANSIENT - {"audit"}:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_every_table_is_kept_or_said_not_to_be() -> None:
    elsewhere = {"domain", "signing_keys"}
    assert {table.name for table in KEPT} | TRANSIENT | elsewhere == set(Base.metadata.tables)


def test_rows_are_numbered_on_after_a_restore(file: Path, tmp_path: Path) -> None:
    other = ProviderFolder(tmp_path / "other")
    restore(other, file, "uid 0", NOW)
    provider = other.open()
    wish = Wish(ALICE, PrivateKey.generate("ES256").public_key, "", "192.0.2.1")
    provider.renewals.issue(Granted(wish, renewal=False), NOW + 1, NOW, lambda: None)
    provider.renewals.revoke_all(ALICE, NOW)
    assert revoked(provider) == [WISH.fingerprint, wish.fingerprint]


def test_nobody_else_can_read_it_and_it_takes_no_file_s_place(
    folder: ProviderFolder, file: Path, tmp_path: Path
) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="is there already"):
        back_up(folder, file, "uid 0", NOW)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        back_up(folder, tmp_path / "none" / "backup", "uid 0", NOW)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "idp"]


def test_who_made_one_and_who_used_it_is_in_the_audit_log(
    folder: ProviderFolder, file: Path, tmp_path: Path
) -> None:
    other = ProviderFolder(tmp_path / "other")
    restore(other, file, "uid 7", NOW)
    logs = [(each.path / "audit.log").read_text().splitlines()[-1] for each in (folder, other)]
    assert [json.loads(line)["event"] for line in logs] == ["backed-up", "restored"]
    assert [json.loads(line)["by"] for line in logs] == ["uid 0", "uid 7"]


def test_a_provider_is_not_written_over(folder: ProviderFolder, file: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is a provider"):
        restore(folder, file, "uid 0", NOW)
    assert folder.open().accounts.exists(ALICE)


def test_one_that_others_can_read_is_refused(file: Path, tmp_path: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(BrowserIDError, match="chmod"):
        restore(ProviderFolder(tmp_path / "other"), file, "uid 0", NOW)


def shorter(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-3])


def without_a_row(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:3] + lines[4:])


DAMAGE: list[Callable[[str], str]] = [
    lambda text: "",
    lambda text: "{}\n",
    lambda text: text[:-20],
    lambda text: text + text,
    shorter,
    without_a_row,
    lambda text: text.replace('"table":"accounts"', '"table":"page_sessions"'),
    lambda text: text.replace('"created"', '"creation"'),
    lambda text: text.replace("PRIVATE KEY", "PUBLIC KEY"),
    lambda text: text.replace(f'"schema":"{NUMBER}"', '"schema":"0001"'),
    lambda text: text.replace('"key":{', '"key":[{').replace('"}}\n', '"}]}\n', 1),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_that_is_damaged_makes_nothing(
    damage: Callable[[str], str], file: Path, tmp_path: Path
) -> None:
    file.write_text(damage(file.read_text()))
    other = ProviderFolder(tmp_path / "other")
    with pytest.raises(LocalProtocolError) as caught:
        restore(other, file, "uid 0", NOW)
    assert caught.value.code is Code.INVALID_PARAMETER
    with pytest.raises(ConfigurationError):
        other.open()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "encryption", bytes(range(32)))


class TestEncryptedKeys:
    """Keys that the database has encrypted are so in a backup, and move to where keys are kept."""

    def test_from_a_folder_into_the_database_and_back(
        self, folder: ProviderFolder, file: Path, key_file: Path, tmp_path: Path
    ) -> None:
        shared = ProviderFolder(tmp_path / "shared", Sharing(key_file=key_file))
        restore(shared, file, "uid 0", NOW)
        assert keys(shared) == keys(folder)
        assert not (shared.path / "keys").exists()
        back = tmp_path / "encrypted"
        back_up(shared, back, "uid 0", NOW)
        assert "PRIVATE KEY" in file.read_text()
        assert "PRIVATE KEY" not in back.read_text()
        again = ProviderFolder(tmp_path / "again", Sharing(key_file=key_file))
        restore(again, back, "uid 0", NOW)
        assert keys(again) == keys(folder)

    def test_without_the_file_they_are_no_use(
        self, file: Path, key_file: Path, tmp_path: Path
    ) -> None:
        shared = ProviderFolder(tmp_path / "shared", Sharing(key_file=key_file))
        restore(shared, file, "uid 0", NOW)
        back = tmp_path / "encrypted"
        back_up(shared, back, "uid 0", NOW)
        with pytest.raises(ConfigurationError, match="key_encryption_file"):
            restore(ProviderFolder(tmp_path / "again"), back, "uid 0", NOW)
        key_file.write_text(base64.b64encode(bytes(32)).decode())
        again = ProviderFolder(tmp_path / "again", Sharing(key_file=key_file))
        with pytest.raises(BrowserIDError) as caught:
            restore(again, back, "uid 0", NOW)
        assert caught.value.code is Code.KEY_FILE_UNREADABLE
