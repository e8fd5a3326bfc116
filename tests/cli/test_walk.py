"""The walk through the sample programs and the caches, as those know it who knew the original."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import store
from browserid_sasl.api import CLIENT_DATABASE
from tests.support.provider import ALICE, DOMAIN, PASSWORD, running_provider
from tests.support.sample_programs import HOST, ROOT, RunningServer, run_program
from tests.support.terminal import at_terminal

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
    return tmp_path


def test_the_walk(home: Path) -> None:
    """A person is asked who they are where there is no ticket, and then not for a while."""
    with running_provider(home / "idp") as provider:
        (home / "browserid.toml").write_text(
            f"""
            [store]
            directory = "{home}/client"
            server_directory = "{home}/server"
            [client]
            sign_in = "password"
            [authorities."{DOMAIN}"]
            url = "{provider.url}"
            ca_file = "{provider.ca_file}"
            """
        )
        with RunningServer(("-p", "0", "--listen", "127.0.0.1", "-h", HOST)) as server:
            walk(home, server)


def walk(home: Path, server: RunningServer) -> None:
    words = ("-p", str(server.port), "-m", "BROWSERID-AES128", HOST)

    def sample_client(*answers: tuple[str, str]) -> str:
        program = [sys.executable, str(ROOT / "sample_client.py")]
        return at_terminal([*program, *words], os.environ, answers)

    address, password = ("your e-mail address:", ALICE), (f"Password for {ALICE}:", PASSWORD)

    # Where nobody can be asked, it says what to do.
    alone = run_program("sample_client.py", words)
    assert "browserid login" in alone.stderr
    assert alone.returncode != 0

    shown = sample_client(address, password)
    assert "successful authentication" in shown
    assert PASSWORD not in shown
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
    assert "successful authentication" in sample_client(password)

    # Two logins with a certificate, and two by ticket in between.
    assert len(re.findall(r"[0-9A-F]{64}$", run("bidtool", "rlist"), re.MULTILINE)) == 4
    assert re.search(rf"^{re.escape(DOMAIN)} +ES256 +\w", run("bidtool", "certlist"), re.MULTILINE)
