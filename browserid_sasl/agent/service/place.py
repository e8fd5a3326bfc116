"""Where the agent's socket is, for the agent itself and for those who look for it.

plugin/agent.c looks in the same places.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from browserid_sasl.config.home import in_home
from browserid_sasl.errors import ConfigurationError

VARIABLE: Final = "BROWSERID_AGENT"
"""Names the socket, for example one that was forwarded from elsewhere."""


def named_socket() -> Path | None:
    """The socket that the environment names, None if it names none."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def socket_path() -> Path:
    """The socket of this person's agent.

    :raises ConfigurationError: there is no folder for it.
    """
    return named_socket() or _folder() / "browserid" / "agent"


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and _is_own_folder(runtime):
        return Path(runtime)
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state)
    # One that is empty would be the root folder.
    home = None if os.environ.get("HOME") == "" else in_home(Path.home)
    if home is None:
        raise ConfigurationError(
            "there is no folder for the agent's socket: this account has no home folder",
            f"set HOME, XDG_RUNTIME_DIR or {VARIABLE}",
        )
    return home / ".local" / "state"


def _is_own_folder(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
