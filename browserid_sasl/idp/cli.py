"""The command `browserid-idp`: sets an identity provider up, looks after it, runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click
from rich.console import Console
from rich.table import Table

from browserid_sasl import config
from browserid_sasl.cli.passwords import password_options, password_source
from browserid_sasl.cli.program import run
from browserid_sasl.config import IdpConfig
from browserid_sasl.errors import Code, ConfigurationError, LocalProtocolError
from browserid_sasl.identity.addresses import is_domain
from browserid_sasl.idp.app import Settings, create_app, system_clock
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.folder import Provider, ProviderFolder
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.server import Listener
from browserid_sasl.idp.server import serve as run_server
from browserid_sasl.idp.signing_keys import Algorithm

F = TypeVar("F", bound=Callable[..., Any])

_DAY_S: Final = 86_400
_LONGEST_LEAD_MS: Final = 300_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, "browserid-idp", arguments)


@click.group()
def command() -> None:
    """Run an identity provider for the e-mail addresses of a domain."""


def place_options(function: F) -> F:
    """Add ``--directory`` and ``--config``."""
    directory = click.option(
        "--directory",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the provider, in place of the configured one.",
    )
    file = click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Configuration file, in place of the system's and the user's.",
    )
    return directory(file(function))


@command.command()
@place_options
@click.option("--domain", metavar="DOMAIN", help="Domain whose addresses it will certify.")
@click.option("--local-tls", is_flag=True, help="Make a private TLS authority and certificate.")
@click.option(
    "--key-type",
    type=click.Choice(get_args(Algorithm)),
    default="RS256",
    show_default=True,
    help="What the signing key signs with.",
)
def init(
    directory: Path | None,
    config_file: Path | None,
    domain: str | None,
    local_tls: bool,
    key_type: Algorithm,
) -> None:
    """Make a provider's folder, with its signing key. What is there already is kept."""
    options = _configuration(directory, config_file)
    name = (domain or options.domain).lower()
    if not is_domain(name) or "." not in name:
        raise ConfigurationError(
            f"{name!r} is not a domain" if name else "no domain is given",
            "name one with --domain example.org",
        )
    folder = ProviderFolder(options.directory)
    if folder.create(name, key_type, system_clock(), local_tls=local_tls):
        click.echo(f"made an identity provider for {name} in {folder.path}")
    else:
        click.echo(f"there is an identity provider for {name} in {folder.path}")
    if local_tls:
        click.echo(f"who is to believe its server needs {folder.tls.anchor}")


@command.command("add-user")
@place_options
@password_options
@click.argument("address")
def add_user(
    directory: Path | None,
    config_file: Path | None,
    password_file: Path | None,
    password_fd: int | None,
    address: str,
) -> None:
    """Make an account for ADDRESS."""
    source = password_source(password_file, password_fd)
    provider = _open(directory, config_file)
    email = provider.accounts.address(address)
    password = source.read(f"Password for {email}", confirm=True)
    now = system_clock()
    _record(provider, Event.ACCOUNT_ADDED, email, now)
    if not provider.accounts.add(email, password, now):
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"there is an account {email} already",
            f"change its password with `browserid-idp set-password {email}`",
        )
    click.echo(f"added {email}")
