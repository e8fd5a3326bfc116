"""The command `browserid-acceptor`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click

from browserid_sasl.acceptor.log import open_log
from browserid_sasl.acceptor.supervisor import Supervisor
from browserid_sasl.cli.options import FILE, version_option
from browserid_sasl.cli.program import run
from browserid_sasl.config import load

_NAME: Final = "browserid-acceptor"


@click.command()
@version_option
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=FILE,
    help="Configuration file, in place of /etc/browserid/browserid.toml.",
)
@click.option("--check", is_flag=True, help="Read the configuration, and end.")
def command(config_file: Path | None, check: bool) -> int:
    """Accept logins for the mail and other servers of this host.

    Sections [acceptor] and [listeners] of the configuration say how. It stays in the foreground;
    SIGHUP makes it read the configuration again, SIGTERM makes it end.
    """
    reader = partial(load, config_file and config_file.absolute(), user=False)
    if check:
        reader()
        return 0
    return Supervisor(reader, open_log(reader().acceptor.log)).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, _NAME, arguments)
