"""What one program asks, answered (docs/agent.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from browserid_sasl.agent.naming import SignInRequiredError
from browserid_sasl.agent.service.clients import Clients, Target
from browserid_sasl.agent.service.protocol import Request, answer
from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.result import demand_mutual
from browserid_sasl.sasl.results import explain
from browserid_sasl.wire.octets import decode, encode

_MOST_LOGINS: Final = 64
_BINDING: Final = "cb."


@dataclass(frozen=True, slots=True)
class _Login:
    """A login that has begun.

    :param mechanism: the core's half of it.
    :param mutual: whether the program demands that the server authenticates itself.
    """

    mechanism: ClientMechanism
    mutual: bool


class Session:
    """One program's logins.

    :param clients: makes the clients for them.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._logins: dict[int, _Login] = {}
        self._verbs: dict[str, Callable[[Request], Iterator[bytes]]] = {
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

    def _begin(self, request: Request) -> Iterator[bytes]:
        values = request.values
        if request.number in self._logins or len(self._logins) >= _MOST_LOGINS:
            raise LocalProtocolError(
                Code.INVALID_USAGE, "this number is in use, or too many are", "end a login first"
            )
        name = request.words[0]
        target = Target(
            mechanism=name,
            service=values.get("service", ""),
            host=values.get("host", ""),
            name=values.get("authname", ""),
            mutual=values.get("mutual", "") == "1",
        )
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

    def _go_on(self, request: Request) -> Iterator[bytes]:
        if request.number not in self._logins:
            raise LocalProtocolError(Code.INVALID_USAGE, "no login of this number has begun")
        yield self._step(request.number, request.octets)

    def _step(self, number: int, message: bytes | None) -> bytes:
        login = self._logins[number]
        output = encode(login.mechanism.step(message))
        if not login.mechanism.complete:
            return answer("CONT", number, output)
        del self._logins[number]
        result = login.mechanism.result
        if login.mutual:
            demand_mutual(result)
        return answer(
            "OK",
            number,
            output,
            user=result.identity,
            authzid=result.authzid,
            binding=result.channel_binding,
            mutual="1" if result.mutual else None,
            expires=str(result.expires // 1000),
        )

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
    )


def _binding_of(request: Request) -> ChannelBinding | None:
    for name, value in request.values.items():
        if name.startswith(_BINDING):
            return ChannelBinding(name.removeprefix(_BINDING), decode(value))
    return None
