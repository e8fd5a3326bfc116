"""Agreement with MIT Kerberos, in both directions, on the same keys.

First the operations of RFC 3961 one by one, then whole tokens: MIT's GSS-API has one end of a
context and ours, with its session key, the other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from browserid_sasl.errors import RemoteProtocolError
from browserid_sasl.krb5.enctypes import ENCTYPES, EncType, Key
from browserid_sasl.krb5.message import (
    MessageProtection,
    Role,
    SequenceError,
    SequenceState,
    TokenStatus,
    Unwrapped,
)
from browserid_sasl.krb5.prf import pseudo_random
from tests.support import mit

SIZES = (
    *range(65),
    *(
        size + difference
        for size in (128, 256, 1024, 4096, 16384, 65536)
        for difference in (-1, 0, 1)
    ),
    69_999,
    70_000,
)
USAGES = (2, 22, 23, 24, 25, 1024)
RANDOM = os.urandom(max(SIZES))

each_enctype = pytest.mark.parametrize("enctype", ENCTYPES.values(), ids=lambda row: row.name)
sealed_or_not = pytest.mark.parametrize("confidential", [True, False], ids=["sealed", "clear"])


# RFC 3961 operations


@each_enctype
def test_what_mit_encrypts_ours_decrypts(enctype: EncType) -> None:
    octets = os.urandom(enctype.key_size)
    key = Key(enctype, octets)
    for number, size in enumerate(SIZES):
        usage = USAGES[number % len(USAGES)]
        sealed = mit.encrypt(enctype.number, octets, usage, RANDOM[:size])
        assert key.decrypt(usage, sealed) == RANDOM[:size]


@each_enctype
def test_what_ours_encrypts_mit_decrypts(enctype: EncType) -> None:
    octets = os.urandom(enctype.key_size)
    key = Key(enctype, octets)
    for number, size in enumerate(SIZES):
        usage = USAGES[number % len(USAGES)]
        sealed = key.encrypt(usage, RANDOM[:size])
        assert mit.decrypt(enctype.number, octets, usage, sealed) == RANDOM[:size]


@each_enctype
def test_checksums_are_equal(enctype: EncType) -> None:
    octets = os.urandom(enctype.key_size)
    key = Key(enctype, octets)
    for number, size in enumerate(SIZES):
        usage, message = USAGES[number % len(USAGES)], RANDOM[:size]
        assert key.checksum(usage, message) == mit.checksum(enctype.number, octets, usage, message)


@each_enctype
def test_prf_outputs_are_equal(enctype: EncType) -> None:
    octets = os.urandom(enctype.key_size)
    key = Key(enctype, octets)
    for size in SIZES:
        assert key.prf(RANDOM[:size]) == mit.prf(enctype.number, octets, RANDOM[:size])


# Contexts


@dataclass(frozen=True)
class Kind:
    """A kind of context.

    :param name: how it is shown.
    :param flags: context flags asked for.
    :param acceptor_subkey: whether the acceptor brings a subkey, and the tokens' flags say so.
    :param padded: whether MIT's IOV functions write EC = 16, as DCE style has it.
    """

    name: str
    flags: mit.Flags
    acceptor_subkey: bool
    padded: bool = False


IN_ORDER = mit.PROTECTED | mit.Flags.REPLAY | mit.Flags.SEQUENCE
PLAIN = Kind("initiator's key", IN_ORDER, acceptor_subkey=False)
MUTUAL = Kind("acceptor's subkey", IN_ORDER | mit.Flags.MUTUAL, acceptor_subkey=True)
DCE_FLAGS = IN_ORDER | mit.Flags.MUTUAL | mit.Flags.DCE_STYLE
DCE = Kind("DCE style", DCE_FLAGS, acceptor_subkey=True, padded=True)


class Contexts:
    """A context of which MIT has both ends, and ours too: four ends, two of each role."""

    def __init__(self, realm: mit.Realm, kind: Kind) -> None:
        self.kind = kind
        self.mit = dict(zip(Role, mit.establish(realm, kind.flags), strict=True))
        self.key = Key(ENCTYPES[realm.enctype], self.mit[Role.INITIATOR].session_key())
        self._first = {role: self._learn_sequence(role) for role in Role}
        self.ours = {role: self._our_end(role) for role in Role}

    def _learn_sequence(self, role: Role) -> int:
        """The number of the first token of that role, which is hereby sent."""
        return int(struct.unpack(">Q", self.mit[role].get_mic(b"")[8:16])[0])

    def _our_end(self, role: Role) -> MessageProtection:
        # Ours sends from the number on that MIT's other end expects, but receives from the one
        # after it: MIT has sent a token already, to tell us the number.
        start = SequenceState(send=self._first[role], receive=self._first[role.peer] + 1)
        return MessageProtection(
            self.key,
            role,
            acceptor_subkey=self.kind.acceptor_subkey,
            dce=self.kind.padded,
            sequence=start,
        )

    def directions(self) -> Iterator[tuple[mit.Context, MessageProtection]]:
        """MIT's initiator with our acceptor, and MIT's acceptor with our initiator."""
        for role in Role:
            yield self.mit[role], self.ours[role.peer]


@pytest.fixture(params=ENCTYPES.values(), ids=lambda row: row.name)
def realm(request: pytest.FixtureRequest, tmp_path: Path) -> mit.Realm:
    return mit.Realm.create(request.param.number, tmp_path)


@pytest.fixture(params=[PLAIN, MUTUAL, DCE], ids=lambda kind: kind.name)
def contexts(realm: mit.Realm, request: pytest.FixtureRequest) -> Contexts:
    return Contexts(realm, request.param)


@sealed_or_not
def test_what_mit_wraps_ours_unwraps(contexts: Contexts, confidential: bool) -> None:
    for theirs, ours in contexts.directions():
        for size in SIZES:
            token = theirs.wrap(RANDOM[:size], confidential)
            expected = Unwrapped(RANDOM[:size], confidential, TokenStatus.IN_ORDER)
            assert ours.unwrap(token) == expected


@sealed_or_not
def test_what_ours_wraps_mit_unwraps(contexts: Contexts, confidential: bool) -> None:
    for theirs, ours in contexts.directions():
        for size in SIZES:
            token = ours.wrap(RANDOM[:size], confidential)
            assert theirs.unwrap(token) == (RANDOM[:size], confidential, 0)


def test_mics_agree(contexts: Contexts) -> None:
    for theirs, ours in contexts.directions():
        for size in SIZES:
            message = RANDOM[:size]
            assert ours.verify_mic(message, theirs.get_mic(message)) is TokenStatus.IN_ORDER
            assert theirs.verify_mic(message, ours.get_mic(message)) == 0


def test_clear_tokens_and_mics_are_the_same_octets(contexts: Contexts) -> None:
    for theirs in (contexts.mit[Role.INITIATOR], contexts.mit[Role.ACCEPTOR]):
        role = Role.INITIATOR if theirs is contexts.mit[Role.INITIATOR] else Role.ACCEPTOR
        twin = contexts.ours[role]
        # The twin has not sent the token from which the first number was learnt.
        twin.get_mic(b"")
        for size in (0, 1, 16, 70_000):
            message = RANDOM[:size]
            assert twin.wrap(message, False) == theirs.wrap(message, False)
            assert twin.get_mic(message) == theirs.get_mic(message)


@sealed_or_not
def test_associated_data_mit_wraps(contexts: Contexts, confidential: bool) -> None:
    for theirs, ours in contexts.directions():
        for size in SIZES:
            message, associated = RANDOM[:size], RANDOM[: 7 * size % 100]
            token = theirs.wrap_aead(message, associated, confidential)
            expected = Unwrapped(message, confidential, TokenStatus.IN_ORDER)
            assert ours.unwrap_aead(token, associated) == expected


@sealed_or_not
@pytest.mark.parametrize("contexts", [PLAIN, MUTUAL], ids=lambda kind: kind.name, indirect=True)
def test_associated_data_ours_wraps(contexts: Contexts, confidential: bool) -> None:
    """MIT's unwrap function for associated data does not take DCE style."""
    for theirs, ours in contexts.directions():
        for size in SIZES:
            message, associated = RANDOM[:size], RANDOM[: 7 * size % 100]
            token = ours.wrap_aead(message, associated, confidential)
            assert theirs.unwrap_aead(token, associated) == (message, confidential, 0)


def test_dce_style_pads_what_mit_seals(realm: mit.Realm) -> None:
    for theirs, ours in Contexts(realm, DCE).directions():
        token = theirs.wrap_aead(b"hello", b"to: alice")
        assert token[4:6] == b"\x00\x10"
        assert ours.unwrap_aead(token, b"to: alice").data == b"hello"


@sealed_or_not
@pytest.mark.parametrize("contexts", [PLAIN, MUTUAL], ids=lambda kind: kind.name, indirect=True)
def test_tokens_mit_rotates(contexts: Contexts, confidential: bool) -> None:
    """In DCE style MIT rotates by more than RRC says, and does not read that itself."""
    for theirs, ours in contexts.directions():
        for size in SIZES:
            token = theirs.wrap_rotated(RANDOM[:size], confidential)
            assert token[6:8] != b"\0\0"
            assert ours.unwrap(token).data == RANDOM[:size]


@pytest.mark.parametrize("contexts", [PLAIN, MUTUAL], ids=lambda kind: kind.name, indirect=True)
def test_size_limits_agree(contexts: Contexts) -> None:
    for theirs, ours in contexts.directions():
        for room in (0, 27, 28, 60, 61, 100, 4096, 70_000):
            for confidential in (True, False):
                limit = ours.wrap_size_limit(room, confidential)
                assert limit == theirs.wrap_size_limit(room, confidential)


def test_pseudo_random_functions_agree(contexts: Contexts) -> None:
    for theirs, _ in contexts.directions():
        for size in (0, 1, 16, 17, 48, 1000):
            assert pseudo_random(contexts.key, b"what for", size) == theirs.pseudo_random(
                b"what for", size
            )


def test_sequence_statuses_agree(contexts: Contexts) -> None:
    """The same tokens in the same order to MIT's acceptor and to ours."""
    theirs, ours = contexts.mit[Role.ACCEPTOR], contexts.ours[Role.ACCEPTOR]
    sender = contexts.ours[Role.INITIATOR]
    tokens = [sender.get_mic(b"") for _ in range(63)]
    # The first number has been spent on our acceptor already.
    theirs.verify_mic(b"", tokens[0])
    # No gap is wider: MIT then shifts a 64-bit number by 64, and what comes out is chance.
    for number in (1, 1, 4, 3, 2, 4, 2, 5, 62, 6, 6, 61, 62):
        status = theirs.verify_mic(b"", tokens[number])
        try:
            assert ours.verify_mic(b"", tokens[number]) == status
        except SequenceError as error:
            assert error.status == status


def test_both_refuse_what_was_altered(contexts: Contexts) -> None:
    for theirs, ours in contexts.directions():
        for confidential in (True, False):
            from_theirs, from_ours = theirs.wrap(b"hello", confidential), ours.wrap(b"hello")
            for position in (2, 8, 15, 16, 20, -1):
                with pytest.raises(RemoteProtocolError):
                    ours.unwrap(altered(from_theirs, position))
                with pytest.raises(mit.MitError):
                    theirs.unwrap(altered(from_ours, position))


def altered(token: bytes, position: int) -> bytes:
    octets = bytearray(token)
    octets[position] ^= 0x01
    return bytes(octets)
