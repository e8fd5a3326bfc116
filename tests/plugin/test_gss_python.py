"""mech_browserid.so by Debian's python3-gssapi: recorded exchanges, and the Python library."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from browserid_sasl.gss.mechanisms import MECHANISMS
from tests.support import vectors
from tests.support.gss import GssSite
from tests.support.sample_programs import ROOT
from tests.support.services import Installation, folder_for_all, run

DEBIAN = Path("/usr/lib/python3/dist-packages")
WITH_KEY = [row.name for row in MECHANISMS if row.curve is not None]
NOT_BY_OURS = frozenset({"opts-unknown"})
"""Whose initiator has asked for something that ours does not know."""
RECORDED = [
    name
    for name in vectors.names(lambda vector: vector.succeeds and not vector.is_sasl)
    if name not in NOT_BY_OURS
]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path on which this Python finds Debian's package, and nothing else of Debian's."""
    folder = tmp_path_factory.mktemp("modules")
    for name in ("gssapi", "decorator.py"):
        (folder / name).symlink_to(DEBIAN / name)
    return f"{folder}{os.pathsep}{ROOT}"


def run_program(
    name: str, *arguments: str, modules: str, variables: Mapping[str, str]
) -> list[str]:
    command = (sys.executable, "-m", f"tests.plugin.{name}", *arguments)
    done = run(command, env={**variables, "PYTHONPATH": modules}, cwd=ROOT, timeout=200)
    assert done.returncode == 0, done.stdout
    return str(done.stdout).splitlines()


def test_recorded_exchanges(installation: Installation, modules: str) -> None:
    """Both sides give out the recorded tokens, and take each other's recorded messages."""
    with folder_for_all() as folder:
        services = {
            "BROWSERID_AGENT": str(folder / "agent"),
            "BROWSERID_ACCEPTOR": str(folder / "acceptor"),
        }
        said = run_program(
            "gss_recorded",
            *RECORDED,
            modules=modules,
            variables=installation.variables | services,
        )
    with_messages = [name for name in RECORDED if vectors.load(name).data.get("protection")]
    assert len(RECORDED) >= 25
    assert said == [f"{name}: {24 if name in with_messages else 0} messages" for name in RECORDED]


@pytest.mark.parametrize("mechanism", WITH_KEY)
def test_crossed_with_the_python_library(gss: GssSite, modules: str, mechanism: str) -> None:
    said = run_program("gss_crossed", mechanism, modules=modules, variables=gss.variables)
    assert said == [
        f"{mechanism} library_{verb} dce={dce}"
        for dce in (False, True)
        for verb in ("initiates", "accepts")
    ]
