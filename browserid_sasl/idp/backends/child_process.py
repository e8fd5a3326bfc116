"""A process that asks something about one person: started, listened to for a while, and killed.

It is there for libraries that wait, hang or crash. It is spoken to by lines of JSON, on the socket
that is its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from browserid_sasl.idp.backends import UnavailableError

MOST_LINE: Final = 65_536
_CHUNK: Final = 4096


class ChildProcess:
    """One conversation with it. For one thread at a time, but for `end`.

    :param what: it asks, such as `PAM`, for the log.
    :param program: what to run.
    :param task: what it is to do.
    :raises UnavailableError: it cannot be started.
    """

    def __init__(self, what: str, program: Sequence[str], task: Mapping[str, object]) -> None:
        self._what = what
        self._buffer = bytearray()
        self._ending = threading.Lock()
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                program,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise UnavailableError(f"{what}'s process does not start ({error.strerror})") from None
        finally:
            theirs.close()
        self._socket = ours
        self.tell(task)

    def tell(self, members: Mapping[str, object]) -> None:
        """Say something to it. If it has ended, that is found when it is listened to."""
        with suppress(OSError):
            self._socket.sendall(json.dumps(members).encode() + b"\n")

    def hear(self, until: float) -> dict[str, Any]:
        """What it says next.

        :param until: by when, by the monotonic clock.
        :raises UnavailableError: nothing until then, or it has ended. It is killed.
        """
        try:
            said = json.loads(self._line(until))
        except TimeoutError:
            self.end()
            raise UnavailableError(f"{self._what} has taken too long") from None
        except (OSError, ValueError):
            self.end()
            raise UnavailableError(f"{self._what}'s process has ended ({self._how()})") from None
        if not isinstance(said, dict):
            self.end()
            raise UnavailableError(f"{self._what}'s process makes no sense")
        return said

    def end(self) -> None:
        """Kill it, and all that it has started."""
        with self._ending:
            # Until it is waited for, its number is nobody else's.
            if self._process.returncode is None:
                for number in (*_started_by(self._process.pid), self._process.pid):
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(number, signal.SIGKILL)
            self._process.wait()
            self._socket.close()

    def _how(self) -> str:
        status = self._process.returncode
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _line(self, until: float) -> bytes:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            octets = self._socket.recv(_CHUNK)
            if not octets or len(self._buffer) > MOST_LINE:
                raise ValueError("no line")
            self._buffer += octets
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line


def _started_by(number: int) -> list[int]:
    """The processes that a process has started, and those that they have.

    Not by a group of processes: pam_exec, for one, gives each program a session of its own.
    """
    try:
        text = Path(f"/proc/{number}/task/{number}/children").read_text()
    except OSError:
        return []
    children = [int(each) for each in text.split()]
    return [*children, *(each for child in children for each in _started_by(child))]
