"""The entry by which a desktop starts the agent when its person signs in there.

Desktop Application Autostart Specification 0.5, Desktop Entry Specification 1.5, both of
freedesktop.org.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs

from browserid_sasl.agent.own_programs import AGENT, own_program
from browserid_sasl.config.files import VARIABLE
from browserid_sasl.config.home import in_home
from browserid_sasl.errors import Code, ConfigurationError, LocalProtocolError, StoreError
from browserid_sasl.private_files import write_atomically

FOLDER: Final = "autostart"
FILE: Final = "browserid-agent.desktop"

_MODE: Final = 0o644
_MAX_SIZE: Final = 65_536
_SPECIAL: Final = '"`$\\'
"""Characters that have a backslash before them between the quotes of a command line."""


class Autostart:
    """The person's entry.

    :param command: what it runs.
    :raises ConfigurationError: there is no home folder to have it in.
    """

    def __init__(self, command: Sequence[str]) -> None:
        folder = in_home(platformdirs.user_config_path)
        if folder is None:
            raise ConfigurationError(
                "this account has no home folder that a desktop reads",
                "set HOME, or XDG_CONFIG_HOME",
            )
        self.path: Final = folder / FOLDER / FILE
        self._content = _entry(command)

    @classmethod
    def of_agent(cls) -> Autostart:
        """That of the agent, with the configuration that is used just now.

        :raises ConfigurationError: there is no home folder to have it in.
        """
        named = os.environ.get(VARIABLE)
        # A desktop knows nothing of what was set in a shell.
        options = ["--config", str(Path(named).absolute())] if named else []
        return cls([*own_program(AGENT), *options])

    @property
    def is_there(self) -> bool:
        """Whether the file is as it is written here.

        :raises StoreError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return file.read(_MAX_SIZE) == self._content
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unusable(error) from None

    def check(self) -> None:
        """See that it can be written without losing anything.

        :raises LocalProtocolError: there is one that is not from here.
        :raises StoreError: it cannot be read.
        """
        if os.path.lexists(self.path) and not self.is_there:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{self.path} is there already, and says something else",
                "if nobody needs it, remove it",
            )

    def write(self) -> None:
        """Put it there.

        :raises LocalProtocolError: there is one that is not from here.
        :raises StoreError: it cannot be written.
        """
        self.check()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, self._content, _MODE)
        except OSError as error:
            raise self._unusable(error) from None

    def remove(self) -> bool:
        """Take it away, if it is as it was written here.

        :returns: whether it was.
        :raises StoreError: it cannot be taken away.
        """
        if not self.is_there:
            return False
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None
        return True

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(
            Code.CACHE_ERROR,
            f"{self.path} cannot be used ({error.strerror or error})",
            "see that the folder is yours, and that there is room on the disk",
        )


def _entry(command: Sequence[str]) -> bytes:
    lines = (
        "[Desktop Entry]",
        "Type=Application",
        "Name=Identity agent",
        "Comment=Logs your mail programs in with your e-mail identity",
        f"Exec={' '.join(map(_quoted, command))}",
        "Terminal=false",
        "NoDisplay=true",
        "",
    )
    return os.fsencode("\n".join(lines))


def _quoted(word: str) -> str:
    """A word of a command line, in quotes, then as any string of the file is escaped.

    :raises LocalProtocolError: it has a character that the file cannot have.
    """
    if not word.isprintable():
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"{word!r} cannot be in the command of a desktop's entry",
            "give the file or folder a name that can be shown",
        )
    quoted = "".join(f"\\{each}" if each in _SPECIAL else each for each in word)
    # A percent sign would begin a field that the desktop fills in.
    return f'"{quoted}"'.replace("\\", "\\\\").replace("%", "%%")
