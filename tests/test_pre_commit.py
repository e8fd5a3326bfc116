"""The hooks for commits: what `make check` would refuse is not committed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.sample_programs import ROOT

GOOD = '"""A module."""\n\nNUMBER = 1\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the project's settings, environment and hooks, and one module."""
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    for name in (".pre-commit-config.yaml", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".gitignore").write_text("/.venv\n.*_cache/\n")
    run(folder, "git", "init", "--quiet")
    assert run(folder, ".venv/bin/pre-commit", "install").returncode == 0
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Without a network: nothing may be looked for there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return subprocess.run(
        ("unshare", *as_root, "--net", *command),
        cwd=folder,
        env=own | {"HOME": str(folder.parent), "PRE_COMMIT_HOME": str(folder.parent / "hooks")},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def commit(folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    (folder / "tools" / "module.py").write_text(module)
    run(folder, "git", "add", "--all")
    names = ("-c", "user.name=Alice", "-c", "user.email=alice@example.org")
    return run(folder, "git", *names, "commit", "--quiet", "--message", "A module")


def test_what_is_good_is_committed(checkout: Path) -> None:
    done = commit(checkout, GOOD)
    assert done.returncode == 0, done.stderr
    assert run(checkout, "git", "log", "--format=%s").stdout == "A module\n"


@pytest.mark.parametrize(
    ("module", "hook"),
    [
        (GOOD.replace(" = ", "="), "format"),
        (GOOD + "import os\n", "lint"),
        (GOOD.replace("NUMBER", "NUMBER: str"), "types"),
    ],
)
def test_what_is_not_is_refused_by_its_hook(checkout: Path, module: str, hook: str) -> None:
    done = commit(checkout, module)
    assert done.returncode == 1
    assert f"hook id: {hook}" in done.stderr
    assert done.stderr.count("hook id:") == 1
    assert run(checkout, "git", "log").returncode != 0


def test_they_are_what_make_check_runs() -> None:
    """But that the formatter formats."""
    makefile = (ROOT / "Makefile").read_text()
    [recipe] = re.findall(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    checks = re.findall(r"-m (.*) \$\(SOURCES\)", recipe)
    hooks = re.findall(r" entry: \S+ -m (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert [hook.removesuffix(" --force-exclude") for hook in hooks] == [
        check.removesuffix(" --check") for check in checks
    ]
