"""The server's side of a SASL exchange (PROTOCOL.md section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.acceptor import Acceptor
from browserid_sasl.gss.states import AcceptorState
from browserid_sasl.gss.steps import Steps, at_once
from browserid_sasl.identity.addresses import is_same_address
from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.gs2 import BindingFlag, Gs2Header
from browserid_sasl.sasl.result import Result, result_of

_MAX_SHOWN: Final = 254

Authorize = Callable[[str, str], bool]
"""Whether the first identity may log in and act as the second, which may be the same."""


class AcceptorFactory(Protocol):
    """Makes the acceptor, when the GS2 header has said what it has to be bound to."""

    def __call__(
        self, *, channel_binding: bytes | None, authorize: Callable[[str], None]
    ) -> Acceptor:
        """A new acceptor; see there for the arguments."""


def only_oneself(identity: str, authzid: str) -> bool:
    """The policy unless the program has one: nobody acts as somebody else."""
    return is_same_address(identity, authzid)


class ServerMechanism:
    """Authenticates one client.

    `step` takes a message of the client and returns the challenge to send. When a login fails
    the reason is in `failure` at once; the challenge returned is then the error token that tells
    the client, and the next call raises the reason.

    :param make_acceptor: makes the acceptor.
    :param channel_bindings: the channel's binding data by type; empty without.
    :param plus_listed: whether the client was told the mechanism's name with ``-PLUS``; None if
        it was where there is binding data.
    :param require_binding: whether a client that uses none is refused.
    :param success_data: whether the application's protocol sends data along with success. If
        not, the last challenge is answered by an empty message.
    :param authorize: whether an identity may log in, and act as another. Asked for every login,
        and once more when the proof of an extra round trip has come.
    """

    def __init__(
        self,
        make_acceptor: AcceptorFactory,
        *,
        channel_bindings: Mapping[str, bytes] | None = None,
        plus_listed: bool | None = None,
        require_binding: bool = False,
        success_data: bool = False,
        authorize: Authorize = only_oneself,
    ) -> None:
        self._make_acceptor = make_acceptor
        self._channel_bindings = dict(channel_bindings or {})
        self._deceived_without_plus = bool(channel_bindings) if plus_listed is None else plus_listed
        self._require_binding = require_binding
        self._success_data = success_data
        self._authorize = authorize
        self._acceptor: Acceptor | None = None
        self._header = Gs2Header(BindingFlag.NONE)
        self._failure: BrowserIDError | None = None
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether the client is authenticated and nothing more is due."""
        return self._complete

    @property
    def failure(self) -> BrowserIDError | None:
        """Why the login fails, None while it does not."""
        return self._failure or (self._acceptor.failure if self._acceptor else None)

    @property
    def result(self) -> Result:
        """The login.

        :raises LocalProtocolError: context-incomplete.
        """
        if not self._complete or self._acceptor is None:
            raise LocalProtocolError(Code.CONTEXT_INCOMPLETE, "the client is not authenticated")
        return result_of(self._header, self._acceptor.context)

    def step(self, message: bytes) -> bytes | None:
        """Take a message of the client.

        :returns: the challenge to send; with `complete`, data to send along with success or None.
        :raises BrowserIDError: the login has failed, and the client has been told before.
        """
        return at_once(self.steps(message))

    def steps(self, message: bytes) -> Steps[bytes | None]:
        """Like `step`, for who records the assertions of several logins together."""
        if self._complete:
            raise LocalProtocolError(
                Code.CONTEXT_ESTABLISHED, "the client is authenticated already"
            )
        if self.failure is not None:
            raise self.failure
        acceptor = self._acceptor
        if acceptor is None:
            return self._finish((yield from self._begin(message)))
        if acceptor.state is AcceptorState.ESTABLISHED:
            yield from self._finish_after(acceptor, message)
            return None
        return self._finish((yield from acceptor.steps(message)))

    def _begin(self, message: bytes) -> Steps[bytes | None]:
        try:
            self._header, octets, token = gs2.split(message)
            binding = octets + self._binding_data(self._header)
        except BrowserIDError as error:
            # What is wrong with the header is told by a token, without a look at the assertion.
            self._acceptor = self._make_acceptor(channel_binding=None, authorize=self._check)
            return self._acceptor.refuse(error)
        self._acceptor = self._make_acceptor(channel_binding=binding, authorize=self._check)
        return (yield from self._acceptor.steps(token))

    def _binding_data(self, header: Gs2Header) -> bytes:
        """The binding data to expect for what the header says (RFC 5801 section 5)."""
        if header.flag is BindingFlag.USED:
            return self._data_of(header.binding_type)
        if header.flag is BindingFlag.NOT_OFFERED and self._deceived_without_plus:
            raise RemoteProtocolError(
                Code.CHANNEL_BINDINGS_MISMATCH,
                "the client was led to believe that this server does no channel binding",
                "somebody between the two has altered the list of mechanisms",
            )
        if self._require_binding:
            raise RemoteProtocolError(
                Code.MISSING_CHANNEL_BINDINGS, "this server requires channel binding"
            )
        return b""

    def _data_of(self, binding_type: str) -> bytes:
        if not self._channel_bindings:
            raise RemoteProtocolError(
                Code.CHANNEL_BINDINGS_MISMATCH,
                "the client binds to the channel, and this server has no binding data",
                "the channel may end somewhere else: at a proxy, or at somebody in between",
            )
        if binding_type not in self._channel_bindings:
            raise RemoteProtocolError(
                Code.CHANNEL_BINDINGS_MISMATCH,
                f"the client binds by {binding_type}, this server knows "
                + ", ".join(self._channel_bindings),
            )
        return self._channel_bindings[binding_type]

    def _check(self, identity: str) -> None:
        authzid = self._header.authzid or identity
        if self._authorize(identity, authzid):
            return
        if is_same_address(identity, authzid):
            raise RemoteProtocolError(
                Code.NO_LOCAL_MAPPING, f"{identity} may not log in to this service"
            )
        raise RemoteProtocolError(
            Code.NO_LOCAL_MAPPING,
            f"{identity} may not act as {_shown(authzid)}",
            "leave the authorization identity empty to act as yourself",
        )

    def _finish(self, challenge: bytes | None) -> bytes | None:
        acceptor = self._acceptor
        established = acceptor is not None and acceptor.state is AcceptorState.ESTABLISHED
        # After an extra round trip there is nothing left to tell, with data or without.
        self._complete = established and (self._success_data or challenge is None)
        return challenge

    def _finish_after(self, acceptor: Acceptor, message: bytes) -> Steps[None]:
        """Succeed on the client's empty message, which may come as late as the client likes."""
        try:
            if message:
                raise RemoteProtocolError(
                    Code.BAD_CONTEXT_TOKEN, "the client sent more after the exchange was over"
                )
            yield from acceptor.check_running()
        except BrowserIDError as error:
            self._failure = error
            raise
        self._complete = True


def _shown(authzid: str) -> str:
    """Text of the client's that cannot forge a line of a log."""
    fits = authzid.isprintable() and len(authzid) <= _MAX_SHOWN
    return authzid if fits else ascii(authzid[:_MAX_SHOWN])
