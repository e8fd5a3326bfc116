"""What is said where the packages of an extra are not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sample_programs import ROOT

SAY = (
    "import json, sys; sys.prefix = sys.argv[1]; from browserid_sasl.extras import not_installed;"
    "print(json.dumps(not_installed(sys.argv[2], ModuleNotFoundError(name='ldap.ldapobject'))))"
)
"""In an environment that is at another place."""


def said(prefix: Path, extra: str) -> list[str]:
    done = subprocess.run(
        (sys.executable, "-c", SAY, prefix, extra),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_in_a_checkout_pip_installs_it(tmp_path: Path) -> None:
    assert said(tmp_path, "ldap") == [
        "the Python package ldap is not installed, which the extra `ldap` brings",
        'in a checkout of this package, run pip install ".[ldap]"',
    ]


@pytest.mark.parametrize(
    ("extra", "package"),
    [
        *(("ldap", "browserid-ldap"), ("oidc", "browserid-web"), ("redis", "browserid-databases")),
        ("saml", "browserid-acceptor"),
    ],
)
def test_in_the_debian_packages_environment_another_one_has_it(
    tmp_path: Path, extra: str, package: str
) -> None:
    """The file is there as debian/environment.sh puts it there."""
    (tmp_path / "extras.txt").write_bytes((ROOT / "debian" / "extras.txt").read_bytes())
    [_, remedy] = said(tmp_path, extra)
    assert remedy == f"install the Debian package {package}, of the same version as the others"
