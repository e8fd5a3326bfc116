"""Tells a person who sits at no terminal that they have to sign in."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from typing import Final

from browserid_sasl.agent.keyring import has_bus

_LIMIT_S: Final = 3.0


SIGN_IN: Final = "Sign-in needed"


def tell(text: str, title: str = SIGN_IN) -> None:
    """Show a notification on the desktop, or, where there is none, write a line to the log.

    A D-Bus that is not there is not started.
    """
    if not _notify(text, title):
        print(f"browserid-agent: {text}", file=sys.stderr, flush=True)


def _notify(text: str, title: str) -> bool:
    program = shutil.which("notify-send")
    if program is None or not has_bus(os.environ):
        return False
    try:
        done = subprocess.run(  # noqa: S603 - the desktop's own, and no shell
            (
                program,
                "--app-name=browserid",
                "--",
                title,
                html.escape(text, quote=False),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
