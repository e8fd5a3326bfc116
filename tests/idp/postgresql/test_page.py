"""docs/idp-several-hosts.md: its commands make a provider on several hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl.config import load
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from browserid_sasl.idp.status import HEALTH, READY
from tests.support import pages
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgresqlServer, programs
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "idp-several-hosts.md").read_text(encoding="utf-8")
SCRIPTS = pages.blocks(PAGE, "sh")
MADE, KEY, RESEAL, RUN, BACKUP, RESTORE, DRILL = SCRIPTS
CONFIGURATION, MONITORING = pages.blocks(PAGE, "toml")


@pytest.mark.parametrize("words", pages.commands(PAGE), ids=" ".join)
def test_the_commands_exist_with_their_options(words: list[str]) -> None:
    pages.check_command(words)


@pytest.fixture
def place(server: PostgresqlServer) -> dict[str, str]:
    """The environment of commands."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{programs()}:/usr/bin:/bin",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
    }


def configuration(folder: Path, server: PostgresqlServer, name: str) -> Path:
    """That of the page, for a host with its folder here."""
    file = folder / f"{name}.toml"
    lines = CONFIGURATION.replace("/etc/browserid-idp", str(folder))
    lines = lines.replace("/var/lib/browserid-idp", str(folder / name))
    file.write_text(lines.replace("db.example.org", f"127.0.0.1:{server.port}"))
    return file


def test_the_provider_moves_to_two_hosts_and_a_drill_restores_it(
    server: PostgresqlServer, place: dict[str, str], tmp_path: Path
) -> None:
    # What there was: one host, with a file.
    alone = ProviderFolder(tmp_path / "alone")
    alone.create("example.org", "ES256", 1, local_tls=False)
    alone.open().accounts.add("alice@example.org", "secret", 2)
    backup = BACKUP.replace("/var/backups", str(tmp_path))
    run(f"{backup.strip()} --directory {alone.path}", place)

    # Two hosts, as the page makes them.
    run(MADE, place)
    run(KEY.splitlines()[0].replace("/etc/browserid-idp", str(tmp_path)), place)
    one, two = (configuration(tmp_path, server, name) for name in ("one", "two"))
    restored = RESTORE.replace("/var/backups", str(tmp_path))
    run(f"{restored.strip()} --config {one}", place)
    run(f"{RUN.splitlines()[0]} --config {two}", place)
    options = load(two).idp
    sharing = Sharing(options.database, options.key_encryption_file)
    second = ProviderFolder(options.directory, sharing)
    assert second.open().accounts.verify("alice@example.org", "secret", 3)
    assert second.keys.active(3).name == alone.keys.active(3).name
    assert not (tmp_path / "two" / "keys").exists()
    # The signing key, and the secret of the stand-in for whoever has no password.
    assert "encrypted 2 secrets" in run(f"{RESEAL.strip()} --config {two}", place)

    # The drill, from a backup of these.
    run(f"rm {tmp_path}/browserid-idp.backup; {backup.strip()} --config {two}", place)
    drill = configuration(tmp_path, server, "drill")
    drill.write_text(drill.read_text().replace("/browserid?", "/browserid_drill?"))
    script = DRILL.replace("/var/backups", str(tmp_path)).replace("drill.toml", str(drill))
    said = run(script, place)
    assert "1 signing keys, 1 rows" in said
    assert "alice@example.org" in said


def test_what_is_for_monitoring_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text(MONITORING)
    options = load(file).idp
    assert (options.status_port, options.log_format) == (9443, "json")
    assert f"`http://{options.status_listen}:{options.status_port}`" in PAGE
    for name in ("browserid_idp_events_total", "browserid_idp_request_seconds", HEALTH, READY):
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize(
    "uri",
    [
        "mysql://db.example.org/browserid",
        "postgresql://browserid:hunter2@db.example.org/browserid",
        "postgresql://browserid@db.example.org/browserid?password=hunter2",
    ],
)
def test_a_uri_with_a_secret_or_of_something_else_is_refused(uri: str, tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text(f'[idp]\ndatabase = "{uri}"\n')
    with pytest.raises(BrowserIDError) as caught:
        load(file)
    assert "hunter2" not in str(caught.value)


def run(script: str, environment: dict[str, str]) -> str:
    """What a script says that succeeds."""
    command = ["/bin/sh", "-ec", script]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
