"""plugin/message.c: the per-message calls of GSS-API in C.

It agrees with the Python contexts in both directions, to the octet where nothing in a token is
random, and with MIT's own mechanism; both refuse the same tokens for the same reasons.
"""

from __future__ import annotations

import json
import os
import struct
from base64 import b64decode
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.krb5.enctypes import ENCTYPES, EncType, Key
from browserid_sasl.krb5.message import (
    MessageProtection,
    Role,
    SequenceError,
    TokenStatus,
    Unwrapped,
)
from browserid_sasl.krb5.prf import pseudo_random
from tests.support import mit
from tests.support.c_messages import (
    ALLOCATE,
    DATA,
    HEADER,
    MIC_TOKEN,
    PADDING,
    SIGN_ONLY,
    STREAM,
    TRAILER,
    Buffer,
    CEnd,
    CMessages,
    CRefusalError,
    build,
)

VECTORS = Path(__file__).parent.parent / "vectors"
SIZES = (0, 1, 15, 16, 17, 31, 32, 33, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1)
RANDOM = os.urandom(max(SIZES))
ROOT = bytes(range(100, 132))
LAST = (1 << 64) - 1

each_enctype = pytest.mark.parametrize("row", ENCTYPES.values(), ids=lambda row: row.name)
sealed_or_not = pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "clear"])


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> CMessages:
    """The library."""
    return CMessages(build(tmp_path_factory.mktemp("messages")))


@pytest.fixture(
    params=[(False, False), (True, False), (True, True)],
    ids=["plain", "extra round trip", "DCE style"],
)
def kind(request: pytest.FixtureRequest) -> dict[str, bool]:
    """A kind of context, as options of both implementations."""
    subkey, dce = request.param
    return {"acceptor_subkey": subkey, "dce": dce}


def python_end(row: EncType, role: Role, **options: Any) -> MessageProtection:
    return MessageProtection(Key(row, ROOT[: row.key_size]), role, **options)


def refusal(action: Callable[..., object], *arguments: object) -> Code:
    with pytest.raises(CRefusalError) as refused:
        action(*arguments)
    assert refused.value.args[0], "there is a sentence for it"
    assert refused.value.major == refused.value.code.major
    return refused.value.code


# Beside the Python contexts


@sealed_or_not
@each_enctype
def test_whole_tokens_both_ways(
    c: CMessages, row: EncType, kind: dict[str, bool], sealed: bool
) -> None:
    for role in Role:
        ours, theirs = c.end(row.number, ROOT, role, **kind), python_end(row, role.peer, **kind)
        for size in SIZES:
            message = RANDOM[:size]
            expected = Unwrapped(message, sealed, TokenStatus.IN_ORDER)
            assert theirs.unwrap(ours.wrap(message, sealed)) == expected
            assert ours.unwrap(theirs.wrap(message, sealed)) == expected
            assert theirs.verify_mic(message, ours.get_mic(message)) is TokenStatus.IN_ORDER
            assert ours.verify_mic(message, theirs.get_mic(message)) == TokenStatus.IN_ORDER


@each_enctype
def test_what_is_not_random_is_the_same_octets(
    c: CMessages, row: EncType, kind: dict[str, bool]
) -> None:
    for role in Role:
        ours, twin = c.end(row.number, ROOT, role, **kind), python_end(row, role, **kind)
        for size in SIZES:
            assert ours.wrap(RANDOM[:size], False) == twin.wrap(RANDOM[:size], False)
            assert ours.get_mic(RANDOM[:size]) == twin.get_mic(RANDOM[:size])
        for room, sealed in product((0, 27, 28, 60, 61, 76, 77, 100, 70_000), (True, False)):
            assert ours.wrap_size_limit(room, sealed) == twin.wrap_size_limit(room, sealed)


@each_enctype
def test_a_sealed_token_is_not_made_twice_the_same(c: CMessages, row: EncType) -> None:
    tokens = {c.end(row.number, ROOT, Role.INITIATOR).wrap(b"hello") for _ in range(20)}
    assert len(tokens) == 20


@each_enctype
def test_the_pseudo_random_function(c: CMessages, row: EncType) -> None:
    end, key = c.end(row.number, ROOT, Role.ACCEPTOR), Key(row, ROOT[: row.key_size])
    for size, data in product((0, 1, 15, 16, 17, 48, 49, 1000), (b"", b"what for")):
        assert end.pseudo_random(data, size) == pseudo_random(key, data, size)
        assert end.pseudo_random(data, size, 1) == pseudo_random(key, data, size)
    assert len(end.pseudo_random(b"", 1 << 20)) == 1 << 20
    for size in (-1, (1 << 20) + 1, -(1 << 63), (1 << 63) - 1):
        assert refusal(end.pseudo_random, b"", size) is Code.INVALID_PARAMETER
    assert refusal(end.pseudo_random, b"", 1, 2) is Code.INVALID_PARAMETER


@each_enctype
def test_the_key_by_identifier(c: CMessages, row: EncType) -> None:
    end, key = c.end(row.number, ROOT, Role.ACCEPTOR), ROOT[: row.key_size]
    identifier = bytes.fromhex("2a864886f71201020204") + bytes([row.number])
    assert end.inquire("GSS_C_INQ_SSPI_SESSION_KEY") == [key, identifier]
    for name in ("GSS_C_INQ_NEGOEX_KEY", "GSS_C_INQ_NEGOEX_VERIFY_KEY"):
        assert end.inquire(name) == [key, struct.pack("<I", row.number)]


def test_keys_that_are_none(c: CMessages) -> None:
    for number in (0, 16, 21, -1, 23, 1 << 30):
        assert refusal(c.end, number, ROOT, Role.ACCEPTOR) is Code.NO_SESSION_KEY
    for row in ENCTYPES.values():
        for size in (0, row.key_size - 1):
            code = refusal(c.end, row.number, ROOT[:size], Role.ACCEPTOR)
            assert code is Code.CONTEXT_KEY_TOO_SHORT
        assert c.end(row.number, ROOT[: row.key_size], Role.ACCEPTOR).get_mic(b"")


# Recorded exchanges of an independent implementation

RECORDED = [
    exchange
    for path in sorted(VECTORS.glob("*.json"))
    if "protection" in (exchange := json.loads(path.read_bytes()))
]


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["name"])
def test_recorded_tokens(c: CMessages, exchange: dict[str, Any]) -> None:
    number = int(exchange["oid"].rpartition(".")[2])
    root = [bytes.fromhex(row["key"]) for row in exchange["derived"] if row["name"] == "CRK"][-1]
    options = {
        "acceptor_subkey": "xrt" in exchange["name"],
        "dce": bool(exchange["acceptor_flags"] & 0x1000),
    }
    receivers = {role.peer.name.lower(): c.end(number, root, role, **options) for role in Role}
    senders = {role.name.lower(): c.end(number, root, role, **options) for role in Role}
    for row in exchange["protection"]:
        receiver, sender = receivers[row["from"]], senders[row["from"]]
        token, message = b64decode(row["token"]), row["msg"].encode()
        if row["op"] == "mic":
            assert receiver.verify_mic(message, token) == TokenStatus.IN_ORDER
            assert sender.get_mic(message) == token
            continue
        sealed = row["op"] == "wrap_conf"
        assert receiver.unwrap(token) == Unwrapped(message, sealed, TokenStatus.IN_ORDER)
        again = sender.wrap(message, sealed)
        assert (again[:16], len(again)) == (token[:16], len(token))
        assert sealed or again == token


# Rotation


def rotated(token: bytes, count: int) -> bytes:
    body = token[16:]
    start = -count % len(body)
    return token[:6] + struct.pack(">H", count) + token[8:16] + body[start:] + body[:start]


@sealed_or_not
@each_enctype
def test_any_rotation_is_read(c: CMessages, row: EncType, sealed: bool) -> None:
    sender = python_end(row, Role.INITIATOR)
    ends = [c.end(row.number, ROOT, Role.ACCEPTOR) for _ in range(3)]
    for count in (*range(100), 65_519, 65_520, 65_535):
        token = rotated(sender.wrap(RANDOM[:40], sealed), count)
        assert ends[0].unwrap(token).data == RANDOM[:40]
        for end, flag in zip(ends[1:], (0, ALLOCATE), strict=True):
            octets, _, status = end.unwrap_iov([(STREAM, token), (DATA | flag, b"")])
            assert (octets[1], status) == (RANDOM[:40], TokenStatus.IN_ORDER)


@sealed_or_not
@each_enctype
def test_any_rotation_is_read_in_pieces(c: CMessages, row: EncType, sealed: bool) -> None:
    """However the body lies in the buffers, they are laid out for what comes out."""
    sender = python_end(row, Role.INITIATOR)
    ends = [c.end(row.number, ROOT, Role.ACCEPTOR) for _ in range(2)]
    head = 16 + (16 if sealed else 0)
    for count in (*range(100), 65_535):
        token = rotated(sender.wrap(RANDOM[:40], sealed), count)
        for end, header in zip(ends, (head, len(token) - 40), strict=True):
            first, last = header + 13, header + 40
            pieces = [(HEADER, token[:header]), (DATA, token[header:first])]
            pieces += [(SIGN_ONLY, b""), (DATA, token[first:last])]
            pieces += [(TRAILER, token[last:])] * (header == head)
            octets, _, status = end.unwrap_iov(pieces)
            assert octets[1] + octets[3] == RANDOM[:40]
            assert status == TokenStatus.IN_ORDER


# Pieces


@sealed_or_not
@each_enctype
def test_pieces_both_ways(c: CMessages, row: EncType, kind: dict[str, bool], sealed: bool) -> None:
    """With and without a trailer, in the caller's memory and in ours."""
    for role, trailer, flag in product(Role, (True, False), (0, ALLOCATE)):
        ours, theirs = c.end(row.number, ROOT, role, **kind), python_end(row, role.peer, **kind)
        for size in SIZES:
            sent = wrapped(ours, RANDOM[:size], sealed, trailer, flag)
            assert theirs.unwrap(b"".join(sent)).data == RANDOM[:size]


def wrapped(end: CEnd, message: bytes, sealed: bool, trailer: bool, flag: int) -> list[bytes]:
    shape: list[Buffer] = [(HEADER, b""), (DATA, message), (PADDING, b"")]
    shape += [(TRAILER, b"")] * trailer
    lengths = end.wrap_iov_length(shape, sealed)
    assert lengths[1:3] == [len(message), 0]
    for number in (0, 3)[: 1 + trailer]:
        shape[number] = (shape[number][0] | flag, b"" if flag else bytes(lengths[number]))
    sent = end.wrap_iov(shape, sealed)
    assert list(map(len, sent)) == lengths
    return sent


@sealed_or_not
@each_enctype
def test_pieces_from_end_to_end(
    c: CMessages, row: EncType, kind: dict[str, bool], sealed: bool
) -> None:
    for role, trailer in product(Role, (True, False)):
        sender = c.end(row.number, ROOT, role, **kind)
        receiver = c.end(row.number, ROOT, role.peer, **kind)
        for size in SIZES:
            sent = wrapped(sender, RANDOM[:size], sealed, trailer, 0)
            types = (HEADER, DATA, PADDING, TRAILER)
            octets, confidential, status = receiver.unwrap_iov(list(zip(types, sent, strict=False)))
            assert octets[1] == RANDOM[:size]
            assert (confidential, status) == (sealed, TokenStatus.IN_ORDER)


@sealed_or_not
@each_enctype
def test_associated_data_both_ways(
    c: CMessages, row: EncType, kind: dict[str, bool], sealed: bool
) -> None:
    tail = row.mac_size + (16 if sealed else 0) + (16 if sealed and kind["dce"] else 0)
    head = 32 if sealed else 16
    ours, theirs = (
        c.end(row.number, ROOT, Role.ACCEPTOR, **kind),
        python_end(row, Role.INITIATOR, **kind),
    )
    for size in SIZES:
        message, also = RANDOM[:size], RANDOM[: 7 * size % 100]
        shape = [(HEADER, bytes(head)), (SIGN_ONLY, also), (DATA, message), (TRAILER, bytes(tail))]
        sent = ours.wrap_iov(shape, sealed)
        assert sent[1] == also
        token = sent[0] + sent[2] + sent[3]
        assert theirs.unwrap_aead(token, also).data == message
        pieces = [(STREAM, theirs.wrap_aead(message, also, sealed)), (SIGN_ONLY, also), (DATA, b"")]
        octets, confidential, _ = ours.unwrap_iov(pieces)
        assert (octets[2], confidential) == (message, sealed)


@sealed_or_not
@each_enctype
def test_associated_data_that_differs_is_noticed(c: CMessages, row: EncType, sealed: bool) -> None:
    theirs = python_end(row, Role.INITIATOR)
    for other, flag in product((b"", b"to: bob", b"to: alicE", b"to: alice "), (0, ALLOCATE)):
        ours = c.end(row.number, ROOT, Role.ACCEPTOR)
        token = theirs.wrap_aead(b"hello", b"to: alice", sealed)
        pieces = [(STREAM, token), (SIGN_ONLY, other), (DATA | flag, b"")]
        assert refusal(ours.unwrap_iov, pieces) is Code.INVALID_SIGNATURE
        assert ours.left_by_unwrap_iov(pieces)[2] == b""


@each_enctype
def test_pieces_in_great_number_and_any_order(c: CMessages, row: EncType) -> None:
    """As DCE has them: what is only signed before, between and behind, the header last."""
    sender, receiver = (
        c.end(row.number, ROOT, role, dce=True, acceptor_subkey=True)
        for role in (Role.ACCEPTOR, Role.INITIATOR)
    )
    middle = [(SIGN_ONLY if n % 3 else DATA, RANDOM[n : 2 * n]) for n in range(40)]
    shape = [*middle, (HEADER | ALLOCATE, b"")]
    sent = sender.wrap_iov(shape)
    assert sent[1] == middle[1][1]
    assert sent[3] != middle[3][1]
    pieces = [(kind, octets) for (kind, _), octets in zip(middle, sent, strict=False)]
    octets, _, _ = receiver.unwrap_iov([*pieces, (HEADER, sent[-1])])
    assert octets[:-1] == [octets for _, octets in middle]


def test_windows_rotates_by_more_than_it_says(c: CMessages) -> None:
    """MIT's mechanism does as Windows does, in DCE style and without a trailer."""
    sender, receiver = (
        c.end(18, ROOT, role, dce=True, acceptor_subkey=True)
        for role in (Role.ACCEPTOR, Role.INITIATOR)
    )
    header, data = sender.wrap_iov([(HEADER | ALLOCATE, b""), (DATA, b"hello")])
    assert header[4:8] == struct.pack(">HH", 16, 44)
    header = header[:6] + struct.pack(">H", 28) + header[8:]
    octets, _, _ = receiver.unwrap_iov([(HEADER, header), (DATA, data)])
    assert octets[1] == b"hello"


@each_enctype
def test_checksums_of_pieces(c: CMessages, row: EncType) -> None:
    for role in Role:
        ours, theirs = c.end(row.number, ROOT, role), python_end(row, role.peer)
        pieces = [(DATA, b"to: "), (SIGN_ONLY, b"alice"), (DATA, b"\nhello")]
        assert ours.get_mic_iov_length([*pieces, (MIC_TOKEN, b"")])[-1] == 16 + row.mac_size
        for flag in (0, ALLOCATE):
            room = bytes(0 if flag else 16 + row.mac_size)
            mic = ours.get_mic_iov([*pieces, (MIC_TOKEN | flag, room)])[-1]
            assert theirs.verify_mic(b"to: alice\nhello", mic) is TokenStatus.IN_ORDER
            mic = theirs.get_mic(b"to: alice\nhello")
            assert ours.verify_mic_iov([(MIC_TOKEN, mic), *pieces]) == TokenStatus.IN_ORDER
        fewer = [(MIC_TOKEN, theirs.get_mic(b"to: alice\nhello")), *pieces[:2]]
        assert refusal(ours.verify_mic_iov, fewer) is Code.INVALID_SIGNATURE


def test_buffers_that_do_not_go_together(c: CMessages) -> None:
    sender, receiver = c.end(17, ROOT, Role.INITIATOR), c.end(17, ROOT, Role.ACCEPTOR)
    header, trailer = (HEADER, bytes(32)), (TRAILER, bytes(28))
    for shape in (
        [],
        [(DATA, b"hello")],
        [header, header, (DATA, b"hello"), trailer],
        [header, (DATA, b"hello"), trailer, trailer],
        [header, (STREAM, bytes(100)), (DATA, b"hello")],
        [header, (DATA, b"hello"), (MIC_TOKEN, bytes(28))],
    ):
        assert refusal(sender.wrap_iov, shape) is Code.INVALID_PARAMETER
        assert refusal(sender.wrap_iov_length, shape) is Code.INVALID_PARAMETER
        assert refusal(receiver.unwrap_iov, shape) is Code.INVALID_PARAMETER
    for shape in (
        [(HEADER, bytes(31)), (DATA, b"hello"), trailer],
        [header, (DATA, b"hello"), (TRAILER, bytes(27))],
        [(HEADER, bytes(59)), (DATA, b"hello")],
    ):
        assert refusal(sender.wrap_iov, shape) is Code.BUFFER_TOO_SMALL
    token = sender.wrap(b"hello")
    for shape in (
        [(STREAM, token)],
        [(STREAM, token), (DATA, b""), (DATA, b"")],
        [(STREAM, token), (DATA, b""), (TRAILER, b"")],
        [(HEADER, token[:32]), (DATA, b"hello"), (PADDING, b" "), (TRAILER, token[-28:])],
    ):
        assert refusal(receiver.unwrap_iov, shape) is Code.INVALID_PARAMETER
    for shape in ([], [(DATA, b"hello")], [(MIC_TOKEN, bytes(28)), (MIC_TOKEN, bytes(28))]):
        for action in (receiver.verify_mic_iov, sender.get_mic_iov, sender.get_mic_iov_length):
            assert refusal(action, shape) is Code.INVALID_PARAMETER
    assert refusal(sender.get_mic_iov, [(MIC_TOKEN, bytes(27))]) is Code.BUFFER_TOO_SMALL
    assert receiver.unwrap(token).status == TokenStatus.IN_ORDER, "nothing was used up before"


def test_parts_of_other_sizes_than_the_token_has(c: CMessages) -> None:
    sender, receiver = python_end(ENCTYPES[17], Role.INITIATOR), c.end(17, ROOT, Role.ACCEPTOR)
    token = sender.wrap(b"hello")
    for first, last in ((31, 37), (33, 37), (32, 36), (32, 38)):
        pieces = [(HEADER, token[:first]), (DATA, token[first:last]), (TRAILER, token[last:])]
        assert refusal(receiver.unwrap_iov, pieces) is Code.WRONG_SIZE


# What a receiver refuses


@sealed_or_not
@each_enctype
def test_every_flipped_bit(c: CMessages, row: EncType, sealed: bool) -> None:
    """What was altered is refused for the reason that Python has."""
    token = python_end(row, Role.INITIATOR).wrap(b"hello", sealed)
    for position in range(8 * len(token)):
        octets = bytearray(token)
        octets[position // 8] ^= 1 << position % 8
        same_fate(c, row, bytes(octets))


@each_enctype
def test_every_flipped_bit_of_a_mic(c: CMessages, row: EncType) -> None:
    mic = python_end(row, Role.INITIATOR).get_mic(b"hello")
    for position in range(8 * len(mic)):
        octets = bytearray(mic)
        octets[position // 8] ^= 1 << position % 8
        ours, theirs = c.end(row.number, ROOT, Role.ACCEPTOR), python_end(row, Role.ACCEPTOR)
        with pytest.raises(RemoteProtocolError) as expected:
            theirs.verify_mic(b"hello", bytes(octets))
        assert refusal(ours.verify_mic, b"hello", bytes(octets)) is expected.value.code


@sealed_or_not
@each_enctype
def test_truncated_and_extended_tokens(c: CMessages, row: EncType, sealed: bool) -> None:
    token = python_end(row, Role.INITIATOR).wrap(b"hello", sealed)
    for size in range(len(token)):
        same_fate(c, row, token[:size])
    for more in (b"\0", b"\xff", token[:16], token, bytes(65_536)):
        same_fate(c, row, token + more)
        same_fate(c, row, more + token)


def same_fate(c: CMessages, row: EncType, token: bytes) -> None:
    """Both refuse a token, whole, as a stream in place and as one that is copied."""
    with pytest.raises(RemoteProtocolError) as expected:
        python_end(row, Role.ACCEPTOR).unwrap(token)
    ours = c.end(row.number, ROOT, Role.ACCEPTOR)
    assert refusal(ours.unwrap, token) is expected.value.code
    for flag in (0, ALLOCATE):
        pieces = [(STREAM, token), (DATA | flag, b"")]
        assert refusal(ours.unwrap_iov, pieces) is expected.value.code
        assert ours.left_by_unwrap_iov(pieces)[1] == b""


@each_enctype
def test_filler_that_the_key_has_confirmed(c: CMessages, row: EncType) -> None:
    """EC is what the sender says, up to all there is; more than that is nobody's message."""
    keys = Key(row, ROOT[: row.key_size])
    for filler, announced in ((0, 0), (3, 3), (600, 600), (0, 1), (3, 4), (0, 65_535)):
        header = struct.pack(">HBBHHQ", 0x0504, 2, 0xFF, announced, 0, 0)
        token = header + keys.encrypt(24, bytes(filler) + header)
        ours, theirs = c.end(row.number, ROOT, Role.ACCEPTOR), python_end(row, Role.ACCEPTOR)
        if announced <= filler:
            assert ours.unwrap(token).data == theirs.unwrap(token).data == b""
        else:
            same_fate(c, row, token)


@each_enctype
def test_what_was_altered_leaves_no_plaintext_in_place(c: CMessages, row: EncType) -> None:
    sender, message = python_end(row, Role.INITIATOR), b"a secret in the buffers, more than a block"
    for position in (8, 20, -1):
        receiver = c.end(row.number, ROOT, Role.ACCEPTOR)
        token = bytearray(sender.wrap(message))
        token[position] ^= 1
        end = 32 + len(message)
        pieces = [(HEADER, token[:32]), (DATA, token[32:end]), (TRAILER, token[end:])]
        left = receiver.left_by_unwrap_iov([(kind, bytes(octets)) for kind, octets in pieces])
        assert left[1] == bytes(len(message))
        left = receiver.left_by_unwrap_iov([(STREAM, bytes(token)), (DATA, b"")])
        assert message[:16] not in left[0]


@each_enctype
def test_other_directions_keys_and_kinds(c: CMessages, row: EncType) -> None:
    token, mic = (
        c.end(row.number, ROOT, Role.INITIATOR).wrap(b"hello"),
        c.end(row.number, ROOT, Role.INITIATOR).get_mic(b"hello"),
    )
    reflected = c.end(row.number, ROOT, Role.INITIATOR)
    assert refusal(reflected.unwrap, token) is Code.BAD_DIRECTION
    assert refusal(reflected.verify_mic, b"hello", mic) is Code.BAD_DIRECTION
    stranger = c.end(row.number, bytes(32), Role.ACCEPTOR)
    assert refusal(stranger.unwrap, token) is Code.INVALID_SIGNATURE
    assert refusal(stranger.verify_mic, b"hello", mic) is Code.INVALID_SIGNATURE
    subkey = c.end(row.number, ROOT, Role.ACCEPTOR, acceptor_subkey=True)
    assert refusal(subkey.unwrap, token) is Code.BAD_TOKEN_HEADER
    receiver = c.end(row.number, ROOT, Role.ACCEPTOR)
    assert refusal(receiver.unwrap, mic) is Code.WRONG_TOKEN_ID
    assert refusal(receiver.verify_mic, b"hello", token) is Code.WRONG_TOKEN_ID
    assert refusal(receiver.verify_mic, b"hallo", mic) is Code.INVALID_SIGNATURE


# Sequence numbers


def test_replays_gaps_and_stragglers_have_pythons_status(c: CMessages) -> None:
    tokens = [
        t
        for end in [python_end(ENCTYPES[19], Role.INITIATOR)]
        for t in map(end.get_mic, [b""] * 300)
    ]
    ours, theirs = c.end(19, ROOT, Role.ACCEPTOR), python_end(ENCTYPES[19], Role.ACCEPTOR)
    for number in (
        0,
        0,
        3,
        2,
        2,
        1,
        0,
        67,
        3,
        4,
        66,
        66,
        131,
        67,
        68,
        67,
        195,
        131,
        260,
        196,
        195,
        299,
        298,
    ):
        assert ours.verify_mic(b"", tokens[number]) == status_of(theirs, tokens[number]), number


def status_of(end: MessageProtection, mic: bytes) -> TokenStatus:
    try:
        return end.verify_mic(b"", mic)
    except SequenceError as error:
        return error.status


@sealed_or_not
def test_what_came_before_is_withheld(c: CMessages, sealed: bool) -> None:
    sender, receiver = c.end(17, ROOT, Role.INITIATOR), c.end(17, ROOT, Role.ACCEPTOR)
    first = sender.wrap(b"hello", sealed)
    assert receiver.unwrap(first).data == b"hello"
    again = Unwrapped(b"", sealed, TokenStatus.DUPLICATE)
    assert receiver.unwrap(first) == again
    head = 32 if sealed else 16
    pieces = [(HEADER, first[:head]), (DATA, first[head : head + 5]), (TRAILER, first[head + 5 :])]
    octets, _, status = receiver.unwrap_iov(pieces)
    assert (octets[1], status) == (bytes(5), TokenStatus.DUPLICATE)
    for flag in (0, ALLOCATE):
        octets, _, status = receiver.unwrap_iov([(STREAM, first), (DATA | flag, b"")])
        assert (octets[1], status) == (b"", TokenStatus.DUPLICATE)
    for _ in range(65):
        last = sender.wrap(b"later", sealed)
    assert receiver.unwrap(last) == Unwrapped(b"later", sealed, TokenStatus.GAP)
    assert receiver.unwrap(first) == Unwrapped(b"", sealed, TokenStatus.OLD)


def test_what_was_altered_does_not_move_the_window(c: CMessages) -> None:
    sender, receiver = c.end(17, ROOT, Role.INITIATOR), c.end(17, ROOT, Role.ACCEPTOR)
    token = sender.wrap(b"hello")
    far = token[:8] + struct.pack(">Q", 1 << 40) + token[16:]
    assert refusal(receiver.unwrap, far) is Code.INVALID_SIGNATURE
    assert receiver.unwrap(token).status == TokenStatus.IN_ORDER


def test_numbers_end_with_the_last_one(c: CMessages) -> None:
    """They do not begin again at 0: neither is one sent, nor is an old one taken for a new one."""
    sender = c.end(17, ROOT, Role.INITIATOR, send=LAST - 1)
    receiver = c.end(17, ROOT, Role.ACCEPTOR, receive=LAST - 1)
    tokens = [sender.wrap(b"hello") for _ in range(2)]
    for action in (sender.wrap, sender.get_mic):
        assert refusal(action, b"hello") is Code.UNAVAILABLE
    assert refusal(sender.wrap_iov, [(HEADER | ALLOCATE, b""), (DATA, b"x")]) is Code.UNAVAILABLE
    assert refusal(sender.get_mic_iov, [(MIC_TOKEN | ALLOCATE, b"")]) is Code.UNAVAILABLE
    assert [receiver.unwrap(token).status for token in tokens] == [TokenStatus.IN_ORDER] * 2
    first = c.end(17, ROOT, Role.INITIATOR).wrap(b"hello")
    assert receiver.unwrap(first).status == TokenStatus.OLD
    assert [receiver.unwrap(token).status for token in tokens] == [TokenStatus.DUPLICATE] * 2
    again = c.imported(receiver.export())
    assert [again.unwrap(token).status for token in (first, tokens[1])] == [
        TokenStatus.OLD,
        TokenStatus.DUPLICATE,
    ]
    assert refusal(c.imported(sender.export()).wrap, b"hello") is Code.UNAVAILABLE


def test_before_the_first_number(c: CMessages) -> None:
    receiver = c.end(17, ROOT, Role.ACCEPTOR, receive=1000)
    for number, status in (
        (999, TokenStatus.DUPLICATE),
        (936, TokenStatus.DUPLICATE),
        (935, TokenStatus.OLD),
    ):
        token = c.end(17, ROOT, Role.INITIATOR, send=number).wrap(b"hello")
        assert receiver.unwrap(token).status == status


# To another process


@each_enctype
def test_a_state_goes_on_where_it_was(c: CMessages, row: EncType, kind: dict[str, bool]) -> None:
    for role in Role:
        ours, theirs = c.end(row.number, ROOT, role, **kind), python_end(row, role.peer, **kind)
        early = [theirs.wrap(b"early") for _ in range(3)]
        ours.unwrap(early[0])
        ours.unwrap(early[2])
        theirs.unwrap(ours.wrap(b"before"))
        other = c.imported(ours.export())
        assert theirs.unwrap(other.wrap(b"behind")).status is TokenStatus.IN_ORDER
        statuses = [
            other.unwrap(token).status for token in (early[0], early[1], theirs.wrap(b"late"))
        ]
        expected = [TokenStatus.DUPLICATE, TokenStatus.UNSEQUENCED, TokenStatus.IN_ORDER]
        assert statuses == expected
        assert other.pseudo_random(b"", 16) == ours.pseudo_random(b"", 16)


@each_enctype
def test_states_that_were_altered_or_cut(c: CMessages, row: EncType) -> None:
    octets = c.end(row.number, ROOT, Role.ACCEPTOR, send=5, receive=7).export()
    for position in range(8 * len(octets)):
        altered = bytearray(octets)
        altered[position // 8] ^= 1 << position % 8
        assert refusal(c.imported, bytes(altered)) is Code.BAD_CONTEXT_TOKEN
    for size in range(len(octets)):
        assert refusal(c.imported, octets[:size]) is Code.BAD_CONTEXT_TOKEN
    for more in (b"\0", octets):
        assert refusal(c.imported, octets + more) is Code.BAD_CONTEXT_TOKEN


# Beside MIT's mechanism


@sealed_or_not
@each_enctype
@pytest.mark.parametrize("mutual", [False, True], ids=["initiator's key", "acceptor's subkey"])
def test_mits_own_mechanism(
    c: CMessages, row: EncType, mutual: bool, sealed: bool, tmp_path: Path
) -> None:
    flags = mit.PROTECTED | mit.Flags.REPLAY | mit.Flags.SEQUENCE | mit.Flags.MUTUAL * mutual
    theirs = dict(
        zip(Role, mit.establish(mit.Realm.create(row.number, tmp_path), flags), strict=True)
    )
    key = theirs[Role.INITIATOR].session_key()
    first = {role: int.from_bytes(theirs[role].get_mic(b"")[8:16], "big") for role in Role}
    for role in Role:
        ours = c.end(
            row.number,
            key,
            role,
            acceptor_subkey=mutual,
            send=first[role],
            receive=first[role.peer] + 1,
        )
        peer = theirs[role.peer]
        for size in SIZES:
            message, also = RANDOM[:size], RANDOM[: 7 * size % 100]
            expected = Unwrapped(message, sealed, TokenStatus.IN_ORDER)
            assert ours.unwrap(peer.wrap(message, sealed)) == expected
            assert ours.unwrap(peer.wrap_rotated(message, sealed)) == expected
            assert peer.unwrap(ours.wrap(message, sealed)) == (message, sealed, 0)
            sent = wrapped(ours, message, sealed, trailer=size % 2 == 0, flag=ALLOCATE)
            assert peer.unwrap(b"".join(sent)) == (message, sealed, 0)
            assert ours.verify_mic(message, peer.get_mic(message)) == TokenStatus.IN_ORDER
            assert peer.verify_mic(message, ours.get_mic(message)) == 0
            pieces = [
                (STREAM, peer.wrap_aead(message, also, sealed)),
                (SIGN_ONLY, also),
                (DATA, b""),
            ]
            assert ours.unwrap_iov(pieces)[0][2] == message
            shape = [
                (HEADER | ALLOCATE, b""),
                (SIGN_ONLY, also),
                (DATA, message),
                (TRAILER | ALLOCATE, b""),
            ]
            header, _, data, trailer = ours.wrap_iov(shape, sealed)
            assert peer.unwrap_aead(header + data + trailer, also) == (message, sealed, 0)
        assert ours.pseudo_random(b"what for", 100) == peer.pseudo_random(b"what for", 100)
