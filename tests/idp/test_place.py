"""Which domain a command is about, where there are several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder

ORG, NET = "example.org", "example.net"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "browserid.toml"
    file.write_text(f'[idp]\ndomain = "{ORG}"\ndirectory = "idp"\n[domain."{NET}"]\n')
    return file


def run(file: Path, *arguments: str) -> int:
    command, *others = arguments
    return main([command, "--config", str(file), *others])


def test_it_has_to_be_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["init"], ["list-users"], ["invite", f"bob@{NET}"], ["rotate-key"]):
        assert run(file, *command) == os.EX_USAGE
        said = capsys.readouterr().err
        assert f"say which with --domain: {ORG}, {NET}" in said
    assert not (file.parent / "idp").exists()


def test_it_is_one_that_is_configured(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for domain in ("other.test", f"{NET}.", "ex\u00e4mple.net", f"x.{NET}"):
        assert run(file, "init", "--domain", domain) == os.EX_USAGE
        assert f"is none of the domains: {ORG}, {NET}" in capsys.readouterr().err


def test_each_has_its_own(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for domain in (ORG, NET.upper()):
        assert run(file, "init", "--domain", domain) == 0
    first, second = file.parent / "idp", file.parent / "idp" / "domains" / NET
    assert [ProviderFolder(each).open().domain for each in (first, second)] == [ORG, NET]
    names = [ProviderFolder(each).keys.active(1 << 60).name for each in (first, second)]
    assert len(set(names)) == 2
    assert run(file, "invite", "--domain", NET, f"bob@{NET}") == 0
    assert f"https://{NET}/browserid/invitation" in capsys.readouterr().out
    assert run(file, "invite", "--domain", NET, f"bob@{ORG}") == 1
    assert run(file, "list-users", "--domain", ORG) == 0
    assert capsys.readouterr().out == ""


def test_where_one_section_is_all_there_is_it_is_meant(file: Path) -> None:
    file.write_text(f'[idp]\ndirectory = "idp"\n[domain."{NET}"]\n')
    assert run(file, "init") == 0
    assert ProviderFolder(file.parent / "idp" / "domains" / NET).open().domain == NET


def test_a_provider_is_not_forgotten_that_was_there_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text('[idp]\ndirectory = "idp"\n')
    assert run(file, "init", "--domain", ORG) == 0
    file.write_text(f'[idp]\ndirectory = "idp"\n[domain."{NET}"]\n')
    for command in (["serve"], ["init", "--domain", NET]):
        assert run(file, *command) == os.EX_CONFIG
        assert "give `domain` in [idp]" in capsys.readouterr().err


def test_another_domain_s_folder_is_not_taken(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "init", "--domain", ORG) == 0
    other = ["--directory", str(file.parent / "idp"), "--domain", NET]
    backup = file.parent / "backup"
    for command in ("list-users", "serve", "init", "backup", "reseal", "rotate-key"):
        arguments = [command, *other, *([str(backup)] if command == "backup" else [])]
        assert run(file, *arguments) == os.EX_CONFIG, command
        assert ORG in capsys.readouterr().err
    assert not backup.exists()


def test_a_folder_is_that_of_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(file, "serve", "--directory", str(file.parent)) == os.EX_USAGE
    assert "say which with --domain" in capsys.readouterr().err


def test_a_backup_is_restored_for_its_own_domain_only(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = str(file.parent / "backup")
    assert run(file, "init", "--domain", ORG) == 0
    assert run(file, "backup", "--domain", ORG, backup) == 0
    assert run(file, "restore", "--domain", NET, backup) == os.EX_CONFIG
    assert ORG in capsys.readouterr().err
    assert not (file.parent / "idp" / "domains").exists()
