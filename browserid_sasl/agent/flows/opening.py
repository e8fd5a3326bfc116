"""Opens a page in the person's browser: by a command, without a shell, without waiting for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINK: Final = "{link}"
"""Stands for the page in a command."""

_USUAL: Final = ("xdg-open", "x-www-browser", "open")
_VARIABLE: Final = "BROWSER"
_IN_TERMINALS: Final = frozenset({"elinks", "links", "links2", "lynx", "w3m", "www-browser"})
"""Browsers that show nothing without a terminal, which they do not get."""

_FAILS_WITHIN_S: Final = 1.0

_STARTED_BY_SYSTEMD: Final = "SYSTEMD_EXEC_PID"
"""Has the number of the process that systemd has started; see systemd.exec(5)."""

_OF_OUR_UNIT: Final = frozenset(
    {
        *("INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "NOTIFY_SOCKET", "SYSTEMD_EXEC_PID"),
        *("LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "MEMORY_PRESSURE_WATCH"),
    }
)
_RUNNER_OPTIONS: Final = (
    *("--user", "--quiet", "--collect", "--description=Page to sign in"),
    *("--property=Type=exec", "--property=KillMode=process"),
)


@dataclass(frozen=True, slots=True)
class Browser:
    """A command that opens a page.

    :param words: the command and its arguments; `LINK` stands for the page.
    :param environment: the variables it gets.
    """

    words: Sequence[str]
    environment: Mapping[str, str]

    @classmethod
    def find(cls, configured: Sequence[str], environment: Mapping[str, str]) -> Browser | None:
        """The configured command, or what environment or desktop name; None if it is not there.

        :param configured: words of a command, empty for what there is.
        """
        path = environment.get("PATH", os.defpath)
        usual = [(name,) for name in _USUAL]
        candidates = [configured] if configured else [*_named(environment), *usual]
        for words in candidates:
            program = shutil.which(words[0], path=path)
            if program is not None:
                placed = any(LINK in word for word in words)
                return cls((program, *words[1:], *(() if placed else (LINK,))), environment)
        return None

    def open(self, link: str) -> bool:
        """Open a page; whether that seems to have worked.

        A browser may run until the person closes it: it is waited for as long as those take that
        fail.
        """
        words = [word.replace(LINK, link) for word in self.words]
        try:
            process = subprocess.Popen(  # noqa: S603 - the person's own, and no shell
                _outside_of_our_unit(words, self.environment),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return False
        try:
            return process.wait(_FAILS_WITHIN_S) == 0
        except subprocess.TimeoutExpired:
            threading.Thread(target=process.wait, daemon=True).start()
            return True


def _outside_of_our_unit(words: Sequence[str], environment: Mapping[str, str]) -> Sequence[str]:
    """A command that runs these words, which systemd starts where it has started this process.

    What our unit forbids every browser needs, so it is none of our children. It may leave processes
    of its own behind, as `xdg-open` does, which stay.
    """
    runner = shutil.which("systemd-run")
    if os.environ.get(_STARTED_BY_SYSTEMD) != str(os.getpid()) or runner is None:
        return words
    variables = [f"--setenv={name}" for name in environment if name not in _OF_OUR_UNIT]
    # systemd replaces variables in arguments.
    literal = [word.replace("$", "$$") for word in words]
    # Only by way of the person's bus can it say that the browser has failed.
    waits = ["--wait"] if _has_bus(environment) else []
    return [runner, *_RUNNER_OPTIONS, *waits, *variables, "--", *literal]


def _has_bus(environment: Mapping[str, str]) -> bool:
    """Whether the bus that programs are told is the one that the person's systemd is on."""
    bus = Path(environment.get("XDG_RUNTIME_DIR", os.devnull), "bus")
    told = environment.get("DBUS_SESSION_BUS_ADDRESS", f"unix:path={bus}")
    return bus.exists() and told.partition(",")[0] == f"unix:path={bus}"


def _named(environment: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """The commands in `BROWSER`, as other programs read it: between colons, `%s` for the page."""
    for command in environment.get(_VARIABLE, "").split(":"):
        try:
            words = shlex.split(command)
        except ValueError:
            continue
        if words and os.path.basename(words[0]) not in _IN_TERMINALS:
            yield [word.replace("%s", LINK) for word in words]
