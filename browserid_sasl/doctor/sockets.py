"""Sockets of the resident services, and who answers there."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from browserid_sasl.acceptor.greeting import RELEASE
from browserid_sasl.config import ListenerConfig
from browserid_sasl.doctor.findings import Finding, bad, doubtful, good

_PATIENCE_S: Final = 10.0
_LONGEST: Final = 65_536


@dataclass(frozen=True, slots=True)
class Heard:
    """What somebody says first on a socket.

    :param lines: of the greeting.
    :param problem: why there are none, empty if there are.
    :param dead: whether nobody listens any more, and the file was left behind.
    """

    lines: tuple[str, ...] = ()
    problem: str = ""
    dead: bool = False


def greeting(path: Path) -> Heard:
    """What is said on a socket to whoever connects."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_S)
        octets, deadline = b"", time.monotonic() + _PATIENCE_S
        try:
            connection.connect(str(path))
            while b"\nDONE\n" not in octets and len(octets) < _LONGEST:
                # However slowly it comes: the time is for all of it.
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                more = connection.recv(4096)
                if not more:
                    return Heard(problem="whoever listens there hung up")
                octets += more
        except TimeoutError:
            return Heard(problem="whoever listens there does not answer")
        except OSError as error:
            dead = isinstance(error, ConnectionRefusedError)
            return Heard(problem=error.strerror or str(error), dead=dead)
    return Heard(tuple(octets.decode("utf-8", "replace").splitlines()))


def agent(path: Path, release: str, *, named: bool) -> Iterator[Finding]:
    """The person's agent.

    :param path: of its socket.
    :param release: of this program.
    :param named: whether the environment names the socket, so that nobody starts an agent there.
    """
    check = "agent"
    if not path.exists():
        if named:
            yield bad(
                check, f"BROWSERID_AGENT names {path}, which is not there", "unset BROWSERID_AGENT"
            )
        else:
            yield good(check, "it does not run; the first program that needs it starts it")
        return
    yield from _private_socket(check, path)
    heard = greeting(path)
    if heard.dead and not named:
        yield good(check, "it has ended; the first program that needs it starts another")
        return
    if heard.problem:
        remedy = "unset BROWSERID_AGENT" if named else f"fuser -k {path}"
        yield bad(check, f"nobody answers at {path}: {heard.problem}", remedy)
        return
    yield from _agent_says(check, path, heard.lines, release)


def _agent_says(check: str, path: Path, lines: tuple[str, ...], release: str) -> Iterator[Finding]:
    words = [line.split("\t") for line in lines]
    if words[0][:2] != ["VERSION", "browserid-agent"]:
        yield bad(check, f"what answers at {path} is no agent", f"see what it is: fuser -v {path}")
        return
    _, process, theirs = next((each for each in words if each[0] == "AGENT"), ["", "", ""])[:3]
    if theirs != release:
        yield doubtful(
            check,
            f"the agent that runs is of release {theirs}, and this one is {release}",
            f"kill {process}",
        )
    else:
        yield good(check, f"it runs, release {theirs}, at {path}")


def _private_socket(check: str, path: Path) -> Iterator[Finding]:
    for each in (path.parent, path):
        status = each.stat()
        if status.st_uid != os.geteuid():
            yield bad(check, f"{each} belongs to another account", "unset BROWSERID_AGENT")
        elif status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield bad(
                check,
                f"{each} is accessible to other users (mode {stat.S_IMODE(status.st_mode):o})",
                f"chmod go= {each}",
            )


def acceptor(path: Path, options: ListenerConfig, release: str) -> Iterator[Finding]:
    """A socket of browserid-acceptor.

    :param options: what the configuration says of it.
    :param release: of this program.
    """
    check = "acceptor"
    if not path.exists():
        yield bad(
            check,
            f"the socket {path} is not there",
            "systemctl enable --now browserid-acceptor; after a change of [listeners]: systemctl"
            " restart browserid-acceptor",
        )
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        yield bad(
            check, f"{path} is no socket", f"rm {path} && systemctl restart browserid-acceptor"
        )
        return
    yield from _rights(check, path, options)
    heard = greeting(path)
    if heard.problem:
        yield bad(
            check,
            f"nobody answers at {path}: {heard.problem}",
            "systemctl restart browserid-acceptor; its log: journalctl -u browserid-acceptor",
        )
        return
    yield _acceptor_says(check, path, heard.lines, release)


def _acceptor_says(check: str, path: Path, lines: tuple[str, ...], release: str) -> Finding:
    offered = [line.split("\t")[1:] for line in lines if line.startswith("MECH\t")]
    if not lines[0].startswith("VERSION\t1\t") or not offered:
        return bad(
            check, f"what answers at {path} is no acceptor", f"see what it is: fuser -v {path}"
        )
    said = (word.partition("=") for words in offered for word in words[1:])
    theirs = next((value for name, _, value in said if name == RELEASE), "")
    if theirs != release:
        older = f"of release {theirs}" if theirs else "of an earlier release"
        return doubtful(
            check,
            f"the acceptor at {path} is {older}, and this one is {release}",
            "systemctl restart browserid-acceptor",
        )
    names = ", ".join(words[0] for words in offered)
    return good(check, f"it answers at {path}, release {theirs}, and offers {names}")


def _rights(check: str, path: Path, options: ListenerConfig) -> Iterator[Finding]:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IRWXO:
        yield bad(check, f"every user may connect to {path} (mode {mode:o})", f"chmod o= {path}")
    elif mode != int(options.mode, 8):
        yield doubtful(
            check,
            f"{path} has mode {mode:o}, and the configuration says {options.mode}",
            "systemctl restart browserid-acceptor",
        )
    for what, wanted, there in (
        ("owner", options.owner, _user(status.st_uid)),
        ("group", options.group, _group(status.st_gid)),
    ):
        if wanted and wanted != there:
            yield bad(
                check,
                f"the {what} of {path} is {there}, and the configuration says {wanted}",
                "systemctl restart browserid-acceptor",
            )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
