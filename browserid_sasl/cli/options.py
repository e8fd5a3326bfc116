"""Command-line options that several programs have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from browserid_sasl import __version__

F = TypeVar("F", bound=Callable[..., Any])

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
"""The type of an option that names a file to read."""


def version_option(function: F) -> F:
    """Add ``--version``."""
    return click.version_option(__version__, message="%(prog)s %(version)s")(function)


def config_option(function: F) -> F:
    """Add ``--config``, as the argument `config_file`."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=FILE,
        help="Configuration file, in place of the system's and the user's.",
    )(function)
