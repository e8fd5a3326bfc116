"""What `browserid-verifier` does: serve."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from browserid_sasl import config
from browserid_sasl.api.stores import server_stores
from browserid_sasl.cli.options import config_option, version_option, web_server_options
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.config import Config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.store.base import AcceptorStores
from browserid_sasl.store.memory import memory_acceptor
from browserid_sasl.verifier.app import create_app
from browserid_sasl.verifier.verification import Verification
from browserid_sasl.web.clients import Proxies
from browserid_sasl.web.door import Capacity
from browserid_sasl.web.server import Listener, Terms, place_of
from browserid_sasl.web.server import serve as run_server
from browserid_sasl.web.server_certificate import ServerCertificate


@click.command()
@version_option
@config_option
@web_server_options
@click.option(
    "--remember/--forget",
    default=None,
    help="Whether an assertion that was verified is refused from then on.",
)
@output_options
def command(
    *,
    config_file: Path | None,
    given: dict[str, Any],
    remember: bool | None,
    output: Output,
) -> None:
    """Verify assertions for web sites, over HTTPS, until SIGTERM or SIGINT.

    A web site posts `assertion` and `audience` to /verify, and gets to know whose the assertion is.
    When the service is ready it says where, in one line on standard output.
    """
    if remember is not None:
        given["remember"] = remember
    configuration = config.load(config_file)
    options = replace(configuration.verifier, **given)
    with Listener(options.listen, options.port).open() as listening:
        _serve(replace(configuration, verifier=options), listening, output)


def _serve(configuration: Config, listening: socket.socket, output: Output) -> None:
    options = configuration.verifier
    if options.tls_certificate is None or options.tls_key is None:
        raise ConfigurationError(
            "there is no TLS certificate to serve with",
            "set `tls_certificate` and `tls_key` in [verifier], or give --tls-certificate",
        )
    terms = Terms(
        ServerCertificate(options.tls_certificate, options.tls_key),
        Capacity(options.max_connections, options.max_connections_per_client),
        Proxies(options.proxies),
    )
    place = place_of(listening)
    run_server(
        create_app(Verification(configuration, _stores(configuration))),
        listening,
        terms,
        lambda: output.announce(f"verifying at {place['url']}/verify", place),
    )


def _stores(configuration: Config) -> AcceptorStores:
    if configuration.verifier.remember:
        return server_stores(configuration)
    return memory_acceptor()
