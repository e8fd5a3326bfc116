"""One login, apart from how its messages travel."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final

from browserid_sasl.adapters.channel import bindings_of
from browserid_sasl.api import Client
from browserid_sasl.errors import BrowserIDError, Code, PeerRefusedError, RemoteProtocolError
from browserid_sasl.gss.mechanisms import PLUS
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.result import Result

_MOST_CHALLENGES: Final = 8
_LONGEST_WORDS: Final = 300


class Login:
    """Answers the server's challenges, and says in the end what came of it.

    A challenge that ends the login is answered all the same, by an empty message: then the server
    says in its own protocol that it refuses, and the connection stays in order.

    :param mechanism: the login. Its first message is made at once.
    :raises BrowserIDError: nobody is signed in, or whatever else keeps it from starting.
    """

    def __init__(self, mechanism: ClientMechanism) -> None:
        self._mechanism = mechanism
        self._failure: BrowserIDError | None = None
        self._challenges = 0
        self._accepted = False
        self._words = ""
        self.name: Final = mechanism.name
        self.initial: Final = mechanism.step()

    @property
    def initial_base64(self) -> bytes:
        """The first message, in base64."""
        return base64.b64encode(self.initial)

    def answer(self, challenge: bytes) -> bytes | None:
        """The response to a challenge; None when the exchange has to be cancelled."""
        self._challenges += 1
        if self._challenges > _MOST_CHALLENGES:
            self._fail(RemoteProtocolError(Code.BAD_CONTEXT_TOKEN, "the server does not end"))
            return None
        if self._failure is not None:
            return b""
        try:
            return self._mechanism.step(challenge)
        except BrowserIDError as error:
            self._fail(error)
            return b""

    def answer_base64(self, challenge: bytes) -> bytes:
        """`answer` where both are in base64, and an exchange is cancelled by a star."""
        try:
            response = self.answer(base64.b64decode(challenge, validate=True))
        except binascii.Error:
            self._fail(RemoteProtocolError(Code.INVALID_BASE64, "the challenge is not base64"))
            return b"*"
        return b"*" if response is None else base64.b64encode(response)

    def end(self, *, accepted: bool, words: str) -> None:
        """Take the server's verdict.

        :param accepted: whether it says that it has let the client in.
        :param words: what it says besides.
        """
        self._accepted = accepted
        self._words = _printable(words)

    @property
    def may_do_with_another_binding(self) -> bool:
        """Whether it failed for the binding, on a channel that both sides bind to."""
        failure = self._failure
        mismatch = failure is not None and failure.code is Code.CHANNEL_BINDINGS_MISMATCH
        return mismatch and self.name.endswith(PLUS)

    @property
    def result(self) -> Result:
        """What came of it.

        :raises BrowserIDError: why nothing did.
        """
        if self._failure is not None:
            self._failure.add_note(f"the server said: {self._words}")
            raise self._failure
        if not self._accepted:
            raise self._refused()
        if not self._mechanism.complete:
            raise RemoteProtocolError(
                Code.CONTEXT_INCOMPLETE,
                "the server says that the login has succeeded, before it has proven itself",
                "somebody between the two may have answered in its place",
            )
        return self._mechanism.result

    def _fail(self, error: BrowserIDError) -> None:
        self._failure = self._failure or error

    def _refused(self) -> PeerRefusedError:
        known = self._mechanism.complete
        return PeerRefusedError(
            Code.NO_LOCAL_MAPPING if known else Code.REMOTE_VERIFY_FAILURE,
            f"the server refused: {self._words}",
            "it knows who you are, and does not let you in" if known else "its log has the reason",
        )


def logins(
    client: Client,
    offered: Sequence[str],
    channel: object,
    *,
    authzid: str,
    binding_critical: bool,
) -> Iterator[Login]:
    """The logins to try, until one does not fail for the channel binding. The last one counts.

    :param client: who logs in, and where.
    :param offered: the mechanisms that the server lists.
    :param channel: the connection's socket.
    :param authzid: the identity to act as; empty for one's own.
    :param binding_critical: whether to insist on binding to the channel.
    :raises BrowserIDError: there is none to try.
    """
    bindings: list[ChannelBinding | None] = [*bindings_of(channel)]
    for binding in bindings or [None]:
        login = Login(
            client.start(
                list(offered),
                authzid=authzid,
                channel_binding=binding,
                binding_critical=binding_critical,
            )
        )
        yield login
        if not login.may_do_with_another_binding:
            return


def _printable(words: str) -> str:
    """What a server says, as one line for a log or a terminal."""
    return "".join(char if char.isprintable() else " " for char in words[:_LONGEST_WORDS]).strip()
