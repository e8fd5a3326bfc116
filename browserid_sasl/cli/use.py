"""The command `browserid use`: whom programs log in as where they do not say."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from browserid_sasl import config
from browserid_sasl.agent.naming import SignInRequiredError, choose, matching, with_choice
from browserid_sasl.api.caches import person_cache
from browserid_sasl.cli.options import config_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.tables import cell, empty_table, show
from browserid_sasl.config import ClientConfig, Config
from browserid_sasl.config.editing import Wanted, changed
from browserid_sasl.config.files import content_of, own_file
from browserid_sasl.config.syntax import Unfit, audience_pattern, email
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.private_files import PRIVATE_FILE, make_folders, write_atomically

_EVERYWHERE: Final = "everywhere else"

Change = Callable[[Wanted], Wanted]


def _pattern(_: object, __: object, given: str | None) -> str | None:
    try:
        return None if given is None else audience_pattern(given)
    except Unfit as unfit:
        raise click.BadParameter(
            f"{unfit.reason}; write a service and a host, such as imap/*.example.org"
        ) from None


@click.command()
@config_option
@click.option(
    "--for",
    "pattern",
    metavar="PATTERN",
    callback=_pattern,
    help="Only at services such as imap/mail.example.org; * stands for any service, and in the"
    " host for anything.",
)
@click.option("--forget", is_flag=True, help="Have no choice there any more.")
@output_options
@click.argument("address", required=False)
def use(
    *,
    config_file: Path | None,
    pattern: str | None,
    forget: bool,
    output: Output,
    address: str | None,
) -> None:
    """Log in as ADDRESS where a program does not say who; without it, show who is chosen.

    The choice is written to your configuration file, and counts at once, for the agent that runs
    too. ADDRESS may be the part before the @ of somebody who is signed in.
    """
    if address is not None and forget:
        raise click.UsageError("give an address or --forget")
    if pattern and address is None and not forget:
        raise click.UsageError("--for needs an address, or --forget")
    configuration = config.load(config_file)
    signed_in = [each.identity for each in person_cache(configuration).look().identities.all()]
    if address is not None:
        identity = _identity(address, signed_in)
        _change(config_file, configuration.client, lambda said: _with(said, pattern, identity))
        output.say(f"{identity} logs in {f'at {pattern}' if pattern else 'by default'}")
    elif forget:
        _change(config_file, configuration.client, lambda said: _without(said, pattern))
        output.say(f"nobody is chosen {f'for {pattern}' if pattern else 'by default'} any more")
    _tell(config.load(config_file), signed_in, output, shown=address is None and not forget)


def _identity(name: str, signed_in: Collection[str]) -> str:
    """The address that somebody means, who may have to sign in yet."""
    if not name:
        raise click.UsageError("the address is empty")
    try:
        return choose(signed_in, name, "", tuple)
    except SignInRequiredError as error:
        try:
            return email(error.identity)
        except Unfit as unfit:
            raise click.UsageError(f"the address {unfit.reason}") from None


def _with(said: Wanted, pattern: str | None, identity: str) -> Wanted:
    if pattern is None:
        return replace(said, identity=identity)
    return replace(said, identities=with_choice(said.identities, pattern, identity))


def _without(said: Wanted, pattern: str | None) -> Wanted:
    if pattern is None and said.identity:
        return replace(said, identity="")
    if pattern is not None and pattern in said.identities:
        left = {each: who for each, who in said.identities.items() if each != pattern}
        return replace(said, identities=left)
    raise ConfigurationError(
        f"nobody is chosen for {pattern}" if pattern else "nobody is chosen by default",
        "`browserid use` shows what is chosen, and where",
    )


def _change(config_file: Path | None, options: ClientConfig, change: Change) -> None:
    file = own_file(config_file)
    # A file that is a link stays one: what it leads to is replaced.
    target = file.resolve()
    try:
        make_folders(target.parent)
        with _alone_in(target.parent):
            data = content_of(file)
            said = Wanted.of(data, file)
            # A table in this file hides the system's, and so it has what that one has.
            said = said if said.identities else replace(said, identities=dict(options.identities))
            mode = target.stat().st_mode & 0o777 if target.exists() else PRIVATE_FILE
            write_atomically(target, changed(data, file, change(said)), mode)
    except OSError as error:
        raise ConfigurationError(
            f"it cannot be written: {error.strerror or error}",
            "see that the file and its folder are yours, and that there is room on the disk",
            file=str(file),
        ) from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others who change a file in a folder waiting, without a file for that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _tell(
    configuration: Config, signed_in: Collection[str], output: Output, *, shown: bool
) -> None:
    options = configuration.client
    chosen = dict.fromkeys((*(who for _, who in options.identities), options.identity))
    missing = [who for who in chosen if who and not matching(signed_in, who)]
    output.give(
        {
            "default": options.identity,
            "identities": [{"for": at, "identity": who} for at, who in options.identities],
            "not_signed_in": missing,
        }
    )
    if shown and output.is_text:
        _show(configuration)
    for who in missing:
        output.note(f"{who} is not signed in: browserid login {who}")


def _show(configuration: Config) -> None:
    options = configuration.client
    table = empty_table("service", "identity", "chosen in")
    rows = [(at, who, "client.identities") for at, who in options.identities]
    if options.identity:
        rows.append((_EVERYWHERE, options.identity, "client.identity"))
    for at, who, option in rows:
        origin = configuration.origins[option]
        table.add_row(*map(cell, (at, who, f"{origin.file}:{origin.line}")))
    show(table, "nobody is chosen: whoever is signed in logs in, if there is only one")
