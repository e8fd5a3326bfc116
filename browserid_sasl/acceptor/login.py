"""One login, from its first message to the word of success or failure."""

from __future__ import annotations

from typing import Final

from browserid_sasl.acceptor.answers import (
    Answer,
    BindingWanted,
    Challenge,
    Failure,
    Refusal,
    Success,
)
from browserid_sasl.acceptor.failures import failure_of, refusing
from browserid_sasl.acceptor.requests import Begin, Continue
from browserid_sasl.acceptor.servers import Served
from browserid_sasl.errors import BrowserIDError, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.steps import Steps
from browserid_sasl.identity.addresses import is_same_address
from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.gs2 import BindingFlag
from browserid_sasl.sasl.result import Result, demand_mutual
from browserid_sasl.sasl.server import ServerMechanism
from browserid_sasl.wire.octets import decode

_COULD_BIND: Final = f"{BindingFlag.NOT_OFFERED.value},".encode()
_OUT_OF_BAND: Final = "channel_binding"


class Login:
    """One login, see `failures.Attempt`.

    :param begin: what the program asked.
    :param served: accepts it.
    :param asks_for_bindings: whether the program can be asked for the channel's binding data.
    """

    def __init__(self, begin: Begin, served: Served, *, asks_for_bindings: bool = False) -> None:
        self._begin = begin
        self._served = served
        self._asks_for_bindings = asks_for_bindings
        self._mechanism: ServerMechanism | None = None
        self._waiting_for_binding: tuple[str, bytes] | None = None
        self.claimed = b""
        self.failure: Failure | None = None
        self.result: Result | None = None

    def start(self) -> Steps[Answer]:
        """Answer the request with which it began."""
        if self._begin.initial is None:
            return Challenge(b"", shows_nothing=self._begin.shows_nothing)
        return (yield from refusing(self, self._take(self._begin.initial)))

    def proceed(self, request: Continue) -> Steps[Answer]:
        """Take a further message."""
        return (yield from refusing(self, self._go_on(request)))

    def _go_on(self, request: Continue) -> Steps[Answer]:
        if self._waiting_for_binding is None:
            return (yield from self._take(request.message or b""))
        type, message = self._waiting_for_binding
        data = decode(request.parameters.get(_OUT_OF_BAND, ""))
        return (yield from self._step(message, {type: data} if data else {}))

    def _take(self, message: bytes) -> Steps[Answer]:
        if self._mechanism is None:
            self.claimed = message
            wanted = self._binding_to_ask_for(message)
            if wanted:
                self._waiting_for_binding = wanted, message
                return BindingWanted(wanted)
        return (yield from self._step(message, self._begin.bindings))

    def _binding_to_ask_for(self, message: bytes) -> str:
        """The type of the channel binding whose data is to be asked for, or nothing."""
        if not self._asks_for_bindings:
            return ""
        try:
            header, _, _ = gs2.split(message)
            given = self._begin.bindings
        except BrowserIDError:
            return ""  # the mechanism tells the client
        return "" if header.binding_type in given else header.binding_type

    def _step(self, message: bytes, bindings: dict[str, bytes]) -> Steps[Answer]:
        mechanism = self._mechanism or self._start_mechanism(bindings)
        output = yield from mechanism.steps(message)
        # Not before: without the document it needs, the first step begins anew.
        self._mechanism = mechanism
        self._waiting_for_binding = None
        if mechanism.complete:
            return self._succeed(mechanism.result, output)
        if mechanism.failure is None:
            return Challenge(output or b"")
        return self._tell(mechanism.failure, output or b"")

    def _start_mechanism(self, bindings: dict[str, bytes]) -> ServerMechanism:
        begin = self._begin
        try:
            return self._served.server.start(
                begin.mechanism,
                channel_bindings=bindings,
                plus_listed=self._plus_listed(),
                success_data=begin.takes_final_data,
                may_act_as=self._may_act_as,
            )
        except LocalProtocolError as error:
            # The person's program has picked it, not ours.
            raise RemoteProtocolError(error.code, error.message, error.remedy) from None

    def _plus_listed(self) -> bool | None:
        """Whether the client was told the name with ``-PLUS``; None if it hangs on the data."""
        if self._begin.plus_unlisted:
            return False
        # What the program has not given yet it gives when it is asked.
        return True if self._asks_for_bindings and self._begin.extended else None

    def _may_act_as(self, identity: str, authzid: str) -> bool:
        if self._begin.decides_proxies:
            return True
        name_of = self._served.user_name
        return is_same_address(name_of(identity), name_of(authzid))

    def _succeed(self, result: Result, output: bytes | None) -> Answer:
        # Before there is a result, which is what is logged and told.
        if self._begin.mutual:
            demand_mutual(result)
        self.result = result
        return Success(
            user=self._served.user_name(result.identity),
            authzid=self._served.user_name(result.authzid),
            data=output,
            binding=result.channel_binding,
            binding_wanted=self.claimed.startswith(_COULD_BIND),
            mutual=result.mutual,
            properties=_properties(result),
        )

    def _tell(self, error: BrowserIDError, token: bytes) -> Answer:
        """Let the person's program know: some hang up on it, so the reason is settled now."""
        self.failure = failure_of(error)
        if self._begin.extended:
            return Refusal(self.failure, token)
        return Challenge(token)


def _properties(result: Result) -> dict[str, str]:
    """What an application may want to know. The time is in seconds."""
    properties = {
        "browserid-email": result.identity,
        "browserid-issuer": result.issuer,
        "browserid-expires": str(result.expires // 1000),
    }
    for name, value in result.attributes.items():
        if isinstance(value, str | int):
            properties[f"browserid-claim-{name}"] = str(value)
    return {name: value for name, value in properties.items() if "\0" not in name + value}
