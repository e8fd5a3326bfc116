"""The agent's process: its socket, its connections, its end.

One event loop answers everybody. What goes over the network, a sign-in, is done by threads beside
it. The socket's folder is the person's own, and who connects has to be the same account: nobody
else is answered. An agent that has had no connection for a while ends; who needs it next starts
another.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from browserid_sasl import __version__
from browserid_sasl.agent.service import people
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.agent.service.protocol import Request, answer, greeting, read_request
from browserid_sasl.agent.service.session import Session, failure
from browserid_sasl.agent.signin import KeyType
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, LocalProtocolError
from browserid_sasl.private_files import PRIVATE_FILE, make_private_folder
from browserid_sasl.wire.lines import MAX_LINE, LineBuffer
from browserid_sasl.wire.peer import peer_of

MOST_CONNECTIONS: Final = 256
DRAIN_S: Final = 2.0

_BACKLOG: Final = 512
_SIGN_INS: Final = 8
_CHUNK: Final = 65_536


class Agent:
    """Answers one person's programs.

    :param config_file: the configuration file; None for those of the machine and the person.
    :param idle: seconds without a connection after which it ends.
    """

    def __init__(self, config_file: Path | None, idle: float) -> None:
        self._clients = Clients(config_file)
        self._idle = idle
        self._sign_ins = people.SignIns()
        self._threads = ThreadPoolExecutor(_SIGN_INS, "sign-in")
        self._connections: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._end: asyncio.TimerHandle | None = None

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until it is told to end, or nobody needs it any more.

        :param listener: listens already.
        :param ready: called when programs are answered.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._over.set)
        server = await asyncio.start_unix_server(
            self._accept, sock=listener, backlog=_BACKLOG, limit=MAX_LINE + 1
        )
        self._end_when_idle()
        ready()
        await self._over.wait()
        server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=DRAIN_S)
        for connection in self._connections:
            connection.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end_when_idle(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if not self._connections:
            self._end = asyncio.get_running_loop().call_later(self._idle, self._over.set)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as a task
        if len(self._connections) >= MOST_CONNECTIONS or not _is_own(writer):
            writer.transport.abort()
            return
        self._connections.add(task)
        self._end_when_idle()
        try:
            await _Connection(self, reader, writer).run()
        except (OSError, BrowserIDError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._connections.discard(task)
            self._end_when_idle()

    def session(self) -> Session:
        """A session for a new connection."""
        return Session(self._clients)

    @property
    def greeting(self) -> bytes:
        """What a program is told first."""
        return greeting(os.getpid(), __version__)

    async def manage(self, request: Request) -> AsyncIterator[bytes]:
        """The lines that answer a command of the person's."""
        try:
            async for line in self._manage(request):
                yield line
        except Exception as error:
            yield failure(request.number, error)

    async def _manage(self, request: Request) -> AsyncIterator[bytes]:
        number = request.number
        match request.verb:
            case "LIST":
                for each in people.signed_in(self._clients.config):
                    yield answer("*", number, identity=each.identity, expires=str(each.expires))
                yield answer("OK", number)
            case "LOGIN":
                each = await self._sign_in(request)
                expires = str(each.expires)
                yield answer("OK", number, identity=each.identity, expires=expires, told=each.told)
            case "LOGOUT":
                identity = people.sign_out(self._clients.config, request.words[0])
                yield answer("OK", number, identity=identity)
            case "STOP":
                yield answer("OK", number)
                self._over.set()
            case _:
                raise LocalProtocolError(
                    Code.NOT_IMPLEMENTED,
                    f"{request.verb[:32]!r} is no request of this protocol",
                )

    async def _sign_in(self, request: Request) -> people.SignedIn:
        config, address = self._clients.config, request.words[0]
        password = request.values.get("password", "")
        key_type: KeyType = "RS256" if request.values.get("key_type") == "RS256" else "ES256"

        def sign_in() -> people.SignedIn:
            return self._sign_ins.run(
                address,
                lambda: people.sign_in_with_password(config, address, password, key_type),
            )

        return await asyncio.get_running_loop().run_in_executor(self._threads, sign_in)


class _Connection:
    """One program."""

    def __init__(
        self, agent: Agent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._agent = agent
        self._reader = reader
        self._writer = writer
        self._session = agent.session()
        self._lines = LineBuffer()

    async def run(self) -> None:
        """Answer until it goes.

        :raises BrowserIDError: it speaks something else, and has been told.
        """
        self._writer.write(self._agent.greeting)
        while data := await self._reader.read(_CHUNK):
            try:
                for line in self._lines.feed(data):
                    await self._take(read_request(line))
            except BrowserIDError as error:
                self._writer.write(failure(0, error))
                await self._writer.drain()
                raise

    async def _take(self, request: Request | None) -> None:
        if request is None:
            return
        if self._session.knows(request.verb):
            for line in self._session.answer(request):
                self._writer.write(line)
        else:
            async for line in self._agent.manage(request):
                self._writer.write(line)
        await self._writer.drain()


def _is_own(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end belongs to the same account (unix(7), SO_PEERCRED)."""
    return peer_of(writer.get_extra_info("socket")).uid == os.geteuid()


class AlreadyThereError(Exception):
    """Another agent of the same person serves the socket."""


class Socket:
    """The socket's file, and the lock that says whose it is.

    :param path: of the socket; its folder is made, and made private.
    :raises AlreadyThereError: another agent has it.
    :raises ConfigurationError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            make_private_folder(path.parent)
            self._lock = os.open(
                path.with_name(f"{path.name}.lock"),
                os.O_CREAT | os.O_RDWR | os.O_CLOEXEC,
                PRIVATE_FILE,
            )
        except OSError as error:
            raise _cannot_be_made(path, error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyThereError from None
        self.listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # What is there is left over: whoever has the lock is the only one to make it.
        old = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise _cannot_be_made(self._path, error) from None
        finally:
            os.umask(old)
        return listener

    def close(self) -> None:
        """Take the file away, then let go of the lock."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._lock)


def _cannot_be_made(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the agent's socket {path} cannot be made: {error.strerror or error}",
        "set XDG_RUNTIME_DIR to a folder of your own",
    )
