"""The command `browserid`: signs a person in to their identity provider, and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from browserid_sasl.agent.application import KeyType
from browserid_sasl.agent.flows.choice import WAYS, Way
from browserid_sasl.agent.service.people import SignedIn
from browserid_sasl.cli.doctor import doctor
from browserid_sasl.cli.mail import mail
from browserid_sasl.cli.options import config_option, version_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.passwords import PasswordSource, password_options, password_source
from browserid_sasl.cli.people import people_of
from browserid_sasl.cli.program import run
from browserid_sasl.cli.signing_in import sign_in
from browserid_sasl.cli.status import status
from browserid_sasl.cli.store_key import store_key
from browserid_sasl.cli.tables import cell, empty_table, local_time, show
from browserid_sasl.cli.use import use
from browserid_sasl.identity.addresses import domain_of, without_needless_quotes
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
command.add_command(mail)
command.add_command(status)
command.add_command(store_key)
command.add_command(use)


@command.command()
@config_option
@click.option("--browser", is_flag=True, help="Sign in in a browser, in any case.")
@click.option("--device", is_flag=True, help="Sign in on another device, in any case.")
@password_options
@click.option(
    "--key-type",
    type=click.Choice(get_args(KeyType)),
    default="ES256",
    show_default=True,
    help="What your key signs with. Servers with the implementation in C verify RS256 only, which"
    " makes messages longer.",
)
@output_options
@click.argument("address", required=False, default="")
def login(
    *,
    config_file: Path | None,
    browser: bool,
    device: bool,
    password_file: Path | None,
    password_fd: int | None,
    key_type: KeyType,
    output: Output,
    address: str,
) -> None:
    """Sign in as ADDRESS, or as who is known here if there is only one.

    A key is made on this machine, and the identity provider of the address's domain certifies it
    for a while. Programs use it from then on; none of them sees a password. You sign in in a
    browser, or on another device where there is none, as far as your provider has that; else with
    a password. A store of keys that is damaged is kept aside, and a new one made.
    """
    address = without_needless_quotes(address)
    if address and domain_of(address) is None:
        raise click.UsageError(f"{address!r} is not an e-mail address such as you@example.org")
    source = password_source(password_file, password_fd)
    forced = _forced(browser=browser, device=device, password=source != PasswordSource())
    people = people_of(config_file)
    _tell(
        sign_in(
            people,
            address,
            output,
            config_file=config_file,
            forced=forced,
            source=source,
            key_type=key_type,
        ),
        output,
    )


def _forced(*, browser: bool, device: bool, password: bool) -> Way | None:
    said = {"browser": browser, "device": device, "password": password}
    forced = [way for way in WAYS if said[way]]
    if len(forced) > 1:
        raise click.UsageError(
            "--browser, --device and --password-file or --password-fd exclude each other"
        )
    return forced[0] if forced else None


def _tell(signed_in: SignedIn, output: Output) -> None:
    if signed_in.told:
        output.note(f"browserid: {signed_in.told}")
    output.give(_members(signed_in))
    until = local_time(max(signed_in.expires, signed_in.renewal_expires))
    output.say(f"signed in as {signed_in.identity} until {until}")


@command.command("list")
@config_option
@output_options
def list_identities(config_file: Path | None, output: Output) -> None:
    """Show who is signed in."""
    now = system_clock()
    signed_in = people_of(config_file).all()
    output.give({"identities": [_members(each) for each in signed_in]})
    if output.as_json:
        return
    identities = empty_table("identity", "certificate expires", "renewed until", "state")
    for each in signed_in:
        renewed = local_time(each.renewal_expires) if each.renewal_expires else "-"
        row = (each.identity, local_time(each.expires), renewed, _state(each, now))
        identities.add_row(*map(cell, row))
    show(identities, "nobody is signed in")


@command.command()
@config_option
@click.option("--all", "everybody", is_flag=True, help="Sign out whoever is signed in.")
@output_options
@click.argument("address", required=False)
def logout(config_file: Path | None, everybody: bool, output: Output, address: str | None) -> None:
    """Forget the key of ADDRESS, its certificate and its tickets, and end its renewal."""
    if everybody == (address is not None):
        raise click.UsageError("give an address or --all")
    people = people_of(config_file)
    names = (
        [each.identity for each in people.all()]
        if address is None
        else [without_needless_quotes(address)]
    )
    gone = []
    for name in names:
        with output.working(f"signing out {name}"):
            signed_out = people.sign_out(name)
        gone.append(signed_out.identity)
        if signed_out.told:
            output.note(f"browserid: {signed_out.told}")
        output.say(f"signed out {signed_out.identity}")
    output.give({"signed_out": gone})
    if not names:
        output.note("nobody is signed in")


def _members(signed_in: SignedIn) -> dict[str, object]:
    return {
        "identity": signed_in.identity,
        "expires": signed_in.expires,
        "renewal_expires": signed_in.renewal_expires,
        "state": _state(signed_in, system_clock()),
    }


def _state(signed_in: SignedIn, now: int) -> str:
    if signed_in.expires > now:
        return "good"
    return "renewed when needed" if signed_in.renewal_expires > now else "expired"
