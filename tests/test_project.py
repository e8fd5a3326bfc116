"""What setup.cfg promises to those who install the package, and the Makefile makes of it."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, version

import pytest

import browserid_sasl
from tests.support.sample_programs import ROOT
from tools.oldest import constraints, requirements

TEXT = (ROOT / "setup.cfg").read_text()
SETUP = configparser.ConfigParser()
SETUP.read_string(TEXT)


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
    assert version("browserid-sasl") == browserid_sasl.__version__
    number = rf"(?<![0-9.]){re.escape(browserid_sasl.__version__)}(?![0-9.])"
    # Of a copy without its history, too.
    options = ["--no-index", "--exclude-standard", "--files-with-matches", "--perl-regexp"]
    command = ["git", "grep", *options, number]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["CHANGELOG.md", "browserid_sasl/__init__.py"]


def test_the_newest_changes_are_those_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.*)", changes, re.MULTILINE)[0] == browserid_sasl.__version__


def test_make_install_installs_every_command() -> None:
    script = (ROOT / "tools" / "install.sh").read_text()
    [commands] = re.findall(r"^readonly commands=\(([^)]*)\)", script, re.MULTILINE)
    lines = SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
    assert sorted(commands.split()) == sorted(line.partition(" = ")[0] for line in lines)


def test_all_optional_parts_are_tested() -> None:
    [extras] = re.findall(r"^TEST_EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {*extras.split(","), "fuzz"} == set(SETUP["options.extras_require"])


def test_everything_that_is_needed_has_an_oldest_version() -> None:
    """Stubs are for mypy, which takes the newest."""
    needed = [re.split(r"[ >=<]", each)[0] for each in requirements(TEXT)]
    bounded = [each.partition("==")[0] for each in constraints(TEXT)]
    assert [name for name in needed if not name.startswith("types-")] == bounded


def test_the_oldest_version_of_a_range_is_its_lower_end() -> None:
    setup = (
        "[options]\ninstall_requires =\n    one >=1.2\n"
        "[options.extras_require]\nmore =\n    two[extra] >=3, <4\n    types-two\n"
    )
    assert list(constraints(setup)) == ["one==1.2", "two==3"]


@pytest.mark.parametrize("target", ["fuzz", "debian13", "oldest"])
def test_what_a_slow_target_would_run_is_there(target: str) -> None:
    """`make test` does not run it: the scripts it calls are at least scripts."""
    make = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    scripts = set(re.findall(r"tools/[a-z0-9-]+\.sh", done.stdout))
    assert scripts
    for script in scripts:
        subprocess.run(["bash", "-n", script], cwd=ROOT, check=True, timeout=60)
    for name in re.findall(r"tools/[a-z0-9-]+\.txt", done.stdout):
        assert (ROOT / name).is_file()
    for ignored in re.findall(r"--ignore=(\S+)", done.stdout):
        assert (ROOT / ignored).exists()


def test_debian_13_is_entered_by_root_alone() -> None:
    script = str(ROOT / "tools" / "debian13.sh")
    command = ["setpriv", "--reuid=65534", "--clear-groups", "bash", script, "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("debian13: run this as root")
