"""`browserid-idp` where the packages of its extra are not installed."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys

import pytest

from tests.support.sample_programs import ROOT

WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from browserid_sasl.idp.cli import main
sys.exit(main(["list-users"]))
"""


def test_the_command_is_the_one_that_is_tried_here() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    commands = setup["options.entry_points"]["console_scripts"]
    assert "browserid-idp = browserid_sasl.idp.cli:main" in commands.splitlines()


@pytest.mark.parametrize(
    "module",
    ["anyio", "argon2", "jinja2", "sqlalchemy", "starlette", "uvicorn", "webauthn"],
)
def test_it_says_what_to_install(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == (
        f"browserid-idp: the Python package {module} is not installed, which the extra `idp`"
        ' brings: in a checkout of this package, run pip install ".[idp]"\n'
    )
    assert ended.returncode == os.EX_CONFIG
    assert ended.stdout == ""
