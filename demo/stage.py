"""Programs that are run for somebody who watches: shown, recorded, and stopped in the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[1]
PATIENCE: Final = 30.0
"""Seconds that a program may take for what it is asked."""

ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_READING_TIME: Final = 1.0
_WIDTH: Final = 100
_LONGEST_WORD: Final = 80


class StepFailedError(Exception):
    """A step did not show what it has to."""


class Program:
    """A program that was started, and what it writes, collected as it comes.

    :param name: stands before what it writes.
    """

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
        self._process = process
        self._lines: list[str] = []
        self._shown = 0
        self._ended = False
        self._news = threading.Condition()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The match of the first line, among those not shown yet, that has one.

        :raises StepFailedError: none comes.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._find(pattern), PATIENCE)
            found = self._find(pattern)
        if found is None:
            raise StepFailedError(f"nothing like {pattern!r} was written")
        return found

    def _find(self, pattern: str) -> re.Match[str] | None:
        matches = (re.search(pattern, line) for line in self._lines[self._shown :])
        return next((match for match in matches if match), None)

    def show(self) -> list[str]:
        """Show what it has written since the last time; the lines."""
        with self._news:
            new = self._lines[self._shown :]
            self._shown += len(new)
        show(new, f"{self._name} | " if self._name else "")
        return new

    def finish(self, keyboard: str) -> None:
        """Let it come to its end.

        :param keyboard: what it gets on standard input.
        :raises StepFailedError: it does not end.
        """
        self.type(keyboard)
        with self._news:
            self._news.wait_for(lambda: self._ended, PATIENCE)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise StepFailedError(f"it did not end within {PATIENCE:.0f} s") from None

    def type(self, keyboard: str) -> None:
        """Give it all that it gets on standard input."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(keyboard)

    def stop(self) -> None:
        """Stop it, by force if it takes too long."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._news:
            self._news.wait_for(lambda: self._ended, PATIENCE)


class Stage:
    """Where the programs run: a folder that is their home, and nothing of the real one.

    When it is left, all of them are stopped.

    :param folder: empty.
    :param environment: variables that they get besides those they cannot do without.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        # The commands installed beside this interpreter, then the system's.
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        self._environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environment}
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with undisturbed():
            for program in reversed(self._programs):
                program.stop()
                if error is not None:
                    program.show()

    def run(self, *command: str, keyboard: str = "", status: int = 0) -> list[str]:
        """Run a program to its end and show what it writes; the lines.

        :param keyboard: what it gets on standard input; not shown.
        :param status: what it has to exit with.
        :raises StepFailedError: it ends otherwise.
        """
        show_command(command)
        program = self._start("", command)
        program.finish(keyboard)
        lines = program.show()
        if program.status != status:
            raise StepFailedError(f"{command[0]} ended with status {program.status}")
        return lines

    def start(self, name: str, *command: str) -> Program:
        """Start a program that goes on running.

        :param name: what its output is marked with.
        """
        show_command((*command, "&"))
        program = self._start(name, command)
        program.type("")
        return program

    def _start(self, name: str, command: tuple[str, ...]) -> Program:
        with undisturbed():
            process = subprocess.Popen(
                _executable(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self._folder,
                env=self._environment,
                # Ctrl-C is for the demonstration, which then stops them in order.
                start_new_session=True,
            )
            program = Program(name, process)
            self._programs.append(program)
        return program


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off the signals that end the demonstration until the block has ended."""
    came: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in ENDING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def headline(text: str) -> None:
    """Say what comes next; on a terminal, with time to read what was before."""
    if sys.stdout.isatty():
        time.sleep(_READING_TIME)
    print(f"\n== {text}", flush=True)


def explain(text: str) -> None:
    """Say what has been seen, or will be."""
    print(textwrap.fill(text, _WIDTH - 4), flush=True)


def show_command(command: Iterable[str]) -> None:
    """Show a command as a person would type it."""
    print("$", *command, flush=True)


def show(lines: Iterable[str], prefix: str = "") -> None:
    """Show lines, with what nobody reads cut out of tokens, and wrapped if still long."""
    for line in lines:
        shortened = " ".join(map(_shortened, line.split(" ")))
        indent = f"    {prefix}"
        wrapped = textwrap.wrap(
            shortened, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  "
        )
        print(*wrapped, sep="\n", flush=True)


def _shortened(word: str) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    return f"{word[: _LONGEST_WORD // 2]}...{word[-_LONGEST_WORD // 4 :]}"


def _executable(command: tuple[str, ...]) -> list[str]:
    """The command with its program's path; those of the top folder run by this interpreter."""
    program, *arguments = command
    if program.startswith("./"):
        return [sys.executable, str(ROOT / program), *arguments]
    beside = os.path.join(os.path.dirname(sys.executable), program)
    return [beside if os.path.exists(beside) else program, *arguments]
