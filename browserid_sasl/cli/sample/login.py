"""The client's side of an exchange with the sample server."""

from __future__ import annotations

from collections.abc import Sequence

from browserid_sasl.cli.sample.connection import SampleConnection
from browserid_sasl.cli.sample.console import Console, printable
from browserid_sasl.cli.sample.framing import FrameReader, Reply
from browserid_sasl.cli.sample.library import ClientExchange, SaslLibrary, Wishes
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError


class Login:
    """One exchange.

    :param asks: whether somebody can be asked to sign in, if that is what is missing.
    """

    def __init__(
        self,
        library: SaslLibrary,
        wishes: Wishes,
        connection: SampleConnection,
        console: Console,
        *,
        asks: bool = False,
    ) -> None:
        self._library = library
        self._wishes = wishes
        self._connection = connection
        self._console = console
        self._asks = asks

    def run(self) -> bool:
        """Hold the exchange; whether it authenticated. What went wrong was written out.

        :raises BrowserIDError: interact-required, where somebody can be asked.
        :raises OSError: the connection broke, or the time is up.
        """
        try:
            offered = self._read_offer()
            exchange = self._start(offered)
            if exchange is not None and self._converse(exchange):
                self._console.give(exchange.members())
                return True
        except RemoteProtocolError as error:
            self._console.refuse(error.message)
            if error.remedy:
                self._console.complain(error.remedy)
        return False

    def _read_offer(self) -> list[str]:
        self._console.begin("receiving capability list... ")
        octets = self._connection.receive(FrameReader.read_string)
        self._console.received(octets)
        self._console.say(printable(octets))
        return printable(octets).split()

    def _start(self, offered: Sequence[str]) -> ClientExchange | None:
        wanted = self._wishes.mechanism
        if wanted is not None and not {wanted.upper(), f"{wanted.upper()}-PLUS"} & set(offered):
            self._console.refuse(f"server doesn't offer mandatory mech '{wanted}'")
            return None
        try:
            exchange, initial = self._library.start(offered, self._wishes)
        except BrowserIDError as error:
            self._fail("starting SASL negotiation", error)
            return None
        self._console.trace(f"using mechanism {exchange.name}")
        self._send(exchange.name.encode("ascii"), b"Y", initial)
        return exchange

    def _converse(self, exchange: ClientExchange) -> bool:
        while True:
            self._console.trace("waiting for server reply...")
            reply, challenge = self._connection.receive(FrameReader.read_reply)
            if reply is Reply.NO:
                self._console.refuse("authentication failed")
                return False
            try:
                if reply is Reply.OK:
                    return self._succeed(exchange)
                self._console.received(challenge)
                response = exchange.step(challenge)
            except BrowserIDError as error:
                self._fail("performing SASL negotiation", error)
                return False
            self._send(response)

    def _fail(self, what: str, error: BrowserIDError) -> None:
        if self._asks and error.code is Code.INTERACT_REQUIRED:
            raise error
        self._console.fail(what, error, is_client=True)

    def _succeed(self, exchange: ClientExchange) -> bool:
        if not exchange.complete:
            raise RemoteProtocolError(
                Code.CONTEXT_INCOMPLETE,
                "the server reported success before the exchange had come to its end",
                "do not trust this server: it did not show that it verified anything",
            )
        self._console.say("successful authentication")
        self._console.trace(*exchange.describe())
        return True

    def _send(self, *strings: bytes) -> None:
        self._connection.send(*strings)
        for string in strings:
            self._console.sent(string)
