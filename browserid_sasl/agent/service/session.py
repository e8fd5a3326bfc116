"""What one program asks, answered (docs/agent.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.agent.service.clients import Clients, Target
from browserid_sasl.agent.service.protocol import Request, answer
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.context import ContextFlag
from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.gss.told import told_of
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.result import demand_mutual
from browserid_sasl.sasl.results import explain
from browserid_sasl.wire.octets import decode, encode

_MOST_LOGINS: Final = 64
_LONGEST_FLAGS: Final = 10
_BINDING: Final = "cb."


class _Exchange(Protocol):
    """The core's half of a login, or of a security context."""

    @property
    def complete(self) -> bool:
        """Whether it has succeeded; a last message may have to be sent first."""

    def step(self, message: bytes | None) -> bytes:
        """Take a message, or None to begin; what to send, which may be empty."""

    def outcome(self) -> Iterable[tuple[str, str | None]]:
        """What the program is told of one that has succeeded; fields that are None are left out.

        :raises BrowserIDError: the program does not want it as it is.
        """


@dataclass(frozen=True, slots=True)
class _Login:
    """A login by SASL.

    :param mechanism: the core's half of it.
    :param mutual: whether the program demands that the server authenticates itself.
    """

    mechanism: ClientMechanism
    mutual: bool

    @property
    def complete(self) -> bool:
        return self.mechanism.complete

    def step(self, message: bytes | None) -> bytes:
        return self.mechanism.step(message)

    def outcome(self) -> Iterable[tuple[str, str | None]]:
        result = self.mechanism.result
        if self.mutual:
            demand_mutual(result)
        yield "user", result.identity
        yield "authzid", result.authzid
        yield "binding", result.channel_binding
        yield "mutual", "1" if result.mutual else None
        yield "expires", str(result.expires // 1000)


@dataclass(frozen=True, slots=True)
class _Context:
    """A security context, without SASL around it.

    :param initiator: the core's half of it.
    """

    initiator: PlainInitiator

    @property
    def complete(self) -> bool:
        return self.initiator.complete

    def step(self, message: bytes | None) -> bytes:
        return self.initiator.step(message) or b""

    def outcome(self) -> Iterable[tuple[str, str | None]]:
        # The program belongs to the same account as the keys that it may sign in with.
        return told_of(self.initiator.context, with_key=True)


class Session:
    """One program's logins.

    :param clients: makes the clients for them.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._logins: dict[int, _Exchange] = {}
        self._verbs: dict[str, Callable[[Request], Iterator[bytes]]] = {
            "WHO": self._who,
            "INIT": self._begin,
            "CONT": self._go_on,
            "CANCEL": self._cancel,
        }

    def knows(self, verb: str) -> bool:
        """Whether requests with this verb are for a session."""
        return verb in self._verbs

    def answer(self, request: Request, *, again: bool = False) -> list[bytes]:
        """The lines that answer a request.

        :param again: whether somebody was asked to sign in for it already.
        :raises SignInRequiredError: somebody has to sign in before a login can begin. Nothing else
            is raised for what is asked.
        """
        try:
            return list(self._verbs[request.verb](request))
        except Exception as error:
            self._logins.pop(request.number, None)
            # In the middle of a login there is no going back to where it can be done once more.
            may_wait = request.verb == "INIT" and not again
            if isinstance(error, SignInRequiredError) and may_wait:
                raise
            return [failure(request.number, error)]

    def _who(self, request: Request) -> Iterator[bytes]:
        """Who would log in, where nothing is known of the service."""
        target = Target(None, "host", "localhost", request.values.get("authname", ""), mutual=False)
        yield answer("OK", request.number, identity=self._clients.get(target).identity)

    def _begin(self, request: Request) -> Iterator[bytes]:
        values = request.values
        if request.number in self._logins or len(self._logins) >= _MOST_LOGINS:
            raise LocalProtocolError(
                Code.INVALID_USAGE, "this number is in use, or too many are", "end a login first"
            )
        name = request.words[0] if request.words else ""
        target = Target(
            mechanism=name,
            service=values.get("service", ""),
            host=values.get("host", ""),
            name=values.get("authname", ""),
            mutual=values.get("mutual", "") == "1",
        )
        if values.get("context", "") == "1":
            self._logins[request.number] = _Context(self._initiate(name, target, request))
        else:
            mechanism = self._start(name, target, request)
            self._logins[request.number] = _Login(mechanism, target.mutual)
        challenge = values.get("challenge")
        yield self._step(request.number, None if challenge is None else decode(challenge))

    def _start(self, name: str, target: Target, request: Request) -> ClientMechanism:
        values = request.values
        flag, binding = values.get("cb_flag", "none"), _binding_of(request)
        client = self._clients.get(target)
        authzid = values.get("authzid", "")
        if flag == "used":
            return client.start_with(
                name, authzid=authzid, channel_binding=binding, binding_critical=True
            )
        # The program has seen the server's list: there was no such mechanism with -PLUS in it.
        return client.start(
            [name],
            authzid=authzid,
            channel_binding=binding if flag == "want" else None,
        )

    def _initiate(self, name: str, target: Target, request: Request) -> PlainInitiator:
        values = request.values
        bound, flags = values.get("bound"), values.get("flags", "0")
        if not flags.isdecimal() or len(flags) > _LONGEST_FLAGS:
            raise LocalProtocolError(Code.INVALID_PARAMETER, "`flags` is not a number of 32 bits")
        return self._clients.get(target).initiate(
            name,
            channel_binding=None if bound is None else decode(bound),
            flags=ContextFlag(int(flags) & sum(ContextFlag)),
        )

    def _go_on(self, request: Request) -> Iterator[bytes]:
        if request.number not in self._logins:
            raise LocalProtocolError(Code.INVALID_USAGE, "no login of this number has begun")
        yield self._step(request.number, request.octets)

    def _step(self, number: int, message: bytes | None) -> bytes:
        login = self._logins[number]
        output = encode(login.step(message))
        if not login.complete:
            return answer("CONT", number, output)
        del self._logins[number]
        return answer("OK", number, output, **dict(login.outcome()))

    def _cancel(self, request: Request) -> Iterator[bytes]:
        self._logins.pop(request.number, None)
        yield from ()


def failure(number: int, error: Exception) -> bytes:
    """The line that tells why a request failed."""
    said = explain(error, is_client=True)
    return answer(
        "FAIL",
        number,
        code=said.code.text,
        sasl=str(int(said.result.of_mechanism)),
        level=str(int(said.level)),
        detail=said.detail,
        kind=said.family,
        reason=said.reason,
        remedy=said.remedy,
        major=str(said.major),
        minor=str(said.code.wire),
    )


def _binding_of(request: Request) -> ChannelBinding | None:
    for name, value in request.values.items():
        if name.startswith(_BINDING):
            return ChannelBinding(name.removeprefix(_BINDING), decode(value))
    return None
