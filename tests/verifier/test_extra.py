"""`browserid-verifier` where the packages of its extra are not installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.sample_programs import ROOT

WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from browserid_sasl.verifier.cli import main
sys.exit(main([]))
"""


@pytest.mark.parametrize("module", ["anyio", "starlette", "uvicorn"])
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
        f"browserid-verifier: the Python package {module} is not installed, which the extra `idp`"
        ' brings: in a checkout of this package, run pip install ".[idp]"\n'
    )
    assert ended.returncode == os.EX_CONFIG
    assert ended.stdout == ""
