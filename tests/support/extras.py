"""Commands where the packages of their extra are not installed."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.sample_programs import ROOT

_WITHOUT = """
import importlib, sys
sys.modules[sys.argv[1]] = None
sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3:]))
"""


def check_it_says_what_to_install(program: str, cli: str, package: str, *arguments: str) -> None:
    """See that a command of the extra `idp` ends with a sentence about what is missing.

    :param cli: the module whose `main` it is.
    :param package: what is not there.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT, package, cli, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == (
        f"{program}: the Python package {package} is not installed, which the extra `idp`"
        ' brings: in a checkout of this package, run pip install ".[idp]"\n'
    )
    assert ended.returncode == os.EX_CONFIG
    assert ended.stdout == ""
