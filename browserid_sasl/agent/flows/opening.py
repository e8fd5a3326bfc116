"""Opens a page in the person's browser: by a command, without a shell, without waiting for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LINK: Final = "{link}"
"""Stands for the page in a command."""

_USUAL: Final = ("xdg-open", "x-www-browser", "open")
_FAILS_WITHIN_S: Final = 1.0


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
        """The configured command, or what the desktop has; None if it is not there.

        :param configured: words of a command, empty for what the desktop has.
        """
        path = environment.get("PATH", os.defpath)
        candidates = [configured] if configured else [(name,) for name in _USUAL]
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
        try:
            process = subprocess.Popen(  # noqa: S603 - the person's own, and no shell
                [word.replace(LINK, link) for word in self.words],
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
