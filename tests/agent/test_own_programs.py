"""Programs of the package are run from where it is, and from nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from browserid_sasl import __version__
from browserid_sasl.agent.own_programs import AGENT, own_program
from tests.support.agent import Person
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder in which somebody has put modules of the names that are imported."""
    trap = tmp_path / "trap"
    for name in ("browserid_sasl/__init__.py", "browserid_sasl/cli/__init__.py", "click.py"):
        module = trap / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text("import pathlib\npathlib.Path(__file__).with_name('sprung').touch()\n")
    return trap


def test_what_is_in_the_current_folder_is_not_run(trap: Path) -> None:
    command = [*own_program(AGENT), "--version"]
    done = subprocess.run(
        command, cwd=trap, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert __version__ in done.stdout
    assert not list(trap.rglob("sprung"))


def test_nor_when_a_command_starts_the_agent(trap: Path, tmp_path: Path) -> None:
    person = Person(tmp_path / "person")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from browserid_sasl.cli.browserid"
    command = [sys.executable, "-P", "-c", f"{code} import main; sys.exit(main(['list']))"]
    try:
        subprocess.run(command, cwd=trap, env=person.variables, timeout=PATIENCE, check=True)
        assert person.agent_pid()
    finally:
        person.stop_agent()
    assert not list(trap.rglob("sprung"))
