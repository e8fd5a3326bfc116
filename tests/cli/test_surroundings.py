"""The commands where something that every process has is missing: a home, an output, a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from browserid_sasl.cli import bidtool, browserid
from browserid_sasl.config import load
from browserid_sasl.errors import ConfigurationError
from tests.support.forks import in_child
from tests.support.sample_programs import ROOT

#: Of an account that is in no list, as containers have them.
NOBODY_AT_ALL = 23_456

Main = Callable[[Sequence[str]], int]


def start(command: str, arguments: str, shell: str = "", **environment: str) -> tuple[int, str]:
    """The exit status of a command and what it says on standard error.

    :param shell: redirections.
    """
    code = f"import sys; from browserid_sasl.cli.{command} import main; sys.exit(main())"
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {arguments} {shell}', sys.executable, code],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    return done.returncode, done.stderr.decode(errors="surrogateescape")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in (
        *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
        *("BROWSERID_CONFIG", "BROWSERID_AGENT"),
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def configuration(home: Path) -> Path:
    """A file: who names one does without the agent."""
    file = home / "explicit.toml"
    file.write_text('[store]\ndirectory = "client"\n')
    file.chmod(0o600)
    return file


@pytest.mark.usefixtures("home")
class TestNoHome:
    @pytest.fixture(autouse=True)
    def loaded(self, home: Path, configuration: Path) -> None:
        """Everything is imported before the account changes, to one that may not read it here."""
        if os.geteuid() != 0:
            pytest.skip("needs root to be another user")
        for main, arguments in (
            (browserid.main, ["list", "--config", str(configuration)]),
            (bidtool.main, ["list", "--server"]),
        ):
            assert main(arguments) == 0

    @pytest.mark.parametrize("variable", [None, "", "relative/home"])
    @pytest.mark.parametrize(
        ("main", "arguments", "option"),
        [
            (bidtool.main, ["list"], "store.directory"),
            (bidtool.main, ["list", "--server"], "store.server_directory"),
        ],
    )
    def test_what_to_set_is_said(
        self, main: Main, arguments: list[str], option: str, variable: str | None
    ) -> None:
        def run() -> str:
            set_home(variable)
            return outcome(main, arguments)

        said = in_child(run, NOBODY_AT_ALL)
        assert said.startswith(f"{os.EX_CONFIG} ")
        assert "this account has no home folder" in said
        assert f"set HOME to a folder of its own, or give {option} in a configuration file" in said

    @pytest.mark.parametrize("variable", [None, "", "relative/home"])
    def test_so_it_is_of_the_agent_s_socket(self, variable: str | None) -> None:
        def run() -> str:
            set_home(variable)
            return outcome(browserid.main, ["list"])

        said = in_child(run, NOBODY_AT_ALL)
        assert said.startswith(f"{os.EX_CONFIG} ")
        assert "this account has no home folder: set HOME, XDG_RUNTIME_DIR or BROWSERID" in said

    def test_what_needs_no_home_works(self) -> None:
        def run() -> str:
            set_home(None)
            return outcome(bidtool.main, ["token", "{}"])

        assert in_child(run, NOBODY_AT_ALL).startswith("0 ")

    def test_a_file_that_names_the_folders_is_enough(self) -> None:
        def run() -> str:
            set_home(None)
            os.umask(0o077)
            folder = Path(tempfile.mkdtemp())
            (folder / "browserid.toml").write_text('[store]\ndirectory = "client"\n')
            try:
                config = ["--config", f"{folder}/browserid.toml"]
                begun = outcome(bidtool.main, ["reset", *config])
                return begun[:2] + outcome(browserid.main, ["list", *config])
            finally:
                shutil.rmtree(folder)

        assert in_child(run, NOBODY_AT_ALL) == "0 0 nobody is signed in\n"


def set_home(variable: str | None) -> None:
    os.environ.pop("HOME", None)
    if variable is not None:
        os.environ["HOME"] = variable


def outcome(main: Main, arguments: Sequence[str]) -> str:
    """The exit status, and what was said."""
    said = StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        status = main(arguments)
    return f"{status} {said.getvalue()}"


@pytest.mark.usefixtures("home")
class TestStreams:
    @pytest.mark.parametrize(
        ("command", "arguments", "shell", "status"),
        [
            ("bidtool", "token", "<&-", os.EX_USAGE),
            ("bidtool", "token '{}'", ">&-", 0),
            ("bidtool", "token '{}'", ">/dev/full", os.EX_IOERR),
            ("bidtool", "list", "<&- >&- 2>&-", 0),
            ("browserid", "--help", ">/dev/full", os.EX_IOERR),
            ("browserid", "login --password-fd 0 alice@example.invalid", "<&-", os.EX_NOPERM),
            ("browserid", "login alice@example.invalid", "<&-", os.EX_UNAVAILABLE),
            ("browserid", "logout alice@example.org", "2>&-", os.EX_NOPERM),
            ("browserid", "logout alice@example.org", "2>/dev/full", os.EX_NOPERM),
        ],
    )
    def test_one_that_is_closed_or_full(
        self, configuration: Path, command: str, arguments: str, shell: str, status: int
    ) -> None:
        if "alice" in arguments:
            arguments += f" --config {configuration}"
        found, said = start(command, arguments, shell)
        assert "Traceback" not in said
        assert found == status


@pytest.mark.usefixtures("home")
class TestLocale:
    @pytest.mark.parametrize(
        "environment",
        [
            {"LC_ALL": "C"},
            {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
            {"PYTHONIOENCODING": "ascii"},
        ],
        ids=["C", "ASCII", "output"],
    )
    @pytest.mark.parametrize("name", ["j\N{LATIN SMALL LETTER U WITH DIAERESIS}rgen", "\udcff"])
    def test_characters_that_it_lacks(
        self, configuration: Path, environment: dict[str, str], name: str
    ) -> None:
        for command, arguments in (
            ("browserid", f"logout --config {configuration} {name}@example.org"),
            ("bidtool", f"token {name}"),
            ("bidtool", f"tickets delete {name}"),
            ("bidtool", f"cache delete {name}"),
        ):
            status, said = start(command, arguments, **environment)
            assert "Traceback" not in said
            assert status != 0


@pytest.mark.usefixtures("home")
class TestCurrentFolder:
    def test_one_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        assert load().client.identity == ""
        with pytest.raises(ConfigurationError, match="give the configuration file's absolute path"):
            load(environ={"BROWSERID_CONFIG": "browserid.toml"})
