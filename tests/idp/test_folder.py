"""The provider's folder: made once, completed when it was interrupted, never another's."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from browserid_sasl.errors import ConfigurationError, StoreError
from browserid_sasl.idp.folder import Creation, ProviderFolder

DOMAIN = "example.test"


@pytest.fixture
def folder(tmp_path: Path) -> ProviderFolder:
    return ProviderFolder(tmp_path / "some" / "where")


def create(folder: ProviderFolder, domain: str = DOMAIN) -> Creation:
    return folder.create(domain, "ES256", 0, local_tls=True)


def test_everything_in_it_is_private(folder: ProviderFolder) -> None:
    assert create(folder).provider
    folder.open().accounts.add("alice@example.test", "secret", 0)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    for path in folder.path.rglob("*"):
        expected = 0o700 if path.is_dir() else 0o644 if path.name == "ca.pem" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_making_it_again_keeps_what_is_there(folder: ProviderFolder) -> None:
    assert create(folder).provider
    folder.open().accounts.add("alice@example.test", "secret", 0)
    key = folder.keys.active(0).name
    assert not create(folder).provider
    assert folder.keys.active(0).name == key
    assert folder.open().accounts.verify("alice@example.test", "secret", 0)


def test_it_is_one_domains(folder: ProviderFolder) -> None:
    create(folder)
    with pytest.raises(ConfigurationError, match=r"provider for example\.test"):
        create(folder, "other.test")
    assert folder.open().domain == DOMAIN


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError, match="something else in it"):
        create(ProviderFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    assert create(ProviderFolder(tmp_path)).provider


@pytest.mark.parametrize("after", ["SigningKeys.create", "LocalTls.create", "AuditLog.write"])
def test_an_interruption_can_be_repeated(
    folder: ProviderFolder, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"browserid_sasl.idp.folder.{after}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            create(folder)
    with pytest.raises(ConfigurationError) as raised:
        folder.open()
    assert "browserid-idp init" in raised.value.remedy
    assert create(folder).provider
    assert folder.open().domain == DOMAIN
    assert len(folder.keys.published(0)) == 1


def test_there_has_to_be_a_provider_to_open(folder: ProviderFolder) -> None:
    with pytest.raises(ConfigurationError) as raised:
        folder.open()
    assert "browserid-idp init" in raised.value.remedy
    assert not folder.path.exists()


def test_a_damaged_database_is_an_error(folder: ProviderFolder) -> None:
    create(folder)
    (folder.path / "provider.sqlite").write_bytes(b"not a database, not a database" * 100)
    with pytest.raises(StoreError, match=r"provider\.sqlite is damaged"):
        folder.open()


@pytest.mark.parametrize(
    ("name", "mode", "command"),
    [
        (".", 0o755, "chmod 700"),
        (".", 0o710, "chmod 700"),
        ("keys", 0o755, "chmod 700"),
        ("tls", 0o701, "chmod 700"),
        ("provider.sqlite", 0o644, "chmod 600"),
        ("audit.log", 0o640, "chmod 600"),
        ("tls/authority.pem", 0o604, "chmod 600"),
        ("tls/server.pem", 0o644, "chmod 600"),
        ("keys/keys.json", 0o644, "chmod 600"),
        ("keys/*.pem", 0o644, "chmod 600"),
        ("keys/*.pem", 0o620, "chmod 600"),
    ],
)
def test_what_others_have_access_to_is_refused(
    folder: ProviderFolder, name: str, mode: int, command: str
) -> None:
    create(folder)
    [path] = folder.path.glob(name) if name != "." else [folder.path]
    path.chmod(mode)
    for use in (lambda: folder.open().keys.active(0), lambda: create(folder)):
        with pytest.raises(StoreError) as raised:
            use()
        assert f"{path} is accessible to other users (mode {mode:o})" in raised.value.message
        assert raised.value.remedy == f"run: {command} {path}"
    path.chmod(0o700 if path.is_dir() else 0o600)
    folder.open()


def test_an_empty_folder_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    create(ProviderFolder(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_missing_database_is_named(folder: ProviderFolder) -> None:
    create(folder)
    (folder.path / "provider.sqlite").unlink()
    with pytest.raises(ConfigurationError, match=r"provider\.sqlite is missing") as raised:
        folder.open()
    assert "backup" in raised.value.remedy


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        create(ProviderFolder(tmp_path / "file" / "folder"))
