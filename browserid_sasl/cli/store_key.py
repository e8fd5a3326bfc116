"""The commands `browserid store-key`: the key that a store of several hosts is encrypted with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.store.sealing import SiteKeys, read_site_keys, write_site_keys

F = TypeVar("F", bound=Callable[..., Any])

_COPY = "Copy it to all hosts of the site, for the account that browserid-acceptor runs as."


def _of_file(function: F) -> F:
    return output_options(
        click.argument("file", type=click.Path(dir_okay=False, path_type=Path))(function)
    )


@click.group("store-key")
def store_key() -> None:
    """The key of a store that several hosts share."""


@store_key.command("new")
@_of_file
def new(file: Path, output: Output) -> None:
    """Make a key in a FILE that is not there yet."""
    if file.exists():
        raise ConfigurationError(
            f"there is a file {file} already", "change it with `browserid store-key add` and `use`"
        )
    _write(file, SiteKeys.generate(), output, f"there is a key in {file}", _COPY)


@store_key.command("add")
@_of_file
def add(file: Path, output: Output) -> None:
    """Add a key to FILE that opens values, and seals none yet."""
    keys = read_site_keys(file).with_new_key()
    _write(file, keys, output, f"there is a further key in {file}", _COPY)


@store_key.command("use")
@_of_file
def use(file: Path, output: Output) -> None:
    """Seal with the key of FILE that was added last, when all hosts have it."""
    keys = read_site_keys(file).with_last_first()
    _write(file, keys, output, f"the newest key in {file} seals now", _COPY)


@store_key.command("drop")
@_of_file
def drop(file: Path, output: Output) -> None:
    """Leave in FILE the key that seals, when all that others have sealed has expired."""
    keys = read_site_keys(file).without_old()
    _write(file, keys, output, f"one key is left in {file}", "Tickets under others are void.")


def _write(file: Path, keys: SiteKeys, output: Output, said: str, note: str) -> None:
    try:
        write_site_keys(file, keys)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written: {error.strerror}",
            "name a file in a folder that this account can write to",
        ) from None
    output.give({"file": str(file), "keys": len(keys.values)})
    output.say(said)
    output.note(note)
