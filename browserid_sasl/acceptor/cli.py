"""The command `browserid-acceptor`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click

from browserid_sasl.acceptor.listeners import wanted
from browserid_sasl.acceptor.log import open_log
from browserid_sasl.acceptor.supervisor import Supervisor
from browserid_sasl.cli.options import FILE, version_option
from browserid_sasl.cli.output import Output, output_options
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
@output_options
def command(config_file: Path | None, check: bool, output: Output) -> int:
    """Accept logins for the mail and other servers of this host.

    Sections [acceptor] and [listeners] of the configuration say how. It stays in the foreground;
    SIGHUP makes it read the configuration again, SIGTERM makes it end.
    """
    reader = partial(load, config_file and config_file.absolute(), user=False)
    if check:
        paths = list(wanted(reader()))
        output.announce("the configuration is good", _members(0, paths))
        return 0
    log = open_log(reader().acceptor.log)
    return Supervisor(reader, log, lambda *told: output.give_line(_members(*told))).run()


def _members(workers: int, paths: Sequence[str]) -> dict[str, object]:
    return {"workers": workers, "listeners": list(paths)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, _NAME, arguments)
