"""The command `browserid`: signs a person in to their identity provider, and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from browserid_sasl import config
from browserid_sasl.agent import presence
from browserid_sasl.agent.naming import matching
from browserid_sasl.agent.signin import KeyType, sign_in
from browserid_sasl.api import CLIENT_DATABASE
from browserid_sasl.cli.options import config_option, version_option
from browserid_sasl.cli.passwords import password_options, password_source
from browserid_sasl.cli.program import run
from browserid_sasl.cli.stores import person_stores
from browserid_sasl.cli.tables import cell, empty_table, local_time, show
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.errors import Code, CredentialError
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.store.base import IdentityRecord, system_clock


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, "browserid", arguments)


@click.group()
@version_option
def command() -> None:
    """Log in with your e-mail address, vouched for by its domain."""


@command.command()
@config_option
@password_options
@click.option(
    "--key-type",
    type=click.Choice(get_args(KeyType)),
    default="ES256",
    show_default=True,
    help="What your key signs with. Servers with the implementation in C verify RS256 only, which"
    " makes messages longer.",
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
    identities = person_stores(configuration).identities
    record = sign_in(
        address,
        password,
        http=HttpsFetcher(configuration.discovery, configuration.authorities),
        store=identities,
        clock=system_clock,
        key_type=key_type,
    )
    click.echo(f"signed in as {record.identity} until {local_time(record.expires)}")
    presence.tell(identities, configuration.store.directory / CLIENT_DATABASE)


@command.command("list")
@config_option
def list_identities(config_file: Path | None) -> None:
    """Show who is signed in."""
    now = system_clock()
    identities = empty_table("identity", "certificate expires", "state")
    for record in person_stores(config.load(config_file)).identities.all():
        row = (record.identity, local_time(record.expires), _state(record, now))
        identities.add_row(*map(cell, row))
    show(identities, "nobody is signed in")


@command.command()
@config_option
@click.argument("address")
def logout(config_file: Path | None, address: str) -> None:
    """Forget the key of ADDRESS, its certificate and its tickets."""
    configuration = config.load(config_file)
    stores = person_stores(configuration)
    tickets = list(stores.tickets.all(0))
    known = {record.identity for record in stores.identities.all()}
    identity = _one_of(known | {ticket.identity for ticket in tickets}, address)
    stores.identities.delete(identity)
    for ticket in tickets:
        if ticket.identity == identity:
            stores.tickets.delete(ticket.identity, ticket.audience, ticket.tid)
    click.echo(f"signed out {identity}")
    presence.tell(stores.identities, configuration.store.directory / CLIENT_DATABASE)


def _one_of(known: set[str], address: str) -> str:
    found = matching(sorted(known), address)
    if len(found) == 1:
        return found[0]
    raise CredentialError(
        Code.NO_DEFAULT_IDENTITY if found else Code.INTERACT_REQUIRED,
        f"{address} may be {' or '.join(found)}" if found else f"{address} is not signed in",
        "give one of the addresses that `browserid list` shows",
    )


def _state(record: IdentityRecord, now: int) -> str:
    return "good" if record.expires > now else "expired"
