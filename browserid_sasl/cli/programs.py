"""Every program of this package, with its command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

from browserid_sasl.acceptor.cli import command as acceptor
from browserid_sasl.cli.agent import command as agent
from browserid_sasl.cli.bidtool import command as bidtool
from browserid_sasl.cli.browserid import command as browserid
from browserid_sasl.cli.sample.client import command as sample_client
from browserid_sasl.cli.sample.server import command as sample_server
from browserid_sasl.idp.commands import command as idp
from browserid_sasl.verifier.commands import command as verifier


@dataclass(frozen=True, slots=True)
class Program:
    """A program.

    :param name: as it is typed.
    :param command: what it does.
    :param section: of the manual.
    """

    name: str
    command: click.Command
    section: int


PROGRAMS: Final = (
    Program("bidtool", bidtool, 1),
    Program("browserid", browserid, 1),
    Program("browserid-acceptor", acceptor, 8),
    Program("browserid-agent", agent, 1),
    Program("browserid-idp", idp, 8),
    Program("browserid-sample-client", sample_client, 1),
    Program("browserid-sample-server", sample_server, 1),
    Program("browserid-verifier", verifier, 8),
)
