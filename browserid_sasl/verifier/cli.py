"""Where the command `browserid-verifier` begins: without the extra it says what to install."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from browserid_sasl.cli.program import fail, run
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.extras import not_installed

_NAME: Final = "browserid-verifier"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    try:
        # The web server is an extra.
        from browserid_sasl.verifier.commands import command  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return fail(_NAME, ConfigurationError(*not_installed("idp", error)))
    return run(command, _NAME, arguments)
