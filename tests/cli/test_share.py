"""Manual pages and completions: made of the commands, and read by the programs they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from browserid_sasl.cli.manual import page
from browserid_sasl.cli.program import STATUSES
from browserid_sasl.cli.programs import PROGRAMS, Program
from browserid_sasl.cli.share import completion, files, main
from tests.test_project import SETUP

NAMES = [each.name for each in PROGRAMS]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    here = str(Path(sys.executable).parent)
    return subprocess.run(
        command,
        env={"PATH": f"{here}:/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_program_is_there() -> None:
    lines = SETUP["options.entry_points"]["console_scripts"].strip().splitlines()
    assert sorted(NAMES) == sorted(line.partition(" = ")[0] for line in lines)


def options_of(command: click.Command) -> set[str]:
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {
        name
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
        for name in each.opts
    }
    return own.union(*map(options_of, below))


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
class TestManual:
    def test_it_has_every_option(self, program: Program) -> None:
        text = page(program).replace("\\-", "-")
        assert {each for each in options_of(program.command) if each not in text} == set()

    def test_it_reads_without_a_warning(self, program: Program, tmp_path: Path) -> None:
        file = tmp_path / f"{program.name}.{program.section}"
        file.write_text(page(program))
        done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(file))
        assert done.returncode == 0
        assert "warning" not in done.stderr

    def test_its_lines_are_short(self, program: Program) -> None:
        lines = page(program).splitlines()
        # But for what is one word to roff, such as the usage of a command.
        assert [each for each in lines if len(each) > 80 and not each.startswith(".")] == []

    def test_it_says_how_it_ends(self, program: Program) -> None:
        statuses = [f".B {number}" for number, _ in STATUSES]
        has = [each for each in page(program).splitlines() if each in statuses]
        assert has == ([] if "sample" in program.name else statuses)


class TestCompletion:
    @pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
    def test_bash(self, program: Program, tmp_path: Path) -> None:
        file = tmp_path / "completion"
        file.write_text(completion(program, "bash"))
        function = f"_{program.name.replace('-', '_')}_completion"
        script = (
            f"source {file}; complete -p {program.name};"
            f" COMP_WORDS=({program.name} --he); COMP_CWORD=1; {function} {program.name};"
            ' echo "${COMPREPLY[@]}"'
        )
        done = run("bash", "-c", script)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "--help"

    def test_fish(self, tmp_path: Path) -> None:
        [bidtool] = [each for each in PROGRAMS if each.name == "bidtool"]
        file = tmp_path / "bidtool.fish"
        file.write_text(completion(bidtool, "fish"))
        done = run(
            "fish",
            "--no-config",
            "-c",
            f"source {file}; complete -C 'bidtool tl'",
            HOME=str(tmp_path),
        )
        assert done.stdout.split()[:1] == ["tlist"], done.stderr

    def test_zsh(self, tmp_path: Path) -> None:
        [bidtool] = [each for each in PROGRAMS if each.name == "bidtool"]
        file = tmp_path / "_bidtool"
        file.write_text(completion(bidtool, "zsh"))
        # What it says is taken by `_describe`, in place of which there is one here that shows it.
        script = (
            "compdef() { :; }; compadd() { :; }; _describe() { print -l -- ${(P)3}; };"
            " words=(bidtool tl); CURRENT=2;"
            f" source {file}; _bidtool_completion"
        )
        done = run("zsh", "-f", "-c", script)
        assert "tlist" in done.stdout, done.stderr


def test_where_the_files_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out.split()
    assert main([str(tmp_path)]) == 0
    made = [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()]
    assert sorted(listed) == sorted(made) == sorted(place for place, _ in files())
    assert {os.stat(tmp_path / each).st_mode & 0o777 for each in made} == {0o644}
