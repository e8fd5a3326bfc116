"""The client's side of an exchange with the sample server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from browserid_sasl.api import Client
from browserid_sasl.cli.sample.connection import Connection
from browserid_sasl.cli.sample.console import Console, printable
from browserid_sasl.cli.sample.framing import FrameReader, Reply
from browserid_sasl.cli.sample.outcome import describe, describe_attributes
from browserid_sasl.errors import BrowserIDError, Code, RemoteProtocolError
from browserid_sasl.gss.attributes import jwt_attributes
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the command line wants of a login.

    :param mechanism: the only one to use, None for the best that the server offers.
    :param authzid: who to act for, empty for oneself.
    :param binding: channel binding data, None without any.
    :param critical: whether the login has to be bound.
    """

    mechanism: str | None
    authzid: str
    binding: ChannelBinding | None
    critical: bool


class Login:
    """One exchange."""

    def __init__(
        self, client: Client, wishes: Wishes, connection: Connection, console: Console
    ) -> None:
        self._client = client
        self._wishes = wishes
        self._connection = connection
        self._console = console

    def run(self) -> bool:
        """Hold the exchange; whether it authenticated. What went wrong was written out.

        :raises OSError: the connection broke, or the time is up.
        """
        try:
            offered = self._read_offer()
            mechanism = self._start(offered)
            return mechanism is not None and self._converse(mechanism)
        except RemoteProtocolError as error:
            self._console.say(error.message)
            if error.remedy:
                self._console.complain(error.remedy)
            return False

    def _read_offer(self) -> list[str]:
        self._console.begin("receiving capability list... ")
        octets = self._connection.receive(FrameReader.read_string)
        self._console.received(octets)
        self._console.say(printable(octets))
        return printable(octets).split()

    def _start(self, offered: Sequence[str]) -> ClientMechanism | None:
        wanted = self._wishes.mechanism
        if wanted is not None and not {wanted.upper(), f"{wanted.upper()}-PLUS"} & set(offered):
            self._console.say(f"server doesn't offer mandatory mech '{wanted}'")
            return None
        try:
            mechanism = self._client.start(
                offered if wanted is None else wanted,
                authzid=self._wishes.authzid,
                channel_binding=self._wishes.binding,
                binding_critical=self._wishes.critical,
            )
            initial = mechanism.step(None)
        except BrowserIDError as error:
            self._console.fail("starting SASL negotiation", error)
            return None
        self._console.trace(f"using mechanism {mechanism.name}")
        self._send(mechanism.name.encode("ascii"), b"Y", initial)
        return mechanism

    def _converse(self, mechanism: ClientMechanism) -> bool:
        while True:
            self._console.trace("waiting for server reply...")
            reply, challenge = self._connection.receive(FrameReader.read_reply)
            if reply is Reply.NO:
                self._console.say("authentication failed")
                return False
            try:
                if reply is Reply.OK:
                    return self._succeed(mechanism)
                self._console.received(challenge)
                response = mechanism.step(challenge)
            except BrowserIDError as error:
                self._console.fail("performing SASL negotiation", error)
                return False
            self._send(response)

    def _succeed(self, mechanism: ClientMechanism) -> bool:
        if not mechanism.complete:
            raise RemoteProtocolError(
                Code.CONTEXT_INCOMPLETE,
                "the server reported success before the exchange had come to its end",
                "do not trust this server: it did not show that it verified anything",
            )
        self._console.say("successful authentication")
        result = mechanism.result
        attributes = jwt_attributes(result.context)
        self._console.trace(*describe(result), *describe_attributes(attributes))
        return True

    def _send(self, *strings: bytes) -> None:
        self._connection.send(*strings)
        for string in strings:
            self._console.sent(string)
