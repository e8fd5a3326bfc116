"""The agent as the person's own commands talk to it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from browserid_sasl.agent.own_programs import AGENT, own_program
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
from browserid_sasl.wire.peer import peer_of

_GREETING_S: Final = 2.0
_ANSWER_S: Final = 120.0
_START_S: Final = 10.0
_CHUNK: Final = 65_536


class Answer:
    """A line of the agent's.

    :param word: OK, FAIL or ``*``.
    :param text: the number of the request.
    :param values: its fields, by name.
    """

    def __init__(self, word: str, text: str, values: Mapping[str, str]) -> None:
        self.word = word
        self.number = int(text) if text.isascii() and text.isdecimal() else 0
        self.values = values

    @property
    def refusal(self) -> BrowserIDError | None:
        """The exception that the agent met, as far as its line tells; None if it met none."""
        return _refusal(self.values) if self.word == "FAIL" else None


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
        number = self.send(verb, *words, **values)
        answers: list[Mapping[str, str]] = []
        while True:
            answer = self.receive(_ANSWER_S)
            if answer is None or answer.number != number:
                continue
            if answer.refusal is not None:
                raise answer.refusal
            answers.append(answer.values)
            if answer.word == "OK":
                return answers

    def send(self, verb: str, *words: str, **values: str) -> int:
        """Ask for something; the number of the answers to it."""
        self._last += 1
        named = (f"{name}={escape(value)}" for name, value in values.items())
        line = "\t".join((verb, str(self._last), *map(escape, words), *named))
        self._socket.settimeout(_ANSWER_S)
        self._send(_encoded(f"{line}\n"))
        return self._last

    def receive(self, patience: float, beside: int | None = None) -> Answer | None:
        """The next line that answers anything.

        :param patience: seconds to wait for it.
        :param beside: a descriptor to listen to at the same time.
        :returns: None if there is something to read from `beside`.
        """
        if not self._waiting and beside is not None:
            ready, _, _ = select.select([self._socket.fileno(), beside], [], [], patience)
            if beside in ready:
                return None
        self._socket.settimeout(patience)
        word, *fields = self._line().split("\t")
        pairs = (unescape(each).partition("=") for each in fields[1:])
        return Answer(word, fields[0] if fields else "", {name: value for name, _, value in pairs})

    def pipe(self, kind: str, **values: str) -> socket.socket:
        """Have the connection lead to a mail server from here on.

        :param kind: of service.
        :returns: what goes both ways, without a limit of time.
        :raises BrowserIDError: the agent's refusal, with its reason.
        """
        self.send("PIPE", kind, **values)
        # What follows this line is the server's already.
        while not self._waiting:
            self._waiting += self._lines.feed(self._some(1))
        answer = self.receive(_ANSWER_S)
        if answer is not None and answer.refusal is not None:
            raise answer.refusal
        self._socket.settimeout(None)
        return self._socket

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
            self._waiting += self._lines.feed(self._some(_CHUNK))
        return self._waiting.pop(0)

    def _some(self, most: int) -> bytes:
        try:
            octets = self._socket.recv(most)
        except OSError as error:
            raise _unavailable(f"it does not answer: {error}") from None
        if not octets:
            raise _unavailable("the connection ended")
        return octets


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
        # Before it is told anything: nobody else's agent makes a person's tokens and keys.
        if peer_of(connection).uid in {os.geteuid(), 0}:
            return connection
        connection.close()
        raise _unavailable(f"what listens at {path} is of another account")
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
    command = [*own_program(AGENT), "--background"]
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
