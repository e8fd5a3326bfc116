"""The agent's process: its socket, its connections, its end.

One event loop answers everybody. What goes over the network is done by threads beside it, and what
waits for a person by tasks. The socket's folder is the person's own, and who connects has to be the
same account: nobody else is answered. An agent that has had no connection for a while ends; who
needs it next starts another.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, cast

from browserid_sasl import __version__
from browserid_sasl.agent.apart import apart
from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.agent.service import mail, people
from browserid_sasl.agent.service.access import Access, Opening
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.agent.service.mail import MailPerson
from browserid_sasl.agent.service.protocol import Request, answer, greeting, read_request
from browserid_sasl.agent.service.session import Session, failure
from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, LocalProtocolError
from browserid_sasl.private_files import PRIVATE_FILE, make_private_folder
from browserid_sasl.proxy.end import End
from browserid_sasl.proxy.listeners import LOG_IN_S
from browserid_sasl.proxy.proxy import Proxy
from browserid_sasl.store.base import system_clock
from browserid_sasl.wire.lines import MAX_LINE, LineBuffer
from browserid_sasl.wire.peer import peer_of

MOST_CONNECTIONS: Final = 256
DRAIN_S: Final = 2.0

_BACKLOG: Final = 512
_MOST_WAITING: Final = 64
_WAITING: Final = frozenset({"LIST", "LOGIN", "LOGOUT", "WAYS", "MAIL", "TRY"})
"""What waits for a network, a disk or a person."""

_CHUNK: Final = 65_536


class Agent:
    """Answers one person's programs.

    :param config_file: the configuration file; None for those of the machine and the person.
    :param idle: seconds without a connection after which it ends.
    """

    def __init__(self, config_file: Path | None, idle: float) -> None:
        self._clients = Clients(config_file)
        self._idle = idle
        self._connections: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._end: asyncio.TimerHandle | None = None
        self._access = Access(self._clients, system_clock, self._end_when_idle)
        self._person = MailPerson(self._clients, self._access)
        self._proxy: Proxy | None = None

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until it is told to end, or nobody needs it any more.

        :param listener: listens already.
        :param ready: called when programs are answered.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._over.set)
        # Mail programs know no other way to wake an agent than that it is there.
        self._proxy = Proxy(self._person, _folder_of(listener), self._end_when_idle)
        server = await asyncio.start_unix_server(
            self._accept, sock=listener, backlog=_BACKLOG, limit=MAX_LINE + 1
        )
        self._end_when_idle()
        ahead = [asyncio.create_task(each.run()) for each in (self._access.renewals, self._proxy)]
        ready()
        await self._over.wait()
        server.close()
        for each in ahead:
            each.cancel()
        self._proxy.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=DRAIN_S)
        for connection in self._connections:
            connection.cancel()

    def _end_when_idle(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        # A page that is open leads back here.
        needed = self._connections or self._access.is_asking or self.proxy.has_accounts
        if not needed:
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
    def access(self) -> Access:
        """What sees to it that people can log in."""
        return self._access

    @property
    def proxy(self) -> Proxy:
        """What mail programs go through."""
        assert self._proxy is not None  # noqa: S101 - `serve` has made it
        return self._proxy

    @property
    def greeting(self) -> bytes:
        """What a program is told first."""
        return greeting(os.getpid(), __version__)

    async def manage(self, request: Request) -> AsyncGenerator[bytes]:
        """The lines that answer a command of the person's."""
        try:
            async with aclosing(self._manage(request)) as lines:
                async for line in lines:
                    yield line
        except Exception as error:
            yield failure(request.number, error)

    async def _manage(self, request: Request) -> AsyncGenerator[bytes]:
        number, config = request.number, self._clients.config
        name = request.words[0] if request.words else ""
        match request.verb:
            case "LIST":
                for each in await apart(people.signed_in, config):
                    yield answer("*", number, **_told_of(each))
                yield answer("OK", number)
            case "WAYS":
                found = await apart(people.ways, config, name)
                offered = ",".join(found.offered)
                yield answer(
                    "OK", number, identity=found.identity, ways=offered, prefer=found.preferred
                )
            case "LOGIN":
                async with aclosing(self._access.log_in(name, request.values)) as events:
                    async for event in events:
                        yield _line_of(number, event)
            case "LOGOUT":
                gone = await apart(people.sign_out, config, name)
                yield answer("OK", number, identity=gone.identity, told=gone.told)
            case "MAIL":
                for state in await self.proxy.refresh():
                    yield answer("*", number, **mail.fields_of(state))
                yield answer("OK", number, **mail.fields_of_answer(self.proxy))
            case "TRY":
                kind = mail.kind_of(request.values.get("kind", ""))
                await self.proxy.attempt(request.values.get("account", ""), kind)
                yield answer("OK", number)
            case "STOP":
                yield answer("OK", number)
                self._over.set()
            case _:
                raise LocalProtocolError(
                    Code.NOT_IMPLEMENTED,
                    f"{request.verb[:32]!r} is no request of this protocol",
                )


def _line_of(number: int, event: Opening | people.SignedIn) -> bytes:
    if isinstance(event, people.SignedIn):
        return answer("OK", number, **_told_of(event))
    prompt = event.prompt
    return answer(
        "*",
        number,
        link=prompt.link,
        expires_in=str(prompt.expires_in),
        code=prompt.code or None,
        entry=prompt.entry or None,
        heard="1" if prompt.heard else None,
        open="1" if event.open_now else None,
    )


def _told_of(each: people.SignedIn) -> dict[str, str]:
    return {
        "identity": each.identity,
        "expires": str(each.expires),
        "renewal_expires": str(each.renewal_expires),
        "told": each.told,
    }


class _Connection:
    """One program.

    What has to wait for a network or a person is answered by a task of its own, and holds up
    nothing else that is asked on the connection.
    """

    def __init__(
        self, agent: Agent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._agent = agent
        self._reader = reader
        self._writer = writer
        self._session = agent.session()
        self._lines = LineBuffer()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Answer until it goes.

        :raises BrowserIDError: it speaks something else, and has been told.
        """
        self._writer.write(self._agent.greeting)
        try:
            while data := await self._reader.read(_CHUNK):
                try:
                    for line in self._lines.feed(data):
                        request = read_request(line)
                        if request is not None and request.verb == "PIPE":
                            if await self._pipe(request):
                                return
                        else:
                            await self._take(request)
                except BrowserIDError as error:
                    self._writer.write(failure(0, error))
                    await self._writer.drain()
                    raise
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _take(self, request: Request | None) -> None:
        if request is None:
            return
        number = request.number
        if request.verb == "CANCEL" and number in self._tasks:
            self._tasks[number].cancel()
        elif number in self._tasks or len(self._tasks) >= _MOST_WAITING:
            busy = LocalProtocolError(
                Code.INVALID_USAGE, "this number is in use, or too many are", "wait for an answer"
            )
            self._writer.write(failure(number, busy))
        elif request.verb == "PASTE":
            self._writer.write(self._agent.access.paste(request))
        elif self._session.knows(request.verb):
            try:
                self._write(self._session.answer(request))
            except SignInRequiredError as error:
                self._begin(number, self._log_in_after(request, error))
        elif request.verb in _WAITING:
            self._begin(number, self._manage(request))
        else:
            await self._manage(request)
        await self._writer.drain()

    async def _pipe(self, request: Request) -> bool:
        """Be the way to a server from here on: the program has said all that it had to say.

        :returns: whether that was possible, and is over.
        """
        name = request.words[0] if request.words else ""
        try:
            service = mail.service_of(name, request.values)
        except BrowserIDError as error:
            self._writer.write(failure(request.number, error))
            await self._writer.drain()
            return False
        end = End(asyncio.get_running_loop().time() + LOG_IN_S)
        transport = cast(asyncio.Transport, self._writer.transport)  # a socket's goes both ways
        end.take(transport)
        transport.set_protocol(end)
        self._writer.write(answer("OK", request.number))
        await self._agent.proxy.pipe(end, request.values.get("name", ""), service)
        return True

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[number] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(number))

    def _write(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._writer.write(line)

    async def _manage(self, request: Request) -> None:
        async with aclosing(self._agent.manage(request)) as lines:
            async for line in lines:
                self._writer.write(line)
                await self._writer.drain()

    async def _log_in_after(self, request: Request, error: SignInRequiredError) -> None:
        """Answer a program for which somebody has to get a certificate first."""
        try:
            await self._agent.access.provide(error, request.values)
            lines = self._session.answer(request, again=True)
        except Exception as refusal:
            lines = [failure(request.number, refusal)]
        self._write(lines)
        await self._writer.drain()


def _is_own(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end belongs to the same account (unix(7), SO_PEERCRED)."""
    return peer_of(writer.get_extra_info("socket")).uid == os.geteuid()


def _folder_of(listener: socket.socket) -> Path:
    """Where a socket is."""
    return Path(os.fsdecode(listener.getsockname())).parent


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
