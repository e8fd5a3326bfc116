"""Options and exit statuses that the two sample programs share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from browserid_sasl.cli.options import version_option
from browserid_sasl.cli.program import execute
from browserid_sasl.cli.sample.binding import FLAGS
from browserid_sasl.cli.sample.console import Console
from browserid_sasl.errors import BrowserIDError, ConfigurationError, LocalProtocolError

NOT_AUTHENTICATED: Final = 255
"""What Cyrus's client exits with when authentication failed: -1 as an octet."""

_STATUS: Final[dict[type[BrowserIDError], int]] = {
    ConfigurationError: os.EX_CONFIG,
    LocalProtocolError: os.EX_USAGE,
}

F = TypeVar("F", bound=Callable[..., Any])


def command(function: F) -> click.Command:
    """Make a command whose help option is not ``-h``: Cyrus's server has another use for that."""
    settings = {"help_option_names": ["--help"]}
    return click.command(context_settings=settings)(version_option(function))


def binding_flags(function: F) -> F:
    """Add ``-c -C -d -D``, of which the last one given counts, as the argument `flag`."""
    for name, flag in reversed(list(FLAGS.items())):
        text = "fail without it" if flag.critical else "where both sides have it"
        function = click.option(
            name, "flag", flag_value=name, help=f"Channel binding {flag.type}, {text}."
        )(function)
    return function


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """What `output_options` say."""

    verbose: bool
    show_tokens: bool
    quiet: bool
    as_json: bool

    @property
    def console(self) -> Console:
        """Where to write, and how much."""
        return Console(
            quiet=self.quiet,
            verbose=self.verbose,
            whole=self.show_tokens,
            as_json=self.as_json,
        )


def output_options(function: F) -> F:
    """Add ``--verbose``, ``--show-tokens``, ``--quiet`` and ``--json``."""
    verbose = click.option(
        "--verbose",
        is_flag=True,
        help="Decode the tokens sent and received (without keys and signatures), say more.",
    )
    quiet = click.option("--quiet", is_flag=True, help="Do not show what is sent and received.")
    whole = click.option(
        "--show-tokens",
        is_flag=True,
        help="Show the strings sent and received to their end, as Cyrus's programs do. Who reads a"
        " token in time can log in with it.",
    )
    as_json = click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print what has come of a connection as a JSON object in one line, and nothing else.",
    )
    return verbose(whole(quiet(as_json(function))))


def port_and_service(function: F) -> F:
    """Add ``-p`` and ``-s``."""
    port = click.option(
        "-p", "port", metavar="PORT", default="5556", show_default=True, help="Number or name."
    )
    service = click.option(
        "-s", "service", metavar="SERVICE", default="rcmd", show_default=True, help="Service name."
    )
    return port(service(function))


def timeout_option(function: F) -> F:
    """Add ``--timeout``."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        metavar="SECONDS",
        default=60.0,
        show_default=True,
        help="What one connection may take in all.",
    )(function)


def tls_max_option(function: F) -> F:
    """Add ``--tls-max``."""
    return click.option(
        "--tls-max",
        type=click.Choice(["1.2", "1.3"]),
        default="1.3",
        show_default=True,
        help="Latest TLS version to use. tls-unique needs 1.2; with 1.3 the flags -c and -C take"
        " tls-server-end-point.",
    )(function)


def run(command: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a program's command and turn the ways it can fail into Cyrus's exit statuses.

    :param arguments: without the program's name; None for those of the process.
    """
    return execute(command, arguments, _fail)


def _fail(error: BrowserIDError) -> int:
    Console().fail("initializing", error)
    return _STATUS.get(type(error), os.EX_TEMPFAIL)
