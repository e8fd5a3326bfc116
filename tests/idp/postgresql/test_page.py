"""docs/idp-several-hosts.md: its commands make a provider on several hosts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from browserid_sasl.config import load
from browserid_sasl.errors import BrowserIDError
from browserid_sasl.idp.folder import ProviderFolder, Sharing
from tests.support import pages
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgresqlServer, programs
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "idp-several-hosts.md").read_text(encoding="utf-8")
SCRIPTS = pages.blocks(PAGE, "sh")
MADE, KEY, RUN, *_ = SCRIPTS
[CONFIGURATION, *_] = pages.blocks(PAGE, "toml")


@pytest.mark.parametrize("words", pages.commands(PAGE), ids=" ".join)
def test_the_commands_exist_with_their_options(words: list[str]) -> None:
    pages.check_command(words)


def test_the_first_host_makes_the_provider_and_the_second_finds_it(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    place = {
        "PATH": f"{programs()}:/usr/bin:/bin",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
    }
    run(MADE, place)
    run(KEY.splitlines()[0].replace("/etc/browserid-idp", str(tmp_path)), place)
    made = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.toml"
        lines = CONFIGURATION.replace("/etc/browserid-idp", str(tmp_path))
        lines = lines.replace("/var/lib/browserid-idp", str(tmp_path / name))
        file.write_text(lines.replace("db.example.org", f"127.0.0.1:{server.port}"))
        options = load(file).idp
        folder = ProviderFolder(
            options.directory, Sharing(options.database, options.key_encryption_file)
        )
        made.append(folder.create(options.domain, "ES256", 1, local_tls=False))
        assert folder.open().domain == "example.org"
        assert len(folder.keys.all()) == 1
    assert [each.provider for each in made] == [True, False]


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


def run(script: str, environment: dict[str, str]) -> None:
    command = ["/bin/sh", "-ec", script]
    subprocess.run(command, env=environment, timeout=PATIENCE, check=True)
