"""The command `browserid`: signs a person in to their identity provider, and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from browserid_sasl import config, store
from browserid_sasl.agent.signin import KeyType, sign_in
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.cli.passwords import password_options, password_source
from browserid_sasl.cli.program import run
from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.store.base import IdentityRecord, InitiatorStores, system_clock

F = TypeVar("F", bound=Callable[..., Any])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, "browserid", arguments)


@click.group()
def command() -> None:
    """Log in with your e-mail address, vouched for by its domain."""


def config_option(function: F) -> F:
    """Add ``--config``."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Configuration file, in place of the system's and the user's.",
    )(function)


@command.command()
@config_option
@password_options
@click.option(
    "--key-type",
    type=click.Choice(get_args(KeyType)),
    default="RS256",
    show_default=True,
    help="What your key signs with. All servers verify RS256.",
)
@click.argument("address")
def login(
    config_file: Path | None,
    password_file: Path | None,
    password_fd: int | None,
    key_type: KeyType,
    address: str,
) -> None:
    """Sign in as ADDRESS.

    A key is made on this machine, and the identity provider of the address's domain certifies it
    for a while. Programs use it from then on; none of them sees the password.
    """
    if domain_of(address) is None:
        raise click.UsageError(f"{address!r} is not an e-mail address such as you@example.org")
    source = password_source(password_file, password_fd)
    configuration = config.load(config_file)
    password = source.read(f"Password for {address}")
    record = sign_in(
        address,
        password,
        http=HttpsFetcher(configuration.discovery, configuration.authorities),
        store=_stores(configuration).identities,
        clock=system_clock,
        key_type=key_type,
    )
    click.echo(f"signed in as {record.identity} until {_local_time(record.expires)}")


@command.command("list")
@config_option
def list_identities(config_file: Path | None) -> None:
    """Show who is signed in."""
    records = list(_stores(config.load(config_file)).identities.all())
    if not records:
        click.echo("nobody is signed in", err=True)
        return
    table = Table("identity", "certificate expires", "state", box=None, pad_edge=False)
    for record in records:
        table.add_row(record.identity, _local_time(record.expires), _state(record, system_clock()))
    _show(table)


@command.command()
@config_option
@click.argument("address")
def logout(config_file: Path | None, address: str) -> None:
    """Forget the key of ADDRESS, its certificate and its tickets."""
    stores = _stores(config.load(config_file))
    known = False
    for record in list(stores.identities.all()):
        if record.identity.lower() == address.lower():
            known |= stores.identities.delete(record.identity)
    for ticket in list(stores.tickets.all(system_clock())):
        if ticket.identity.lower() == address.lower():
            known |= stores.tickets.delete(ticket.tid)
    if not known:
        raise CredentialError(
            Code.INTERACT_REQUIRED,
            f"{address} is not signed in",
            "`browserid list` shows who is",
        )
    click.echo(f"signed out {address}")


def _stores(configuration: Config) -> InitiatorStores:
    if configuration.store.backend == "memory":
        raise configuration.error(
            "store.backend",
            "the keys of a person can not be kept in memory, which ends with this command",
            "set `backend` to sqlite",
        )
    path = configuration.store.directory / CLIENT_DATABASE
    return store.open_initiator(path, durability=configuration.store.durability)


def _show(table: Table) -> None:
    # Wide enough for every cell, however narrow the terminal is: an address is for copying.
    wide = Console(width=1000)
    width = Measurement.get(wide, wide.options, table).maximum
    Console(width=width, highlight=False, markup=False).print(table)


def _state(record: IdentityRecord, now: int) -> str:
    return "good" if record.expires > now else "expired"


def _local_time(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"
