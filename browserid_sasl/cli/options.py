"""Command-line options that several programs have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from browserid_sasl import __version__

F = TypeVar("F", bound=Callable[..., Any])

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
"""The type of an option that names a file to read."""

_OF_WEB_SERVERS: Final = (
    click.option("--listen", metavar="ADDR", help="Address to listen on."),
    click.option(
        "--port", metavar="N", type=click.IntRange(0, 65_535), help="Port; 0: a free one."
    ),
    click.option(
        "--tls-certificate",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="PEM certificate of the server, with its chain.",
    ),
    click.option(
        "--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="PEM private key."
    ),
)


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


def web_server_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--listen``, ``--port``, ``--tls-certificate`` and ``--tls-key``.

    The function gets, as the argument `given`, what they replace in its `config.WebServerConfig`.
    """

    @functools.wraps(function)
    def serving(
        *,
        listen: str | None,
        port: int | None,
        tls_certificate: Path | None,
        tls_key: Path | None,
        **others: Any,
    ) -> None:
        if tls_key is not None and tls_certificate is None:
            raise click.UsageError("--tls-key needs --tls-certificate")
        given = {
            "listen": listen,
            "port": port,
            "tls_certificate": tls_certificate,
            "tls_key": tls_key or tls_certificate,
        }
        function(given={name: each for name, each in given.items() if each is not None}, **others)

    for option in reversed(_OF_WEB_SERVERS):
        serving = option(serving)
    return serving
