"""The command `browserid`: signs a person in to their identity provider, and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.agent.signin import KeyType
from browserid_sasl.cli.doctor import doctor
from browserid_sasl.cli.options import config_option, version_option
from browserid_sasl.cli.passwords import password_options, password_source
from browserid_sasl.cli.people import people_of
from browserid_sasl.cli.program import run
from browserid_sasl.cli.tables import cell, empty_table, local_time, show
from browserid_sasl.identity.addresses import domain_of
from browserid_sasl.store.base import system_clock


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


command.add_command(doctor)


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
    for a while. Programs use it from then on; none of them sees the password. A store of keys that
    is damaged is kept aside, and a new one made.
    """
    if domain_of(address) is None:
        raise click.UsageError(f"{address!r} is not an e-mail address such as you@example.org")
    source = password_source(password_file, password_fd)
    people = people_of(config_file)
    signed_in = people.sign_in(address, source.read(f"Password for {address}"), key_type)
    if signed_in.told:
        click.echo(f"browserid: {signed_in.told}", err=True)
    click.echo(f"signed in as {signed_in.identity} until {local_time(signed_in.expires)}")


@command.command("list")
@config_option
def list_identities(config_file: Path | None) -> None:
    """Show who is signed in."""
    now = system_clock()
    identities = empty_table("identity", "certificate expires", "state")
    for each in people_of(config_file).all():
        row = (each.identity, local_time(each.expires), _state(each, now))
        identities.add_row(*map(cell, row))
    show(identities, "nobody is signed in")


@command.command()
@config_option
@click.argument("address")
def logout(config_file: Path | None, address: str) -> None:
    """Forget the key of ADDRESS, its certificate and its tickets."""
    click.echo(f"signed out {people_of(config_file).sign_out(address)}")


def _state(signed_in: SignedIn, now: int) -> str:
    return "good" if signed_in.expires > now else "expired"
