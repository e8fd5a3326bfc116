"""The agent as the person's own commands talk to it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from browserid_sasl.agent.service.place import VARIABLE, named_socket, socket_path
from browserid_sasl.agent.service.protocol import NAME, VERSION
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.wire.lines import LineBuffer, escape, unescape

_GREETING_S: Final = 2.0
_ANSWER_S: Final = 120.0
_START_S: Final = 10.0
_CHUNK: Final = 65_536


class Caller:
    """A connection to the person's agent. Use it in a ``with`` block.

    :raises LocalProtocolError: unavailable when there is no agent and none can be started.
    """

    def __init__(self) -> None:
        self._lines = LineBuffer()
        self._waiting: list[str] = []
        self._last = 0
        self._socket = _connect()
        try:
            self._greet()
        except BaseException:
            self._socket.close()
            raise

    def ask(self, verb: str, *words: str, **values: str) -> list[Mapping[str, str]]:
        """Ask for something; the lines that answer, by name.

        :raises BrowserIDError: the agent's refusal, with its reason.
        """
        self._last += 1
        named = (f"{name}={escape(value)}" for name, value in values.items())
        line = "\t".join((verb, str(self._last), *map(escape, words), *named))
        self._socket.settimeout(_ANSWER_S)
        self._send(_encoded(f"{line}\n"))
        answers: list[Mapping[str, str]] = []
        while True:
            word, *fields = self._line().split("\t")
            if fields[:1] != [str(self._last)]:
                continue
            pairs = (unescape(each).partition("=") for each in fields[1:])
            given = {name: value for name, _, value in pairs}
            if word == "FAIL":
                raise _refusal(given)
            answers.append(given)
            if word == "OK":
                return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _greet(self) -> None:
        self._socket.settimeout(_GREETING_S)
        if self._line().split("\t")[:3] != ["VERSION", NAME, str(VERSION)]:
            raise _unavailable("what answers there is not the agent")
        while self._line() != "DONE":
            pass
        self._send(f"VERSION\t{NAME}\t{VERSION}\n".encode())

    def _send(self, octets: bytes) -> None:
        try:
            self._socket.sendall(octets)
        except OSError as error:
            raise _unavailable(str(error)) from None

    def _line(self) -> str:
        while not self._waiting:
            try:
                octets = self._socket.recv(_CHUNK)
            except OSError as error:
                raise _unavailable(f"it does not answer: {error}") from None
            if not octets:
                raise _unavailable("the connection ended")
            self._waiting += self._lines.feed(octets)
        return self._waiting.pop(0)


def _connect() -> socket.socket:
    path = socket_path()
    connected = _try(path)
    if connected is None and named_socket() is None:
        _start()
        connected = _try(path)
    if connected is None:
        raise _unavailable(f"nobody answers at {path}")
    return connected


def _try(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(OSError):
        connection.settimeout(_GREETING_S)
        connection.connect(str(path))
        return connection
    connection.close()
    return None


def _encoded(line: str) -> bytes:
    try:
        return line.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            "what the agent is asked is not text in the encoding of this terminal",
            "see how the terminal and LC_ALL are set",
        ) from None


def _start() -> None:
    """Start the agent that belongs to this installation."""
    command = [sys.executable, "-m", "browserid_sasl.cli.agent", "--background"]
    try:
        subprocess.run(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            timeout=_START_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _unavailable(f"it cannot be started: {error}") from None


def _unavailable(why: str) -> LocalProtocolError:
    return LocalProtocolError(
        Code.UNAVAILABLE,
        f"the agent: {why}",
        f"`browserid-agent` starts it; if {VARIABLE} is set, see whether it names the right socket",
    )


_KINDS: Final[Mapping[str, type[BrowserIDError]]] = {
    kind.__name__: kind
    for kind in (CredentialError, DiscoveryError, StoreError, RemoteProtocolError)
}


def _refusal(given: Mapping[str, str]) -> BrowserIDError:
    """The exception that the agent met, as far as its line tells."""
    message, remedy = given.get("reason", "the agent refused"), given.get("remedy", "")
    if given.get("kind") == ConfigurationError.__name__:
        return ConfigurationError(given.get("detail", message))
    code = next((each for each in Code if each.text == given.get("code")), Code.UNAVAILABLE)
    return _KINDS.get(given.get("kind", ""), LocalProtocolError)(code, message, remedy)
