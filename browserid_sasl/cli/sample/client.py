"""The sample client: connects, authenticates, says how it went, and closes."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import click

from browserid_sasl import config
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.api import Client
from browserid_sasl.cli.options import FILE, config_option
from browserid_sasl.cli.output import Output
from browserid_sasl.cli.people import people_of
from browserid_sasl.cli.sample import options
from browserid_sasl.cli.sample.binding import FLAGS, STAND_INS
from browserid_sasl.cli.sample.connection import SampleConnection, connect
from browserid_sasl.cli.sample.console import Console
from browserid_sasl.cli.sample.library import NativeLibrary, SaslLibrary, Wishes
from browserid_sasl.cli.sample.login import Login
from browserid_sasl.cli.sample.outcome import NOT_AUTHENTICATED
from browserid_sasl.cli.sample.python_sasl import PythonSasl
from browserid_sasl.cli.sample.tls import channel_bindings, client_context
from browserid_sasl.cli.signing_in import sign_in
from browserid_sasl.config.sections import Dialect, Mutual
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.sasl.channel_binding import ChannelBinding

_STANDARD_INPUT: Final = 0
_STANDARD_ERROR: Final = 2

_NATIVE: Final = "native"
_PYTHON_SASL: Final = "python-sasl"


@dataclass(frozen=True, slots=True)
class ClientSettings(options.OutputSettings):
    """The command line.

    :param flag: the last of ``-c -C -d -D``, None without any.
    :param timeout: s.
    :param library: what runs the mechanism.
    """

    flag: str | None
    port: str
    service: str
    mechanism: str | None
    config_file: Path | None
    identity: str
    authzid: str
    library: str
    dialect: str | None
    mutual: str | None
    tls: bool
    ca_file: Path | None
    tls_max: str
    cb_type: str | None
    timeout: float
    host: str

    @property
    def can_ask(self) -> bool:
        """Whether a person sits at a terminal, who can be asked to sign in."""
        return not self.as_json and os.isatty(_STANDARD_INPUT) and os.isatty(_STANDARD_ERROR)


@options.command
@options.binding_flags
@options.port_and_service
@click.option("-m", "mechanism", metavar="MECH", help="Only mechanism to use.")
@config_option
@click.option("--identity", metavar="EMAIL", default="", help="Who to log in as.")
@click.option("--authzid", metavar="NAME", default="", help="Who to act for, if not oneself.")
@click.option(
    "--sasl-library",
    "library",
    type=click.Choice([_NATIVE, _PYTHON_SASL]),
    default=_NATIVE,
    show_default=True,
    help="What runs the mechanism: this package, or libsasl2 with the plugin, by the package sasl"
    " (python-sasl). That binds to no channel.",
)
@click.option(
    "--dialect", type=click.Choice(get_args(Dialect)), help="Generation of the protocol to speak."
)
@click.option(
    "--mutual", type=click.Choice(get_args(Mutual)), help="Whether the server has to prove itself."
)
@click.option("--tls", is_flag=True, help="Connect by TLS.")
@click.option("--ca-file", type=FILE, help="PEM authorities to believe under TLS.")
@options.tls_max_option
@click.option("--cb-type", type=click.Choice(list(STAND_INS)), help="Type of channel binding.")
@options.timeout_option
@options.output_options
@click.argument("host", default="localhost")
def command(**given: Any) -> int:
    """Log in to the sample server on HOST by SASL.

    The flags and the protocol are those of the sample client of Cyrus SASL. At a terminal, whoever
    has to sign in first is asked to.
    """
    settings = ClientSettings(**given)
    if settings.ca_file is not None and not settings.tls:
        raise click.UsageError("--ca-file needs --tls")
    if settings.library == _PYTHON_SASL:
        _refuse_what_python_sasl_lacks(settings)
    return log_in(settings)


def _refuse_what_python_sasl_lacks(settings: ClientSettings) -> None:
    bound = settings.flag is not None and FLAGS[settings.flag].critical
    if bound or settings.cb_type is not None:
        raise click.UsageError(
            f"{settings.flag if bound else '--cb-type'} needs --sasl-library {_NATIVE}:"
            " python-sasl has no way to give libsasl2 channel binding data"
        )
    if settings.dialect is not None or settings.mutual is not None:
        raise click.UsageError(
            f"--dialect and --mutual need --sasl-library {_NATIVE}: the plugin has `dialect` and"
            " `mutual` from the section [client] of the configuration only"
        )


def log_in(settings: ClientSettings) -> int:
    """Connect and authenticate; the exit status.

    :raises BrowserIDError: the configuration, the TLS files, the store or the library cannot be
        used.
    """
    console = settings.console
    library = _open_library(settings)
    tls = client_context(settings.ca_file, settings.tls_max) if settings.tls else None
    try:
        return _connect(settings, library, tls, console, asks=settings.can_ask)
    except BrowserIDError as error:
        if error.code is not Code.INTERACT_REQUIRED or not settings.can_ask:
            raise
        if not _sign_in(settings, error, console):
            return options.NOT_AUTHENTICATED
    # On a connection of its own: the server does not wait for a person.
    return _connect(settings, library, tls, console, asks=False)


def _sign_in(settings: ClientSettings, error: BrowserIDError, console: Console) -> bool:
    """Have the person at the terminal sign in, as `browserid login` does; whether they have."""
    console.complain(error.message)
    address = error.identity if isinstance(error, SignInRequiredError) else ""
    try:
        address = address or click.prompt("Sign in with your e-mail address", err=True)
        sign_in(
            people_of(settings.config_file), address, Output(), config_file=settings.config_file
        )
    except BrowserIDError as refusal:
        console.fail("signing in", refusal, is_client=True)
        return False
    return True


def _connect(
    settings: ClientSettings,
    library: SaslLibrary,
    tls: ssl.SSLContext | None,
    console: Console,
    *,
    asks: bool,
) -> int:
    try:
        connection = connect(settings.host, settings.port, settings.timeout)
    except socket.gaierror as error:
        console.complain(f"getaddrinfo: {error.strerror}")
        return os.EX_UNAVAILABLE
    except OSError as error:
        console.complain(f"connect: {error.strerror or error}")
        return os.EX_UNAVAILABLE
    with closing(connection):
        status = _authenticate(settings, library, tls, connection, console, asks=asks)
        if status != os.EX_OK:
            console.give(NOT_AUTHENTICATED)
        console.say("closing connection")
    return status


def _authenticate(
    settings: ClientSettings,
    library: SaslLibrary,
    tls: ssl.SSLContext | None,
    connection: SampleConnection,
    console: Console,
    *,
    asks: bool,
) -> int:
    try:
        if tls is not None:
            connection.start_tls(tls, settings.host)
        wishes = _wishes(settings, connection)
        login = Login(library, wishes, connection, console, asks=asks)
        return os.EX_OK if login.run() else options.NOT_AUTHENTICATED
    except LocalProtocolError as error:
        console.fail("starting SASL negotiation", error, is_client=True)
        return options.NOT_AUTHENTICATED
    except ssl.SSLError as error:
        console.complain(f"TLS: {error.strerror or error}")
        return os.EX_UNAVAILABLE
    except OSError as error:
        console.complain(f"connection lost: {error.strerror or error}")
        return options.NOT_AUTHENTICATED


def _open_library(settings: ClientSettings) -> SaslLibrary:
    given = {"dialect": settings.dialect, "mutual": settings.mutual}
    configuration = config.load(settings.config_file).with_options(
        {name: value for name, value in given.items() if value is not None}, section="client"
    )
    client = Client(configuration, settings.service, settings.host, identity=settings.identity)
    if settings.library == _NATIVE:
        return NativeLibrary(client)
    identity = client.identity if settings.authzid else settings.identity
    return PythonSasl.load(settings.service, settings.host, identity, settings.config_file)


def _wishes(settings: ClientSettings, connection: SampleConnection) -> Wishes:
    flag = FLAGS[settings.flag] if settings.flag is not None else None
    return Wishes(
        settings.mechanism,
        settings.authzid,
        _binding(settings.cb_type, flag.type if flag else None, connection.tls),
        flag is not None and flag.critical,
    )


def _binding(
    demanded: str | None, preferred: str | None, tls: ssl.SSLSocket | None
) -> ChannelBinding | None:
    """What to bind to: type `demanded` or nothing; else `preferred`, or what TLS has.

    :raises LocalProtocolError: the TLS connection does not have it.
    """
    wanted = demanded or preferred
    if tls is None:
        return ChannelBinding(wanted, STAND_INS[wanted]) if wanted is not None else None
    available = channel_bindings(tls, tls.getpeercert(binary_form=True) or b"")
    if wanted in available:
        return ChannelBinding(wanted, available[wanted])
    if demanded is None and available:
        return ChannelBinding(*next(iter(available.items())))
    if wanted is None:
        return None
    raise LocalProtocolError(
        Code.MISSING_CHANNEL_BINDINGS,
        f"this {tls.version()} connection has no channel binding {wanted}",
        "it has " + " and ".join(available) if available else "it has none at all",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    return options.run(command, arguments)
