"""How the commands end: what they say about an error, and their exit statuses (sysexits.h)."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import click

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    StoreError,
)
from browserid_sasl.printer.node import inert

_STATUSES: Final[tuple[tuple[type[BrowserIDError], int], ...]] = (
    (ConfigurationError, os.EX_CONFIG),
    (CredentialError, os.EX_NOPERM),
    (DiscoveryError, os.EX_UNAVAILABLE),
    (StoreError, os.EX_IOERR),
    (BrowserIDError, 1),
)
STATUSES: Final = (
    (0, "done"),
    (1, "refused: what was asked for is not possible as things are; of `doctor`: doubtful"),
    (2, "of `doctor`: bad"),
    (os.EX_USAGE, "the command line is wrong"),
    (os.EX_UNAVAILABLE, "an identity provider cannot be reached, or its document is not usable"),
    (os.EX_IOERR, "a store, a file of keys, or the output cannot be read or written"),
    (os.EX_NOPERM, "a sign-in was refused, or is needed"),
    (os.EX_CONFIG, "the configuration is wrong"),
    (128 + signal.SIGINT, "interrupted from the keyboard"),
)
"""Every exit status, and what it means. The sample programs have those of Cyrus's."""

_INTERRUPTED: Final = 128 + signal.SIGINT
"""What a shell reports of a program that was ended from the keyboard."""


def run(command: click.Command, name: str, arguments: Sequence[str] | None) -> int:
    """Run a command to its exit status, errors told on standard error.

    :param name: of the program.
    :param arguments: without the program's name; None for those of the process.
    """
    return execute(command, arguments, partial(fail, name), name)


def fail(name: str, error: BrowserIDError) -> int:
    """Tell an error on standard error.

    :param name: of the program.
    :returns: the exit status.
    """
    with suppress(OSError):  # where nobody can be told, the status still says it
        # It may have the words of others in it, who write to no terminal.
        click.echo(inert(f"{name}: {error}"), err=True)
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def execute(
    command: click.Command,
    arguments: Sequence[str] | None,
    failed: Callable[[BrowserIDError], int],
    name: str | None = None,
) -> int:
    """Run a command to its exit status.

    :param arguments: without the program's name; None for those of the process.
    :param failed: tells an error and returns the exit status.
    :param name: of the program; None for that of its file.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown escaped instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = command.main(args=arguments, prog_name=name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(status or 0)
    except click.ClickException as error:
        error.show()
        return os.EX_USAGE
    except click.Abort:
        return _INTERRUPTED
    except BrowserIDError as error:
        return failed(error)
    except OSError as error:
        return failed(_unwritten(error))


def _unwritten(error: OSError) -> BrowserIDError:
    """What is told of a file that no command expects trouble from: mostly the output."""
    subject = ascii(error.filename) if error.filename else "what this prints, or a folder,"
    return StoreError(
        Code.UNAVAILABLE,
        f"{subject} cannot be read or written: {error.strerror or error}",
        "see that there is room on the disk, and that the current folder exists",
    )
