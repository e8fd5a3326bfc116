"""The source distribution and the wheel, each tried where there is nothing else: `make dist`.

The wheel is installed into an empty environment, with each extra on its own, and what that is for
is loaded and run. Of the source distribution the core's tests run, where it was unpacked. DIST
names the folder with both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl import __version__
from tests.support.sample_programs import ROOT

BUILT = Path(os.environ.get("DIST", ROOT / "dist"))
NAME = f"browserid_sasl-{__version__}"
IDP = "{bin}/browserid-idp"
PLACE = ("--directory", "{home}/idp")

WHAT_IT_IS_FOR: dict[str, list[tuple[str, ...]]] = {
    "": [
        ("{bin}/bidtool", "--version"),
        ("{bin}/browserid", "--help"),
        ("{bin}/browserid-acceptor", "--help"),
        ("{bin}/browserid-agent", "--help"),
        ("{bin}/python", "-c", "from browserid_sasl import Client, Server"),
    ],
    "adapters": [
        ("{bin}/python", "-c", "import browserid_sasl.adapters.ldap, browserid_sasl.adapters.smtp"),
    ],
    "http": [("{bin}/python", "-c", "import browserid_sasl.negotiate.client")],
    "idp": [
        (IDP, "init", *PLACE, "--domain", "example.org", "--local-tls"),
        (IDP, "invite", *PLACE, "alice@example.org"),
        (IDP, "audit", *PLACE),
        # Templates and translations.
        ("{bin}/python", "-c", "import browserid_sasl.idp.app, browserid_sasl.idp.web.rendering"),
        # Migrations, of a database that was there before them.
        ("{bin}/python", "-c", "{older}", "{home}/older"),
        (IDP, "list-users", "--directory", "{home}/older"),
        ("{bin}/browserid-verifier", "--help"),
    ],
    "kerberos": [("{bin}/python", "-c", "import gssapi, browserid_sasl")],
    "keyring": [("{bin}/python", "-c", "import browserid_sasl.agent.keyring_access")],
    "ldap": [("{bin}/python", "-c", "import ldap, browserid_sasl")],
    "oidc": [("{bin}/python", "-c", "import joserfc.jwt, browserid_sasl")],
    "postgresql": [("{bin}/python", "-c", "import browserid_sasl.store.postgresql_engine")],
    "redis": [("{bin}/python", "-c", "import browserid_sasl.store.redis_engine")],
    "saml": [("{bin}/python", "-c", "import browserid_sasl.attributes.saml_signatures")],
}
"""What each extra is for, as commands that succeed."""

SCHEMA = ROOT / "tests" / "idp" / "data" / "schemas" / "number-0002.sqlite.sql"
OLDER = f"""
import os, pathlib, sqlite3, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir(0o700)
os.umask(0o077)
with sqlite3.connect(folder / "provider.sqlite") as database:
    database.executescript(pathlib.Path({str(SCHEMA)!r}).read_text())
    database.execute("INSERT INTO alembic_version VALUES ('0002')")
    database.execute("INSERT INTO domain VALUES ('example.org', ?)", [time.time_ns() // 1_000_000])
"""

CORE = ("jose", "identity", "gss", "sasl", "krb5", "x509", "attributes", "discovery", "vectors")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("extra", WHAT_IT_IS_FOR, ids=lambda extra: extra or "none")
def test_the_wheel_does_what_its_extra_is_for(extra: str, tmp_path: Path) -> None:
    wheel = BUILT / f"{NAME}-py3-none-any.whl"
    python = environment(tmp_path / "venv", f"{wheel}[{extra}]" if extra else str(wheel))
    places = {"bin": str(python.parent), "home": str(tmp_path), "older": OLDER}
    for command in WHAT_IT_IS_FOR[extra]:
        run([word.format(**places) for word in command], tmp_path)


@pytest.mark.timeout(1800)
def test_the_core_s_tests_run_where_the_sources_were_unpacked(tmp_path: Path) -> None:
    run(["tar", "--extract", "-f", str(BUILT / f"{NAME}.tar.gz")], tmp_path)
    sources = tmp_path / NAME
    extras = ",".join([*filter(None, WHAT_IT_IS_FOR), "test"])
    python = environment(tmp_path / "venv", f"{sources}[{extras}]")
    tests = [f"tests/{name}" for name in CORE]
    run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], sources)


def environment(folder: Path, requirement: str) -> Path:
    """An environment with this and what it needs; its interpreter."""
    run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    python = folder / "bin" / "python"
    run([str(ROOT / "tools" / "pip-install.sh"), str(python), requirement], folder.parent)
    return python


def run(command: list[str], folder: Path) -> None:
    """Run a command that succeeds."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    through = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean | through,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}"
