"""What root does in the folder of another user, it does as that user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.provider import ALICE, DOMAIN, PASSWORD

SERVICE = 65_534
"""The user that the provider would run as."""

PROGRAM = str(Path(sys.executable).with_name("browserid-idp"))


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def house() -> Iterator[Path]:
    """A folder that everybody can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as house:
        os.chmod(house, 0o755)
        yield Path(house)


@pytest.fixture
def folder(house: Path) -> Path:
    """The empty folder of the service."""
    folder = house / "provider"
    folder.mkdir(mode=0o700)
    os.chown(folder, SERVICE, SERVICE)
    return folder


@pytest.fixture
def password(house: Path) -> Path:
    """A file that root alone can read."""
    path = house / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD)
    return path


def run(
    folder: Path, command: str, *options: object, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, command, "--directory", str(folder), *map(str, options)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"},
    )


def owners(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_uid for path in folder.rglob("*")}


def make(folder: Path, password: Path) -> None:
    made = run(folder, "init", "--domain", DOMAIN, "--local-tls")
    assert made.returncode == 0, made.stderr
    added = run(folder, "add-user", ALICE, "--password-file", password)
    assert added.returncode == 0, added.stderr


def test_everything_belongs_to_the_owner_of_the_folder(folder: Path, password: Path) -> None:
    make(folder, password)
    assert run(folder, "rotate-key").returncode == 0
    found = owners(folder)
    assert {"provider.sqlite", "audit.log", "keys/keys.json", "tls/server.pem"} <= set(found)
    assert set(found.values()) == {SERVICE}
    for command in ("list-users", "rotate-key"):
        done = run(folder, command, user=SERVICE)
        assert done.returncode == 0, done.stderr


def test_so_does_a_folder_that_is_made_in_a_folder_of_that_user(folder: Path) -> None:
    assert run(folder / "idp", "init", "--domain", DOMAIN).returncode == 0
    assert set(owners(folder).values()) == {SERVICE}


def test_the_audit_log_says_that_it_was_root(folder: Path, password: Path) -> None:
    make(folder, password)
    last = (folder / "audit.log").read_text().splitlines()[-1]
    assert json.loads(last)["by"] == "uid 0"


@pytest.mark.parametrize("name", ["audit.log", "provider.sqlite", "keys", "tls"])
def test_a_link_leads_root_nowhere(house: Path, folder: Path, password: Path, name: str) -> None:
    make(folder, password)
    treasure = house / "treasure"
    treasure.mkdir(mode=0o700)
    target = treasure / name
    if (folder / name).is_dir():
        target.mkdir()
    else:
        target.touch()
    (folder / name).rename(folder / f"old-{name}")
    (folder / name).symlink_to(target)
    for command, *options in (
        ("init", "--domain", DOMAIN, "--local-tls"),
        ("rotate-key",),
        ("set-password", ALICE, "--password-file", password),
    ):
        run(folder, command, *options)
    assert [*treasure.iterdir()] == [target]
    assert target.stat().st_uid == 0
    assert not any(target.iterdir()) if target.is_dir() else not target.stat().st_size


def test_a_server_that_root_starts_is_that_user_with_a_key_of_roots(
    house: Path, folder: Path, password: Path
) -> None:
    make(folder, password)
    key = house / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes((folder / "tls" / "server.pem").read_bytes())
    (folder / "tls" / "server.pem").unlink()
    options = ["--directory", str(folder), "--port", "0", "--tls-certificate", str(key)]
    with subprocess.Popen([PROGRAM, "serve", *options], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().decode().split()[-1]
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert f"Uid:\t{SERVICE}\t{SERVICE}\t{SERVICE}\t{SERVICE}\n" in status
            assert f"Gid:\t{SERVICE}\t{SERVICE}\t{SERVICE}\t{SERVICE}\n" in status
            request = {"email": ALICE, "password": "wrong", "public-key": {}}
            answer = requests.post(
                f"{url}/certify",
                json=request,
                verify=str(folder / "tls" / "ca.pem"),
                timeout=60,
            )
            assert answer.status_code == 400
        finally:
            process.terminate()
    assert set(owners(folder).values()) == {SERVICE}


def test_another_user_is_told_whose_it_is(folder: Path, password: Path) -> None:
    make(folder, password)
    done = run(folder, "list-users", user=SERVICE - 1)
    assert done.returncode == os.EX_IOERR
    assert f"belongs to another user (number {SERVICE}): run this as that user" in done.stderr
