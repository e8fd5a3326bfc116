"""The sample server: authenticates whoever connects, says who it was, and closes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from browserid_sasl.api import Server
from browserid_sasl.cli.options import FILE, config_option
from browserid_sasl.cli.sample import options
from browserid_sasl.cli.sample.binding import FLAGS, STAND_INS
from browserid_sasl.cli.sample.console import Console
from browserid_sasl.cli.sample.exchange import ServerExchange, Service
from browserid_sasl.cli.sample.listening import (
    EVERYWHERE,
    Limits,
    Listening,
    Stream,
    open_listeners,
)
from browserid_sasl.cli.sample.tls import ServerTls, channel_bindings
from browserid_sasl.config import Config, load
from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.identity.allow_list import EVERYONE

_GRACE: Final = 3.0
_EVERYBODY: Final = "everybody may log in, of any domain: --allow names those who may"


@dataclass(frozen=True, slots=True)
class ServerSettings(options.OutputSettings):
    """The command line.

    :param flag: the last of ``-c -C -d -D``, None without any.
    :param timeout: s.
    """

    flag: str | None
    hostname: str
    port: str
    service: str
    mechanism: str | None
    config_file: Path | None
    allow: tuple[str, ...]
    address: str | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_max: str
    timeout: float
    max_connections: int
    backlog: int

    @property
    def binding_critical(self) -> bool:
        """Whether a login without channel binding is to be refused."""
        return self.flag is not None and FLAGS[self.flag].critical


def _known_mechanism(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    try:
        if name is not None:
            mechanism_by_name(name)
    except LocalProtocolError as error:
        raise click.BadParameter(str(error)) from None
    return name


@options.command
@options.binding_flags
@click.option(
    "-h",
    "hostname",
    metavar="HOST",
    default=socket.gethostname,
    show_default="this host's",
    help="The name clients know.",
)
@options.port_and_service
@click.option(
    "-m", "mechanism", metavar="MECH", callback=_known_mechanism, help="Only mechanism to offer."
)
@config_option
@click.option(
    "--allow",
    multiple=True,
    metavar="WHO",
    help="Domain or address that may log in; can be given several times. Without it, those whom"
    " the configuration allows, or else everybody.",
)
@click.option(
    "--listen",
    "address",
    metavar="ADDRESS",
    help=f"Only address to listen on; {EVERYWHERE} for all of this host.  [default: loopback]",
)
@click.option("--tls-cert", type=FILE, help="PEM certificate and chain; turns TLS on.")
@click.option("--tls-key", type=FILE, help="PEM private key, if it is not with the chain.")
@options.tls_max_option
@options.timeout_option
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    default=512,
    show_default=True,
    help="Clients served at one time; others wait in the backlog.",
)
@click.option(
    "--backlog",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    default=128,
    show_default=True,
    help="Clients kept waiting.",
)
@options.output_options
def command(**given: Any) -> int:
    """Authenticate clients by SASL and say who they are.

    The flags and the protocol are those of the sample server of Cyrus SASL, which listens
    everywhere.
    """
    settings = ServerSettings(**given)
    if settings.tls_key is not None and settings.tls_cert is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    return serve(settings)


def serve(settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status.

    :raises ConfigurationError: for the configuration file or the TLS files.
    :raises StoreError: the server's store cannot be used.
    """
    console = settings.console
    configuration = _configuration(settings)
    server = Server(configuration, settings.service, settings.hostname)
    tls = None
    if settings.tls_cert is not None:
        tls = ServerTls.load(settings.tls_cert, settings.tls_key, settings.tls_max)
    notices = [_EVERYBODY] if EVERYONE in configuration.server.allow else []
    status, orderly = asyncio.run(_serve(settings, server, tls, console, notices))
    if not orderly:
        # A verification that was cut short may still wait for an identity provider, in a thread
        # that the interpreter would wait for in turn. The stores do not need an orderly end.
        os._exit(status)
    return status


def _configuration(settings: ServerSettings) -> Config:
    given = {}
    if settings.mechanism is not None:
        given["mechanisms"] = mechanism_by_name(settings.mechanism).name
    if settings.binding_critical:
        given["require_channel_binding"] = "yes"
    configuration = load(settings.config_file).with_options(given)
    options = configuration.server
    if settings.allow:
        return configuration.allowing(settings.allow)
    if options.allow or options.allow_file or options.strip_domain:
        return configuration
    # Whoever logs in here is told so, and gets nothing.
    return configuration.allowing([EVERYONE])


async def _serve(
    settings: ServerSettings,
    server: Server,
    tls: ServerTls | None,
    console: Console,
    notices: Sequence[str],
) -> tuple[int, bool]:
    """Listen and serve; the exit status, and whether every conversation came to its end.

    :param notices: what to say once it listens.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        listeners = open_listeners(settings.address, settings.port, settings.backlog, console)
    except socket.gaierror as error:
        console.complain(str(error.strerror))
        return os.EX_USAGE, True
    if not listeners:
        console.complain("Couldn't bind to any socket")
        return os.EX_OSERR, True
    console.complain(*notices)
    console.give({"listening": [_place(each) for each in listeners]})
    # As many as there are conversations: verifications that wait for slow identity providers
    # leave none waiting that could go on.
    workers = ThreadPoolExecutor(settings.max_connections)
    service = Service(server, settings.mechanism, workers)

    async def converse(stream: Stream, own_console: Console) -> None:
        await ServerExchange(service, stream, _bindings(settings, tls, stream), own_console).run()

    limits = Limits(settings.max_connections, settings.timeout, _GRACE)
    listening = Listening(converse, limits, tls.context if tls else None, console)
    all_ended = await listening.serve(listeners, stop)
    workers.shutdown(wait=all_ended, cancel_futures=True)
    return os.EX_OK, all_ended


def _place(listener: socket.socket) -> dict[str, object]:
    address, port = listener.getsockname()[:2]
    return {"address": address, "port": port}


def _bindings(
    settings: ServerSettings, tls: ServerTls | None, stream: Stream
) -> Mapping[str, bytes]:
    if tls is not None:
        return channel_bindings(stream.tls, tls.certificate)
    return STAND_INS if settings.flag is not None else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    return options.run(command, arguments)
