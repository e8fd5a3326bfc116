"""What setup.cfg promises to those who install the package, and the Makefile makes of it."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import browserid_sasl
from tests.support.sample_programs import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


@pytest.mark.parametrize(
    "line", SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
)
def test_the_commands_can_be_loaded(line: str) -> None:
    name, _, target = line.partition(" = ")
    assert callable(EntryPoint(name, target, "console_scripts").load())


@pytest.mark.parametrize(
    "line", SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
)
def test_every_command_tells_the_one_version(line: str) -> None:
    name, _, target = line.partition(" = ")
    module, _, function = target.partition(":")
    program = f"import sys; from {module} import {function}; sys.argv[0] = '/usr/bin/{name}'"
    command = [sys.executable, "-c", f"{program}; sys.exit({function}())", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{name} {browserid_sasl.__version__}\n"


def test_the_version_is_written_down_once() -> None:
    assert SETUP["metadata"]["version"] == "attr: browserid_sasl.__version__"


def test_make_install_installs_every_command() -> None:
    script = (ROOT / "tools" / "install.sh").read_text()
    [commands] = re.findall(r"^readonly commands=\(([^)]*)\)", script, re.MULTILINE)
    lines = SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
    assert sorted(commands.split()) == sorted(line.partition(" = ")[0] for line in lines)


def test_all_optional_parts_are_tested() -> None:
    [extras] = re.findall(r"^TEST_EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(extras.split(",")) == sorted(SETUP["options.extras_require"])
