"""The server's side of one connection: mechanism list, choice, steps, verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NoReturn

from browserid_sasl.api import Server
from browserid_sasl.cli.sample.console import Console
from browserid_sasl.cli.sample.framing import (
    MAX_MECHANISM,
    MAX_STRING,
    ConnectionClosedError,
    FrameReader,
    Reply,
    encode_reply,
    encode_string,
)
from browserid_sasl.cli.sample.listening import Stream
from browserid_sasl.cli.sample.outcome import (
    NOT_AUTHENTICATED,
    describe,
    describe_attributes,
    members,
)
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.sasl.result import Result
from browserid_sasl.sasl.server import ServerMechanism


@dataclass(frozen=True, slots=True)
class Service:
    """What is the same for all connections of a server.

    :param server: knows the mechanisms and verifies.
    :param mandatory: the only mechanism to offer, None for all.
    :param workers: where verification runs, which blocks.
    """

    server: Server
    mandatory: str | None
    workers: Executor


class _RefusedError(Exception):
    """The exchange is over and the client is to be told NO; the console knows why."""


class ServerExchange:
    """One conversation with one client.

    :param bindings: the connection's channel binding data by type.
    """

    def __init__(
        self,
        service: Service,
        stream: Stream,
        bindings: Mapping[str, bytes],
        console: Console,
    ) -> None:
        self._service = service
        self._stream = stream
        self._bindings = bindings
        self._console = console
        self._frames = FrameReader()

    async def run(self) -> None:
        """Hold the conversation to its end.

        :raises OSError: the connection broke.
        """
        authenticated = False
        try:
            await self._negotiate()
            authenticated = True
        except _RefusedError:
            await self._stream.write(encode_reply(Reply.NO))
            await self._stream.finish()
        except ConnectionClosedError:
            self._console.refuse("client disconnected")
        finally:
            if not authenticated:
                self._console.give(NOT_AUTHENTICATED)

    async def _negotiate(self) -> None:
        await self._send_string(self._offer())
        name = await self._read_choice()
        initial = await self._read_initial_response()
        mechanism = self._start(name)
        if initial is None:
            initial = await self._challenge(b"")
        await self._authenticate(mechanism, initial)
        await self._stream.write(encode_reply(Reply.OK))
        self._console.trace("negotiation complete")
        await self._report(mechanism)

    def _offer(self) -> bytes:
        mandatory = self._service.mandatory
        if mandatory is not None:
            self._console.trace(f"forcing use of mechanism {mandatory}")
            return mandatory.encode("ascii", "replace")
        names = self._service.server.mechanisms(channel_binding=bool(self._bindings))
        self._console.trace(f"generating client mechanism list... {len(names)} mechanisms")
        return " ".join(names).encode("ascii")

    async def _read_choice(self) -> str:
        self._console.trace("waiting for client mechanism...")
        try:
            choice = await self._read_string(MAX_MECHANISM)
        except ConnectionClosedError:
            choice = b""
        except RemoteProtocolError as error:
            self._console.complain(str(error))
            choice = b""
        if not choice:
            self._console.refuse("client didn't choose mechanism")
            raise _RefusedError
        name = choice.decode("ascii", "replace").upper()
        mandatory = self._service.mandatory
        if mandatory is not None and _bare(name) != _bare(mandatory.upper()):
            self._console.refuse("client didn't choose mandatory mechanism")
            raise _RefusedError
        return name

    async def _read_initial_response(self) -> bytes | None:
        marker = await self._read_message("didn't receive first-send parameter correctly")
        if len(marker) != 1:
            self._refuse(
                "didn't receive first-send parameter correctly",
                RemoteProtocolError(
                    Code.WRONG_SIZE,
                    f"`Y` or `N` was to come here, not a string of {len(marker)} octets",
                ),
            )
        if marker != b"Y":
            return None
        return await self._read_message("starting SASL negotiation")

    def _start(self, name: str) -> ServerMechanism:
        try:
            return self._service.server.start(name, channel_bindings=self._bindings)
        except BrowserIDError as error:
            self._refuse("starting SASL negotiation", error)

    async def _authenticate(self, mechanism: ServerMechanism, message: bytes) -> None:
        phase = "starting SASL negotiation"
        while (challenge := await self._step(mechanism, message, phase)) is not None:
            phase = "performing SASL negotiation"
            if mechanism.failure is None:
                message = await self._challenge(challenge)
                continue
            # The challenge is an error token. Whatever the client says to it, the end is NO.
            self._console.fail(phase, mechanism.failure)
            await self._challenge(challenge)
            raise _RefusedError

    async def _step(self, mechanism: ServerMechanism, message: bytes, phase: str) -> bytes | None:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._service.workers, mechanism.step, message)
        except BrowserIDError as error:
            self._refuse(phase, error)

    async def _report(self, mechanism: ServerMechanism) -> None:
        result = mechanism.result
        self._console.say(f"successful authentication '{result.authzid}'")
        self._console.give(members(result))
        if self._console.is_verbose:
            self._console.trace(*describe(result), *await self._attributes(result))

    async def _attributes(self, result: Result) -> list[str]:
        server, loop = self._service.server, asyncio.get_running_loop()
        try:
            attributes = await loop.run_in_executor(
                self._service.workers, server.name_attributes, result.context
            )
        except BrowserIDError as error:
            return [f"attributes: {error}"]
        return describe_attributes(attributes)

    def _refuse(self, phase: str, error: BrowserIDError) -> NoReturn:
        self._console.fail(phase, error)
        raise _RefusedError

    async def _challenge(self, challenge: bytes) -> bytes:
        self._console.trace(
            f"sending response length {len(challenge)}..."
            if challenge
            else "sending null response..."
        )
        await self._stream.write(encode_reply(Reply.CONTINUE, challenge))
        self._console.sent(challenge)
        self._console.trace("waiting for client reply...")
        return await self._read_message("performing SASL negotiation")

    async def _read_message(self, phase: str) -> bytes:
        try:
            return await self._read_string(MAX_STRING)
        except ConnectionClosedError:
            raise
        except RemoteProtocolError as error:
            self._refuse(phase, error)

    async def _read_string(self, limit: int) -> bytes:
        while (string := self._frames.read_string(limit)) is None:
            self._frames.feed(await self._stream.read())
        self._console.received(string)
        return string

    async def _send_string(self, string: bytes) -> None:
        await self._stream.write(encode_string(string))
        self._console.sent(string)


def _bare(name: str) -> str:
    return name.removesuffix("-PLUS")
