"""What all demonstrations share: a folder that is gone at the end, ports, and how they end."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from demo.stage import ENDING_SIGNALS, Program, Stage, StepFailedError, explain, headline

AUTHORITY: Final = """\
[authorities."{domain}"]
url = "{url}"
ca_file = "{folder}/tls/ca.pem"
"""


def _nothing(_folder: Path) -> dict[str, str]:
    return {}


def perform(
    run: Callable[[Path, Stage], None],
    configuration: str,
    variables: Callable[[Path], dict[str, str]] = _nothing,
) -> int:
    """Show something in a folder of its own; the exit status.

    :param run: shows it.
    :param configuration: name of the file that all programs read.
    :param variables: what else they find in their environment.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, _stop)
    try:
        with TemporaryDirectory(prefix="browserid-demo-") as name:
            folder = Path(name)
            usual = {
                "BROWSERID_CONFIG": str(folder / configuration),
                "XDG_RUNTIME_DIR": str(folder),
            }
            with Stage(folder, usual | variables(folder)) as stage:
                run(folder, stage)
    except StepFailedError as error:
        print(f"\nThe demonstration failed: {error}.", file=sys.stderr)
        return 1
    headline("That was all of it. Nothing is left running, and the folder it ran in is gone.")
    return 0


def authority_of(provider: Program, domain: str, folder: str, url: str = "") -> str:
    """What tells other programs where a provider is that has just been started.

    :param url: where it is; empty for what it says.
    """
    said = provider.wait_for(rf"serving {re.escape(domain)} at (https://\S+)")[1]
    provider.show()
    return AUTHORITY.format(domain=domain, url=url or said, folder=folder)


def free_port(usual: int) -> int:
    """A port that is free, the usual one if it is."""
    for port in (usual, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as taken:
                found: int = taken.getsockname()[1]
        except OSError:
            explain(f"Port {usual} is taken by another program: using a free one instead.")
        else:
            return found
    raise StepFailedError("there is no free port")


def _stop(number: int, _frame: object) -> NoReturn:
    # Once: what follows is only to clean up.
    for each in ENDING_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
