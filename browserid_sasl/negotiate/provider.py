"""Contexts with the interface of the package `pyspnego`, for programs that take one of those.

`client` and `server` stand in for ``spnego.client`` and ``spnego.server``; what they return is a
``spnego.ContextProxy``. The package comes with the extra `pyspnego`. Its tokens are those of the
plain mechanism and not of SPNEGO: the other side has to be of this family too, such as this module,
`browserid_sasl.negotiate.logins`, or a program of MIT's library with the GSS-API module.

Errors are ``spnego.exceptions.SpnegoError``, of the class for their GSS major status, and have the
project's own as ``base_error``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from spnego import ContextProxy, ContextReq
from spnego._context import (
    IOVUnwrapResult,
    IOVWrapResult,
    SecPkgContextSizes,
    UnwrapResult,
    WinRMWrapResult,
    WrapResult,
)
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import ErrorCode, NegotiateOptions, SpnegoError, UnsupportedQop
from spnego.iov import BufferType, IOVBuffer, IOVResBuffer

from browserid_sasl.api import Client, Server
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.gss.context import ContextFlag, SecurityContext
from browserid_sasl.gss.plain import PlainAcceptor, PlainInitiator
from browserid_sasl.krb5.enctypes import BLOCK_SIZE, random_to_key
from browserid_sasl.krb5.message import HEADER_SIZE, MessageProtection

_QOP: Final = 0
"""The only quality of protection that there is."""

_ROUTINE_ERROR: Final = 16
"""Where in a GSS major status the number of its error begins (RFC 2744 section 3.9.1)."""

_FLAGS: Final = (
    (ContextReq.mutual_auth, ContextFlag.MUTUAL),
    (ContextReq.replay_detect, ContextFlag.REPLAY),
    (ContextReq.sequence_detect, ContextFlag.SEQUENCE),
    (ContextReq.confidentiality, ContextFlag.CONFIDENTIALITY),
    (ContextReq.integrity, ContextFlag.INTEGRITY),
    (ContextReq.dce_style, ContextFlag.DCE_STYLE),
    (ContextReq.identify, ContextFlag.IDENTIFY),
)

_IN_TOKEN: Final = (
    BufferType.header,
    BufferType.data,
    BufferType.padding,
    BufferType.trailer,
)
"""In the order in which a token has them."""

Begin = Callable[[bytes | None, ContextFlag], PlainInitiator | PlainAcceptor]


def client(
    hostname: str,
    service: str = "host",
    *,
    mechanism: str = "",
    identity: str = "",
    channel_bindings: GssChannelBindings | None = None,
    context_req: ContextReq = ContextReq.none,
    client: Client | None = None,
) -> ContextProxy:
    """A context that logs in to a service.

    :param hostname: the service's host.
    :param service: its name as GSS-API has it.
    :param mechanism: the first of the configured ones when empty.
    :param identity: the address to log in as; the configured or only one when empty.
    :param context_req: what is asked for. `mutual_auth` has the server asked for its certificate;
        whether it has shown one, ``context_attr`` says.
    :param client: in place of one with the machine's configuration.
    :raises SpnegoError: the configuration cannot be used.
    """
    with _as_theirs():
        used = client or Client(service=service, hostname=hostname, identity=identity)

    def begin(bound: bytes | None, flags: ContextFlag) -> PlainInitiator:
        return used.initiate(mechanism, channel_binding=bound, flags=flags)

    return _Context(begin, hostname, service, channel_bindings, context_req, "initiate")


def server(
    hostname: str,
    service: str = "host",
    *,
    channel_bindings: GssChannelBindings | None = None,
    server: Server | None = None,
) -> ContextProxy:
    """A context in which somebody logs in.

    A refusal is a token for the other side, once, and then an error; ``complete`` stays False.

    :param server: in place of one with the machine's configuration. It says who may log in,
        which is nobody until it is told.
    :raises SpnegoError: the configuration cannot be used.
    """
    with _as_theirs():
        used = server or Server(service=service, hostname=hostname)

    def begin(bound: bytes | None, flags: ContextFlag) -> PlainAcceptor:
        return used.accept(channel_binding=bound)

    return _Context(begin, hostname, service, channel_bindings, ContextReq.none, "accept")


@contextmanager
def _as_theirs() -> Iterator[None]:
    try:
        yield
    except BrowserIDError as error:
        raise _theirs(error) from error


def _theirs(error: BrowserIDError) -> SpnegoError:
    # A number that came twice is no routine error, and theirs has no other kind.
    number = error.major >> _ROUTINE_ERROR & 0xFF or ErrorCode.invalid_token
    made: SpnegoError = SpnegoError(error_code=number, base_error=error)
    return made


def _check_qop(qop: int | None) -> None:
    if qop not in (None, _QOP):
        raise UnsupportedQop(context_msg="there is one quality of protection, which is 0")


@dataclass(frozen=True, slots=True)
class _Buffers:
    """A message in pieces, as it is given to `ContextProxy.wrap_iov` and its opposite.

    :param all: in their order.
    """

    all: Sequence[IOVBuffer]

    def joined(self, *types: BufferType) -> bytes:
        """What those of some types hold together."""
        return b"".join(
            each.data for each in self.all if each.type in types and isinstance(each.data, bytes)
        )

    def has(self, type: BufferType) -> bool:
        """Whether there is one of a type."""
        return any(each.type is type for each in self.all)

    def check(self) -> None:
        """See that they are what can be protected.

        :raises LocalProtocolError: invalid-parameter.
        """
        types = [each.type for each in self.all]
        known = {*_IN_TOKEN, BufferType.sign_only, BufferType.data_readonly, BufferType.empty}
        data = types.index(BufferType.data) if BufferType.data in types else len(types)
        if types.count(BufferType.header) != 1 or not known.issuperset(types):
            raise _bad_buffers("there has to be one header, and no stream beside it")
        if BufferType.sign_only in types[data:]:
            raise _bad_buffers("what is signed only has to come before the data")

    def filled(self, data: bytes, **others: bytes) -> tuple[IOVResBuffer, ...]:
        """They, with other data of the same sizes, and what else is known by its type."""
        made, at = [], 0
        for each in self.all:
            value = each.data if isinstance(each.data, bytes) else None
            if each.type is BufferType.data:
                size = len(value or b"")
                value, at = data[at : at + size], at + size
            made.append(IOVResBuffer(each.type, others.get(each.type.name, value)))
        return tuple(made)

    @property
    def stream(self) -> bytes:
        """What is in the stream, where there is one with room for its data behind it.

        :raises LocalProtocolError: invalid-parameter.
        """
        if [each.type for each in self.all] != [BufferType.stream, BufferType.data]:
            raise _bad_buffers("there has to be a stream, and one for the data after it")
        return self.joined(BufferType.stream)

    def with_data(self, data: bytes) -> tuple[IOVResBuffer, ...]:
        """The stream and what was in it."""
        return (IOVResBuffer(BufferType.stream, self.stream), IOVResBuffer(BufferType.data, data))


def _bad_buffers(why: str) -> LocalProtocolError:
    return LocalProtocolError(Code.INVALID_PARAMETER, f"the buffers cannot be used: {why}")


class _Context(ContextProxy):
    """One context of either side.

    :param begin: makes the exchange, when the channel's binding data is known.
    """

    def __init__(
        self,
        begin: Begin,
        hostname: str,
        service: str,
        channel_bindings: GssChannelBindings | None,
        context_req: ContextReq,
        usage: str,
    ) -> None:
        options = NegotiateOptions.none
        super().__init__(
            [], hostname, service, channel_bindings, context_req, usage, "negotiate", options
        )
        self._begin = begin
        self._arguments = (begin, hostname, service, channel_bindings, context_req, usage)
        self._exchange: PlainInitiator | PlainAcceptor | None = None
        self._protection: MessageProtection | None = None

    @classmethod
    def available_protocols(cls, options: NegotiateOptions | None = None) -> list[str]:
        """What is between the names that pyspnego knows."""
        return ["negotiate"]

    @classmethod
    def iov_available(cls) -> bool:
        """Messages can be in pieces."""
        return True

    @property
    def _context_attr_map(self) -> list[tuple[ContextReq, int]]:
        return [(theirs, int(ours)) for theirs, ours in _FLAGS]

    @property
    def client_principal(self) -> str | None:
        """The address of who has logged in, for the side that accepts."""
        return self._context.identity if self.usage == "accept" and self.complete else None

    @property
    def complete(self) -> bool:
        """Whether the context is established; a last token may have to be sent first."""
        return self._exchange is not None and self._exchange.complete

    @property
    def negotiated_protocol(self) -> str | None:
        """The mechanism's name, once the context is established."""
        return self._context.mechanism.name if self.complete else None

    @property
    def session_key(self) -> bytes:
        """The context's key.

        :raises SpnegoError: it is not established, or agrees on no key.
        """
        with _as_theirs():
            self._messages()
            context = self._context
            return random_to_key(context.mechanism.enctype, context.root_key or b"").octets

    @property
    def _context(self) -> SecurityContext:
        if self._exchange is None:
            raise LocalProtocolError(Code.CONTEXT_INCOMPLETE, "the context is not established")
        return self._exchange.context

    def _messages(self) -> MessageProtection:
        if self._protection is None:
            self._protection = self._context.protection()
        return self._protection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The `SecurityContext` by the name ``context``, once it is established."""
        return self._context if name == "context" and self.complete else default

    def new_context(self) -> ContextProxy:
        """Another one of the same kind."""
        return _Context(*self._arguments)

    def step(
        self, in_token: bytes | None = None, *, channel_bindings: GssChannelBindings | None = None
    ) -> bytes | None:
        """Take a token, or none to begin; the next one to send, None when there is none.

        :raises SpnegoError: the login has failed.
        """
        with _as_theirs():
            if self._exchange is None:
                self._exchange = self._begin(self._bound(channel_bindings), self._asked)
            if isinstance(self._exchange, PlainAcceptor):
                token = self._accept(self._exchange, in_token or b"")
            else:
                token = self._exchange.step(in_token)
            if self.complete:
                self._context_attr = int(self._context.flags)
            return token or None

    @property
    def _asked(self) -> ContextFlag:
        return ContextFlag(self._context_req)

    def _bound(self, given: GssChannelBindings | None) -> bytes | None:
        bindings = given or self.channel_bindings
        return None if bindings is None else bindings.application_data or b""

    @staticmethod
    def _accept(exchange: PlainAcceptor, token: bytes) -> bytes | None:
        # Whoever takes no notice of a refusal is told by the second step.
        answer = None if exchange.failure else exchange.step(token)
        if exchange.failure and not answer:
            raise exchange.failure
        return answer

    # Messages

    def query_message_sizes(self) -> SecPkgContextSizes:
        """The size of what `wrap_iov` puts into a header.

        :raises SpnegoError: the context is not established, or agrees on no key.
        """
        with _as_theirs():
            limit = 1 << 16
            return SecPkgContextSizes(header=limit - self._messages().wrap_size_limit(limit))

    def wrap(self, data: bytes, encrypt: bool = True, qop: int | None = None) -> WrapResult:
        """Protect a message."""
        _check_qop(qop)
        with _as_theirs():
            return WrapResult(self._messages().wrap(data, encrypt), encrypt)

    def unwrap(self, data: bytes) -> UnwrapResult:
        """Open one of the other side's."""
        with _as_theirs():
            opened = self._messages().unwrap(data)
            return UnwrapResult(opened.data, opened.confidential, _QOP)

    def wrap_iov(
        self, iov: Iterable[Any], encrypt: bool = True, qop: int | None = None
    ) -> IOVWrapResult:
        """Protect a message in pieces: a header, data, what is signed only before it, a trailer."""
        _check_qop(qop)
        with _as_theirs():
            buffers = self._buffers(iov)
            buffers.check()
            data = buffers.joined(BufferType.data)
            signed = buffers.joined(BufferType.sign_only)
            token = self._messages().wrap_aead(data, signed, encrypt)
            begin = HEADER_SIZE + (BLOCK_SIZE if encrypt else 0)
            end = begin + len(data)
            head, body, tail = token[:begin], token[begin:end], token[end:]
            if not buffers.has(BufferType.trailer):
                head, tail = _rotated(head, tail), b""
            filled = buffers.filled(body, header=head, padding=b"", trailer=tail)
            return IOVWrapResult(filled, encrypt)

    def unwrap_iov(self, iov: Iterable[Any]) -> IOVUnwrapResult:
        """Open a message in pieces, or a stream with room for the data behind it."""
        with _as_theirs():
            buffers = self._buffers(iov)
            if buffers.has(BufferType.stream):
                opened = self._messages().unwrap(buffers.stream)
                filled = buffers.with_data(opened.data)
            else:
                buffers.check()
                token = b"".join(buffers.joined(each) for each in _IN_TOKEN)
                opened = self._messages().unwrap_aead(token, buffers.joined(BufferType.sign_only))
                filled = buffers.filled(opened.data)
            return IOVUnwrapResult(filled, opened.confidential, _QOP)

    def _buffers(self, iov: Iterable[Any]) -> _Buffers:
        return _Buffers(self._build_iov_list(iov, lambda each: each))

    def wrap_winrm(self, data: bytes) -> WinRMWrapResult:
        """Protect a message as WinRM sends it."""
        header, body, _ = self.wrap_iov([BufferType.header, data, BufferType.padding]).buffers
        return WinRMWrapResult(header.data or b"", body.data or b"", 0)

    def unwrap_winrm(self, header: bytes, data: bytes) -> bytes:
        """Open a message as WinRM sends it."""
        return self.unwrap(header + data).data

    def sign(self, data: bytes, qop: int | None = None) -> bytes:
        """A message's checksum."""
        _check_qop(qop)
        with _as_theirs():
            return self._messages().get_mic(data)

    def verify(self, data: bytes, mic: bytes) -> int:
        """Check the checksum of one of the other side's."""
        with _as_theirs():
            self._messages().verify_mic(data, mic)
            return _QOP


def _rotated(head: bytes, tail: bytes) -> bytes:
    """A header that has in it what would be behind the data (RFC 4121 section 4.2.5)."""
    at = slice(6, 8)
    fixed = bytearray(head[:HEADER_SIZE])
    fixed[at] = len(tail).to_bytes(2, "big")
    return bytes(fixed) + tail + head[HEADER_SIZE:]
