"""A front server as a configuration describes it."""

from __future__ import annotations

from functools import partial
from typing import Final

from browserid_sasl.config import Config
from browserid_sasl.idp.backends.front_server import FrontServer
from browserid_sasl.private_files import read_secret

_LEAST: Final = 32
"""Characters of a secret, which anybody can guess at who reaches the provider."""


def front_server(config: Config, kind: str, name: str) -> FrontServer:
    """The web server whose word is taken for what a section is about.

    :param kind: of the section.
    :param name: of it.
    :raises ConfigurationError: there is no secret, or others have access to it.
    """
    options = getattr(config, kind)[name]
    if options.secret_file is None:
        raise config.error(
            f"{kind}.{name}.secret_file",
            f'[{kind}."{name}"] has no secret_file',
            "make a secret, and have the web server send it: anybody can write its other headers",
        )
    if options.secret_header.lower() == options.header.lower():
        raise config.error(
            f"{kind}.{name}.secret_header",
            f'[{kind}."{name}"] has the same header for two things',
            "have secret_header be one of its own",
        )
    error = partial(config.error, f"{kind}.{name}.secret_file")
    secret = read_secret(options.secret_file, "the front server's secret", error)
    if len(secret) < _LEAST:
        raise error(
            f"the front server's secret in {options.secret_file} has fewer than {_LEAST}"
            " characters",
            "make one with `openssl rand -hex 32`",
        )
    return FrontServer(name, options.secret_header.lower(), secret)
