"""The command `browserid-agent`: the person's resident agent."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from browserid_sasl.agent.service.daemon import Agent, AlreadyThereError, Socket
from browserid_sasl.agent.service.place import socket_path
from browserid_sasl.cli.options import config_option, version_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.program import run

_IDLE_S: Final = 900
_FIRST_INHERITED: Final = 3
_READY: Final = b"1"

Ready = Callable[[], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: without the program's name; None for those of the process.
    :returns: the exit status, see `browserid_sasl.cli.program`.
    """
    return run(command, "browserid-agent", arguments)


@click.command()
@version_option
@config_option
@click.option(
    "--background",
    is_flag=True,
    help="Go on in the background, and return when programs are answered.",
)
@click.option(
    "--idle",
    metavar="SECONDS",
    type=click.FloatRange(1, 31_536_000),
    default=_IDLE_S,
    show_default=True,
    help="End when no program has been connected for so long.",
)
@click.option(
    "--socket",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where to listen, in place of where programs look.",
)
@output_options
def command(
    *,
    config_file: Path | None,
    background: bool,
    idle: float,
    path: Path | None,
    output: Output,
) -> int:
    """Log in for your programs, and keep your keys from them.

    Programs start it by themselves when they need it. One is enough: a second one ends at once.
    """
    agent = Agent(config_file, idle)
    inherited = _inherited()
    if inherited is not None:
        place = inherited.getsockname()
        asyncio.run(agent.serve(inherited, lambda: output.give_line({"socket": place})))
        return 0
    place = path or socket_path()
    if background:
        return _in_background(
            lambda ready: _serve(agent, place, ready),
            lambda: output.give_line({"socket": str(place)}),
        )
    return _serve(agent, place, lambda: _tell(output, place))


def _tell(output: Output, place: Path) -> None:
    output.note(f"listening on {place}")
    output.give_line({"socket": str(place)})


def _serve(agent: Agent, path: Path, ready: Ready) -> int:
    try:
        place = Socket(path)
    except AlreadyThereError:
        ready()
        return 0
    try:
        asyncio.run(agent.serve(place.listener, ready))
    finally:
        place.close()
    return 0


def _inherited() -> socket.socket | None:
    """The socket that systemd has made (sd_listen_fds(3)), None if there is none."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return None
    if os.environ.pop("LISTEN_FDS", "") != "1":
        return None
    return socket.socket(fileno=_FIRST_INHERITED)


def _in_background(serve: Callable[[Ready], int], started: Callable[[], None]) -> int:
    """Serve in a process of its own; come back when it is ready, or has failed.

    :param started: called here when it is ready.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() > 0:
        os.close(writing)
        with open(reading, "rb") as told:
            if told.read(1) != _READY:
                return 1
        started()
        return 0
    os.close(reading)
    os.setsid()
    os.chdir("/")

    def ready() -> None:
        os.write(writing, _READY)
        os.close(writing)
        _let_go_of_terminal()

    return serve(ready)


def _let_go_of_terminal() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(_FIRST_INHERITED):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
