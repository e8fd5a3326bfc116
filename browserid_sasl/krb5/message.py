"""Per-message tokens: wrap and MIC of an established context (RFC 4121 section 4.2).

A token has a header of 16 octets, a body, and a checksum::

    wrap  05 04  flags FF  EC EC  RRC RRC  sequence number (8)   data, checksum, or sealed data
    MIC   04 04  flags FF  FF FF  FF  FF   sequence number (8)   checksum

EC counts filler octets behind sealed data, or the octets of the checksum behind clear data. The
body may have been rotated to the right by RRC octets; every rotation is read, none is written.
Sealed data ends with a copy of the header. Header fields are believed only after the checksum, or
that copy, has confirmed them.

Each direction counts its tokens from 0, wrap and MIC together. A receiver remembers the last
numbers, so that no token is taken twice (RFC 2743 section 1.2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from os import urandom
from struct import Struct
from typing import Final, NamedTuple

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.krb5.enctypes import BLOCK_SIZE, OUTPUT_SLACK, Key, Octets, cut_pieces

_HEADER: Final = Struct(">HBBHHQ")
HEADER_SIZE: Final = _HEADER.size

_WRAP_TOKEN: Final = 0x0504
_MIC_TOKEN: Final = 0x0404
_TOKEN_NAMES: Final = {_WRAP_TOKEN: "wrap", _MIC_TOKEN: "MIC"}

_SENT_BY_ACCEPTOR: Final = 0x01
_SEALED: Final = 0x02
_ACCEPTOR_SUBKEY: Final = 0x04

_FILLER: Final = 0xFF
_MIC_COUNT: Final = 0xFFFF

_LAST_SEQUENCE: Final = (1 << 64) - 1
_WINDOW: Final = 64
_WINDOW_MASK: Final = (1 << _WINDOW) - 1


class Role(Enum):
    """An end of the context, with its key usages (RFC 4121 section 2) and direction flag."""

    INITIATOR = (24, 25, 0)
    ACCEPTOR = (22, 23, _SENT_BY_ACCEPTOR)

    def __init__(self, seal_usage: int, sign_usage: int, direction: int) -> None:
        self.seal_usage = seal_usage
        self.sign_usage = sign_usage
        self.direction = direction

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.ACCEPTOR if self is Role.INITIATOR else Role.INITIATOR


# Sequence numbers


class TokenStatus(IntFlag):
    """What a token's sequence number says, as supplementary GSS status bits (RFC 2744 3.9.1)."""

    IN_ORDER = 0
    DUPLICATE = 1 << 1
    OLD = 1 << 2
    UNSEQUENCED = 1 << 3
    GAP = 1 << 4


class SequenceError(RemoteProtocolError):
    """A token was seen before, or is too old to tell. Its data is withheld.

    :param status: `TokenStatus.DUPLICATE` or `TokenStatus.OLD`.
    """

    def __init__(self, status: TokenStatus, message: str) -> None:
        remedy = "somebody repeats recorded traffic, or the transport delivers it more than once"
        super().__init__(Code.BAD_TOKEN_HEADER, message, remedy)
        self.status = status


@dataclass(frozen=True, slots=True)
class SequenceState:
    """Where both directions have got to; what an exported context has to keep.

    :param send: number of the next token sent. 0 in this protocol's contexts; Kerberos contexts
        start at a random number.
    :param receive: number expected next.
    :param received: which of the 64 numbers before `receive` must not come again: bit 0 is the
        last one. Numbers before a context's first count as received.
    """

    send: int = 0
    receive: int = 0
    received: int = _WINDOW_MASK


class _SequenceWindow:
    """The receiver's memory: the number expected next and a bitmap of those before it."""

    __slots__ = ("expected", "received")

    def __init__(self, expected: int, received: int) -> None:
        self.expected = expected
        self.received = received

    def accept(self, number: int) -> TokenStatus:
        """Record an authenticated sequence number.

        :raises SequenceError: it was recorded before, or is older than the window.
        """
        ahead = number - self.expected
        if ahead >= 0:
            # A gap wider than the window leaves nothing of it; a shift by its width would
            # make a number of up to 2**64 bits.
            kept = self.received << ahead + 1 if ahead < _WINDOW else 0
            self.received = (kept | 1) & _WINDOW_MASK
            self.expected = number + 1
            return TokenStatus.GAP if ahead else TokenStatus.IN_ORDER
        if ahead < -_WINDOW:
            raise SequenceError(TokenStatus.OLD, f"token {number} is too old to be taken")
        bit = 1 << -ahead - 1
        if self.received & bit:
            raise SequenceError(TokenStatus.DUPLICATE, f"token {number} was received before")
        self.received |= bit
        return TokenStatus.UNSEQUENCED


# Tokens


class _Header(NamedTuple):
    """The 16 octets before every token's body (RFC 4121 sections 4.2.6.1 and 4.2.6.2)."""

    token_id: int
    flags: int
    filler: int
    extra_count: int
    rotation: int
    sequence: int

    def pack(self) -> bytes:
        return _HEADER.pack(*self)

    @property
    def sealed(self) -> bool:
        return bool(self.flags & _SEALED)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What a wrap token held.

    :param data: the message.
    :param confidential: whether it was sealed, or only protected from change.
    :param status: `TokenStatus.IN_ORDER`, `GAP` (tokens are missing before it) or `UNSEQUENCED`
        (it is one of those that were missing). On a stream transport only the first is normal.
    """

    data: bytes = field(repr=False)
    confidential: bool
    status: TokenStatus


class MessageProtection:
    """Wrap, unwrap, sign and verify with the key of an established context.

    Messages may be any bytes-like objects. Sending and receiving share no state, so one thread
    may send while another receives; two threads must not send, or receive, at the same time.

    :param key: the base key (CRK, PROTOCOL.md section 5).
    :param role: which end this is.
    :param acceptor_subkey: whether an extra round trip took place. Sets the AcceptorSubkey flag
        on output and requires it on input.
    :param dce: whether the context is DCE style. The acceptor's sealed tokens then have EC = 16.
    :param sequence: where to start, for a context that was imported.
    :param random: gives that many random octets, for confounders.
    """

    def __init__(
        self,
        key: Key,
        role: Role,
        *,
        acceptor_subkey: bool = False,
        dce: bool = False,
        sequence: SequenceState | None = None,
        random: Callable[[int], bytes] = urandom,
    ) -> None:
        start = sequence or SequenceState()
        self._key = key
        self._mac_size = key.enctype.mac_size
        self._role = role
        self._peer = role.peer
        self._subkey_flag = _ACCEPTOR_SUBKEY if acceptor_subkey else 0
        self._seal_filler = bytes([_FILLER]) * (BLOCK_SIZE if dce and role is Role.ACCEPTOR else 0)
        self._next_sequence = start.send
        self._window = _SequenceWindow(start.receive, start.received)
        self._random = random

    @property
    def sequence(self) -> SequenceState:
        """Where both directions have got to."""
        return SequenceState(self._next_sequence, self._window.expected, self._window.received)

    # Sending

    def wrap(self, data: Octets, confidential: bool = True) -> bytes:
        """Protect a message from change and, by default, from being read.

        :raises LocalProtocolError: when the sequence numbers are used up.
        """
        return self.wrap_aead(data, b"", confidential)

    def wrap_aead(self, data: Octets, associated: Octets, confidential: bool = True) -> bytes:
        """As `wrap`, and protect from change also some data the peer has by other means.

        :param associated: what the token does not contain but its checksum covers. Where it ends
            the checksum does not say, so the peer must know its size from elsewhere: never take
            that from somebody who may alter the token.
        :returns: the token that ``gss_wrap_aead`` of MIT Kerberos makes.
        :raises LocalProtocolError: when the sequence numbers are used up.
        """
        make = self._seal if confidential else self._wrap_clear
        token = make(_octets(data), _octets(associated))
        self._next_sequence += 1
        return token

    def get_mic(self, data: Octets) -> bytes:
        """A checksum of a message that travels by other means.

        :raises LocalProtocolError: when the sequence numbers are used up.
        """
        header = self._header(_MIC_TOKEN, 0, _MIC_COUNT, _MIC_COUNT).pack()
        token = header + self._key.checksum(self._role.sign_usage, _octets(data), header)
        self._next_sequence += 1
        return token

    def wrap_size_limit(self, max_output: int, confidential: bool = True) -> int:
        """Octets that a message may have so that its token has `max_output` at most.

        0 also when not even an empty message would fit (RFC 2743 section 2.2.7).
        """
        if confidential:
            overhead = 2 * HEADER_SIZE + BLOCK_SIZE + len(self._seal_filler) + self._mac_size
        else:
            overhead = HEADER_SIZE + self._mac_size
        return max(0, max_output - overhead)

    def _seal(self, data: memoryview, associated: memoryview) -> bytes:
        """RFC 4121 section 4.2.4, with confidentiality."""
        filler = self._seal_filler
        header = self._header(_WRAP_TOKEN, _SEALED, len(filler), 0).pack()
        keys = self._key.for_usage(self._role.seal_usage)
        sealed_size = keys.sealed_size(len(data) + len(filler) + HEADER_SIZE)
        token = memoryview(bytearray(HEADER_SIZE + sealed_size + OUTPUT_SLACK))
        token[:HEADER_SIZE] = header
        confounder = self._random(BLOCK_SIZE)
        keys.seal_into(token[HEADER_SIZE:], confounder, (data, filler + header), associated)
        return bytes(token[: HEADER_SIZE + sealed_size])

    def _wrap_clear(self, data: memoryview, associated: memoryview) -> bytes:
        """RFC 4121 section 4.2.4, without: EC counts as 0 in what the checksum covers."""
        header = self._header(_WRAP_TOKEN, 0, 0, 0)
        covered = (associated, data, header.pack())
        checksum = self._key.checksum(self._role.seal_usage, *covered)
        return b"".join((header._replace(extra_count=len(checksum)).pack(), data, checksum))

    def _header(self, token_id: int, flags: int, extra_count: int, rotation: int) -> _Header:
        if self._next_sequence > _LAST_SEQUENCE:
            raise LocalProtocolError(
                Code.UNAVAILABLE,
                "this context has used up its sequence numbers",
                "authenticate again",
            )
        flags |= self._role.direction | self._subkey_flag
        return _Header(token_id, flags, _FILLER, extra_count, rotation, self._next_sequence)

    # Receiving

    def unwrap(self, token: Octets) -> Unwrapped:
        """Open a wrap token of the peer's.

        :raises SequenceError: the token was received before, or is older than the last 64.
        :raises RemoteProtocolError: token-truncated, wrong-token-id, bad-direction,
            bad-token-header, wrong-size; invalid-signature when it was altered.
        """
        return self.unwrap_aead(token, b"")

    def unwrap_aead(self, token: Octets, associated: Octets) -> Unwrapped:
        """Open a token of the peer's `wrap_aead`. Raises what `unwrap` raises.

        :param associated: what was given to `wrap_aead`.
        """
        view = _octets(token)
        header = self._parse_header(view, _WRAP_TOKEN)
        body = _rotate_left(view[HEADER_SIZE:], header.rotation)
        open_body = self._unseal if header.sealed else self._unwrap_clear
        data = open_body(header, body, _octets(associated))
        return Unwrapped(data, header.sealed, self._window.accept(header.sequence))

    def verify_mic(self, data: Octets, token: Octets) -> TokenStatus:
        """Check a MIC token of the peer's for a message.

        :returns: as in `Unwrapped`.
        :raises SequenceError: the token was received before, or is older than the last 64.
        :raises RemoteProtocolError: as `unwrap`.
        """
        view = _octets(token)
        header = self._parse_header(view, _MIC_TOKEN)
        if header.sealed or (header.extra_count, header.rotation) != (_MIC_COUNT, _MIC_COUNT):
            raise RemoteProtocolError(
                Code.BAD_TOKEN_HEADER, "the MIC token's header has fields a MIC does not have"
            )
        if len(view) != HEADER_SIZE + self._mac_size:
            raise RemoteProtocolError(
                Code.WRONG_SIZE,
                f"the MIC token has {len(view)} octets, not {HEADER_SIZE + self._mac_size}",
            )
        signed_header, checksum = view[:HEADER_SIZE], view[HEADER_SIZE:]
        usage = self._peer.sign_usage
        self._key.verify_checksum(usage, checksum, _octets(data), signed_header)
        return self._window.accept(header.sequence)

    def _parse_header(self, token: memoryview, token_id: int) -> _Header:
        """The header, after the checks that need no key."""
        if len(token) < HEADER_SIZE:
            raise RemoteProtocolError(
                Code.TOKEN_TRUNCATED,
                f"a token has a header of {HEADER_SIZE} octets, this one {len(token)}",
            )
        header = _Header(*_HEADER.unpack_from(token))
        if header.token_id != token_id:
            raise RemoteProtocolError(
                Code.WRONG_TOKEN_ID,
                f"this is no {_TOKEN_NAMES[token_id]} token: it begins {header.token_id:04x}",
            )
        if header.filler != _FILLER:
            raise RemoteProtocolError(
                Code.BAD_TOKEN_HEADER, "the filler octet in the token's header is not FF"
            )
        if header.flags & _SENT_BY_ACCEPTOR != self._peer.direction:
            raise RemoteProtocolError(
                Code.BAD_DIRECTION,
                f"the token was sent by the {self._role.name.lower()}, which is this side",
                "it was reflected, or both programs were started in the same role",
            )
        if header.flags & _ACCEPTOR_SUBKEY != self._subkey_flag:
            raise RemoteProtocolError(
                Code.BAD_TOKEN_HEADER,
                "the two sides do not agree on whether there was an extra round trip",
            )
        return header

    def _unseal(self, header: _Header, body: Sequence[memoryview], associated: memoryview) -> bytes:
        keys = self._key.for_usage(self._peer.seal_usage)
        plaintext = keys.unseal(body, associated)
        # The copy of the header was sealed before the body was rotated. EC must be compared
        # too, or whoever changes it in transit cuts octets off the message.
        sealed_header = header._replace(rotation=0).pack()
        if plaintext[-HEADER_SIZE:] != sealed_header:
            raise RemoteProtocolError(
                Code.INVALID_SIGNATURE, "the token's header was altered on the way"
            )
        size = len(plaintext) - HEADER_SIZE - header.extra_count
        if size < 0:
            raise RemoteProtocolError(
                Code.WRONG_SIZE, "the token announces more filler than it has octets"
            )
        return bytes(plaintext[:size])

    def _unwrap_clear(
        self, header: _Header, body: Sequence[memoryview], associated: memoryview
    ) -> bytes:
        if header.extra_count != self._mac_size:
            raise RemoteProtocolError(
                Code.WRONG_SIZE,
                f"the token announces a checksum of {header.extra_count} octets, "
                f"not {self._mac_size}",
            )
        size = sum(map(len, body)) - self._mac_size
        if size < 0:
            raise RemoteProtocolError(
                Code.TOKEN_TRUNCATED, "the token is too short to hold its checksum"
            )
        data, checksum = cut_pieces(body, size)
        signed_header = header._replace(extra_count=0, rotation=0).pack()
        covered: list[Octets] = [associated, *data, signed_header]
        self._key.verify_checksum(self._peer.seal_usage, b"".join(checksum), *covered)
        return b"".join(data)


def _octets(data: Octets) -> memoryview:
    """The memory of a bytes-like object, whatever it takes its items to be."""
    return memoryview(data).cast("B")


def _rotate_left(body: memoryview, by: int) -> Sequence[memoryview]:
    """The body as it was before it was rotated to the right, in pieces that were not copied."""
    by = by % len(body) if body else 0
    return (body[by:], body[:by]) if by else (body,)
