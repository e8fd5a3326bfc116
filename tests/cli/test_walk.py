"""The walk through the sample programs and the caches, as those know it who knew the original."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE
from tests.support.provider import ALICE, DOMAIN, PASSWORD, running_provider
from tests.support.sample_programs import HOST, RunningServer, run_program

CALL = "import sys; from browserid_sasl.cli.{} import main; sys.exit(main())"


def run(program: str, *arguments: str) -> str:
    """Run a command that has to succeed; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outlive_certificate(home: Path) -> None:
    """Have it be later than the certificate's end."""
    stores = store.open_initiator(home / "client" / CLIENT_DATABASE)
    (record,) = stores.identities.all()
    stores.identities.put(replace(record, expires=1))
    stores.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BROWSERID_CONFIG", str(tmp_path / "browserid.toml"))
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    return tmp_path


def test_the_walk(home: Path) -> None:
    """A person has to say who they are where there is no ticket, and then not for a while."""
    with running_provider(home / "idp") as provider:
        (home / "browserid.toml").write_text(
            f"""
            [store]
            directory = "{home}/client"
            server_directory = "{home}/server"
            [authorities."{DOMAIN}"]
            url = "{provider.url}"
            ca_file = "{provider.ca_file}"
            """
        )
        with RunningServer(("-p", "0", "--listen", "127.0.0.1", "-h", HOST)) as server:
            walk(home, server)


def walk(home: Path, server: RunningServer) -> None:
    def sample_client() -> str:
        done = run_program(
            "sample_client.py", ("-p", str(server.port), "-m", "BROWSERID-AES128", HOST)
        )
        return done.stdout + done.stderr

    def sign_in() -> None:
        run("browserid", "login", "--password-file", f"{home}/password", ALICE)

    assert "browserid login" in sample_client()
    sign_in()
    assert "successful authentication" in sample_client()

    cache, empty, headings, rule, row = run("bidtool", "tlist").splitlines()
    assert cache == f"Ticket cache:     {home}/client/client.db"
    assert headings.split() == ["Identity", "Audience", "Issuer", "Expires"]
    assert row.split()[:3] == [ALICE, "rcmd/localhost", DOMAIN]
    assert not empty + rule.strip("-")

    outlive_certificate(home)
    assert "successful authentication" in sample_client()

    run("bidtool", "tdestroy")
    assert ALICE not in run("bidtool", "tlist")
    assert "browserid login" in sample_client()
    sign_in()
    assert "successful authentication" in sample_client()

    # Two logins with a certificate, and one by ticket in between.
    assert len(re.findall(r"[0-9A-F]{64}$", run("bidtool", "rlist"), re.MULTILINE)) == 3
    assert re.search(rf"^{re.escape(DOMAIN)} +ES256 +\w", run("bidtool", "certlist"), re.MULTILINE)
