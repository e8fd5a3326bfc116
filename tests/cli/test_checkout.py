"""The sample programs of a checkout, started as README.md says: in no environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from browserid_sasl import __version__
from tests.support.sample_programs import ROOT

PROGRAMS = ("sample_client.py", "sample_server.py")
NOTHING = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that no test changes."""
    top = tmp_path_factory.mktemp("checkout") / "copy"
    top.mkdir()
    for program in PROGRAMS:
        shutil.copy(ROOT / program, top)
    for folder in ("browserid_sasl", "tools"):
        shutil.copytree(ROOT / folder, top / folder)
    return top


@pytest.fixture
def checkout(copy: Path, tmp_path: Path) -> Path:
    """A copy without an environment, in a folder with spaces: its files are links to one copy's."""
    return Path(shutil.copytree(copy, tmp_path / "check out", copy_function=os.link))


def run(program: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a program by its name, as from a shell in some folder."""
    return subprocess.run(
        [program, "--version"],
        cwd=folder,
        env=NOTHING | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", PROGRAMS)
class TestProgram:
    @pytest.mark.parametrize("how", ["in its folder", "in another", "by a link"])
    def test_runs_in_the_environment_beside_it(self, checkout: Path, name: str, how: str) -> None:
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        link = checkout.parent / "a link"
        link.symlink_to(checkout / name)
        program = link if how == "by a link" else checkout / name
        done = run(program, checkout if how == "in its folder" else Path("/"))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{program.name} {__version__}\n"

    def test_runs_where_python_takes_no_modules_from_a_programs_folder(
        self, checkout: Path, name: str
    ) -> None:
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        done = run(checkout / name, Path("/"), PYTHONSAFEPATH="1")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{name} {__version__}\n"

    def test_runs_in_it_with_its_output_closed(self, checkout: Path, name: str) -> None:
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        closed = ["bash", "-c", 'exec "$@" >&-', "bash", "/usr/bin/python3"]
        done = subprocess.run(
            [*closed, str(checkout / name), "--help"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("made", [(), (".venv/pyvenv.cfg",), (".venv/bin/python",)])
    def test_says_what_to_run_where_there_is_none(
        self, checkout: Path, name: str, made: tuple[str, ...]
    ) -> None:
        for file in made:
            (checkout / file).parent.mkdir(parents=True)
            (checkout / file).touch(mode=0o755)
        done = run(checkout / name, Path("/"))
        assert done.returncode == os.EX_UNAVAILABLE
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"{name}: No module named ")
        assert f"run `make demo` in {checkout}," in done.stderr
