"""A person's agent that really runs, in a folder of the test's."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from browserid_sasl.wire.lines import escape, unescape
from tests.support.patience import PATIENCE

AGENT = (sys.executable, "-m", "browserid_sasl.cli.agent")


class Person:
    """Somebody with a home of their own.

    :param folder: an empty one.
    :param configuration: of their programs.
    """

    def __init__(self, folder: Path, configuration: str = "") -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700, parents=True)
        self.socket = self.runtime / "browserid" / "agent"
        self.config_file = folder / "config" / "browserid" / "browserid.toml"
        self.config_file.parent.mkdir(parents=True)
        self.config_file.write_text(configuration)

    @property
    def variables(self) -> dict[str, str]:
        """Their programs' environment, and nothing of the test's."""
        return {
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self.config_file.parent.parent),
            "PATH": "/usr/bin:/bin",
        }

    @contextmanager
    def agent(
        self, *arguments: str, program: Sequence[str] = AGENT, **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Their agent, from when it answers until the end of the block."""
        process = subprocess.Popen(
            (*program, *arguments), env=self.variables | variables, start_new_session=True
        )
        try:
            self.wait_for_socket(process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for_socket(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the agent answers, or has ended."""
        for _ in range(int(PATIENCE / 0.02)):
            with suppress(OSError), Line(self.socket):
                return
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                raise AssertionError(f"the agent ended with status {process.returncode}")
        raise AssertionError("the agent does not answer")

    def stop_agent(self) -> None:
        """End an agent that some program has started."""
        with suppress(OSError), Line(self.socket) as line:
            line.ask("STOP\t1")
            while line.socket.recv(4096):
                pass

    def agent_pid(self) -> int:
        """The process of the agent that answers."""
        with Line(self.socket) as line:
            return int(line.greeting[1].split("\t")[1])

    def kill_agent(self) -> None:
        """End it without a word."""
        os.kill(self.agent_pid(), signal.SIGKILL)


class Line:
    """A connection to an agent, for tests that say what goes over it."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(str(path))
            self._file = self.socket.makefile("r", encoding="utf-8", newline="\n")
            self.greeting = list(self._until_done())
        except BaseException:
            self.socket.close()
            raise

    def _until_done(self) -> Iterator[str]:
        while (line := self.read()) != "DONE":
            yield line

    def read(self) -> str:
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("the agent has closed the connection")
        return line.removesuffix("\n")

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\n")

    def ask(self, text: str) -> Answer:
        """Send a line; the next one that comes."""
        self.send(text)
        return Answer(self.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()


class Answer:
    """A line of the agent's, taken apart."""

    def __init__(self, line: str) -> None:
        self.word, self.number, *fields = line.split("\t")
        self.fields = [unescape(field) for field in fields]

    @property
    def values(self) -> Mapping[str, str]:
        return dict(field.partition("=")[::2] for field in self.fields)

    @property
    def octets(self) -> bytes:
        return base64.b64decode(self.fields[0])


def initiate(number: int, mechanism: str = "BROWSERID-AES128", **values: str) -> str:
    """The line that begins a login."""
    given = {"service": "imap", "host": "localhost"} | values
    fields = (f"{name}={escape(value)}" for name, value in given.items())
    return "\t".join(("INIT", str(number), mechanism, *fields))


@contextmanager
def relay(path: Path, target: Path) -> Iterator[None]:
    """Forward a socket to another, as ssh -R does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                ours, _ = listener.accept()
                theirs = socket.socket(socket.AF_UNIX)
                theirs.connect(str(target))
                for pair in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        path.unlink()
