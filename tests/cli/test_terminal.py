"""What a terminal gets that a file does not: progress, and colours."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.every_option import ASSERTION
from tests.support.granting import GrantingProvider, granting_provider
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, PASSWORD
from tests.support.sample_programs import ROOT
from tests.support.terminal import at_terminal

PROGRESS = re.compile(r"(?:\rlooking \(\d+ s\))+\r\x1b\[K")
CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GrantingProvider]:
    """One that takes its time."""
    with granting_provider(tmp_path / "provider") as provider:
        provider.delay = 1.5
        yield provider


@pytest.fixture
def home(tmp_path: Path, provider: GrantingProvider) -> Path:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "browserid.toml").write_text(
        f'[store]\ndirectory = "{tmp_path}/client"\n{provider.configuration}'
    )
    return tmp_path


def command(program: str, *arguments: str) -> list[str]:
    module = f"browserid_sasl.cli.{program}"
    run = f"import sys; from {module} import main; sys.exit(main())"
    return [sys.executable, "-c", run, *arguments]


def variables(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "BROWSERID_CONFIG": str(home / "browserid.toml"),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
    }


def elsewhere(words: list[str], environment: Mapping[str, str]) -> str:
    """What goes to files."""
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.stdout + done.stderr


class TestProgress:
    def sign_in(self, home: Path, *options: str) -> list[str]:
        file = str(home / "password")
        return command("browserid", "login", "--password-file", file, *options, ALICE)

    def test_is_shown_from_the_first_second_on_and_taken_away(self, home: Path) -> None:
        shown = at_terminal(self.sign_in(home), variables(home))
        assert "\rsigning in (1 s)" in shown
        # The line is erased, and what was done stands in its place.
        assert re.search(r"signing in \(\d s\)\r\x1b\[Ksigned in as ", shown)

    @pytest.mark.parametrize("option", ["--quiet", "--json"])
    def test_is_not_shown_to_programs(self, home: Path, option: str) -> None:
        assert "signing in" not in at_terminal(self.sign_in(home, option), variables(home))

    def test_is_not_written_to_files(self, home: Path) -> None:
        assert elsewhere(self.sign_in(home), variables(home)).startswith("signed in as ")


EXPIRED = command("bidtool", "token", "--at", "2027-01-01", ASSERTION)
DOCTOR = command("browserid", "doctor")


@pytest.mark.parametrize("words", [EXPIRED, DOCTOR], ids=["token", "doctor"])
class TestColours:
    """They are on a terminal alone, and not what makes the difference."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        (tmp_path / "browserid.toml").write_text(f'[store]\ndirectory = "{tmp_path}/client"\n')
        return tmp_path

    def test_are_on_a_terminal(self, words: list[str], home: Path) -> None:
        assert COLOUR.search(at_terminal(words, variables(home)))

    @pytest.mark.parametrize("further", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_are_not_where_they_are_not_wanted(
        self, words: list[str], home: Path, further: dict[str, str]
    ) -> None:
        assert not COLOUR.search(at_terminal(words, variables(home) | further))

    def test_are_not_in_files(self, words: list[str], home: Path) -> None:
        assert "\x1b" not in elsewhere(words, variables(home))

    def test_say_nothing_that_the_words_do_not(self, words: list[str], home: Path) -> None:
        shown = at_terminal(words, variables(home))
        plain = CODES.sub("", PROGRESS.sub("", shown)).replace("\r\n", "\n")
        assert plain == elsewhere(words, variables(home))
        red = re.findall(r"\x1b\[31m(.*?)\x1b\[0m", shown)
        assert red
        assert all(re.search(r"\b(bad|not|expired|no)\b", each) for each in red), red
