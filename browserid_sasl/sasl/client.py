"""The client's side of a SASL exchange (PROTOCOL.md section 6)."""

from __future__ import annotations

from typing import Protocol

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.initiator import Initiator
from browserid_sasl.gss.states import InitiatorState
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.gs2 import BindingFlag, Gs2Header
from browserid_sasl.sasl.result import Result, result_of


class InitiatorFactory(Protocol):
    """Makes the initiator for a channel binding."""

    def __call__(self, *, channel_binding: bytes | None) -> Initiator:
        """A new initiator; see there for the argument."""


class ClientMechanism:
    """Authenticates to one server.

    :param name: the name to tell the server.
    :param make_initiator: makes the initiator.
    :param flag: what to say about channel binding.
    :param channel_binding: the channel's binding; needed when `flag` says it is used.
    :param authzid: the identity to act as; empty for one's own.
    """

    def __init__(
        self,
        name: str,
        make_initiator: InitiatorFactory,
        *,
        flag: BindingFlag = BindingFlag.NONE,
        channel_binding: ChannelBinding | None = None,
        authzid: str = "",
    ) -> None:
        binding_type, data = "", b""
        if flag is BindingFlag.USED:
            if channel_binding is None:
                raise LocalProtocolError(
                    Code.MISSING_CHANNEL_BINDINGS, "there is no channel binding data to use"
                )
            binding_type, data = channel_binding.type, channel_binding.data
        self._name = name
        self._header = Gs2Header(flag, binding_type, authzid)
        self._octets = self._header.encode()
        self._initiator = make_initiator(channel_binding=self._octets + data)

    @property
    def name(self) -> str:
        """The mechanism's name as the server gets it."""
        return self._name

    @property
    def complete(self) -> bool:
        """Whether the server's part is verified; what is left is its word of success."""
        return self._initiator.state is InitiatorState.ESTABLISHED

    @property
    def result(self) -> Result:
        """The login.

        :raises LocalProtocolError: context-incomplete.
        """
        return result_of(self._header, self._initiator.context)

    def step(self, challenge: bytes | None = None) -> bytes:
        """Take a challenge, or nothing for the initial response.

        :returns: the response to send; it may be empty.
        :raises BrowserIDError: the login has failed: `RemoteProtocolError` or
            `PeerRefusedError` by the server's doing, `CredentialError` for want of a sign-in.
        """
        if self._initiator.state is InitiatorState.START:
            if challenge:
                raise RemoteProtocolError(
                    Code.BAD_CONTEXT_TOKEN, "the server spoke first, it is the client's turn"
                )
            return self._octets + (self._initiator.step() or b"")
        if self.complete:
            if challenge:
                raise self._initiator.late_refusal(challenge)
            return b""
        return self._initiator.step(challenge or b"") or b""
