"""Per-message tokens: recorded ones, round trips, and everything a receiver refuses."""

from __future__ import annotations

import base64
import json
import os
import struct
import tracemalloc
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.krb5.enctypes import BLOCK_SIZE, ENCTYPES, EncType, Key, random_to_key
from browserid_sasl.krb5.message import (
    MessageProtection,
    Role,
    SequenceError,
    SequenceState,
    TokenStatus,
    Unwrapped,
)

VECTORS = Path(__file__).parent.parent / "vectors"
HEADER_SIZE = 16
SEED = bytes(range(32))
LAST_SEQUENCE = 2**64 - 1

enctypes = pytest.mark.parametrize("enctype", ENCTYPES.values(), ids=lambda row: row.name)
sealed_or_not = pytest.mark.parametrize("confidential", [True, False], ids=["sealed", "clear"])


def ends(enctype: int = 17, **options: Any) -> tuple[MessageProtection, MessageProtection]:
    """The initiator's and the acceptor's end of one context."""
    key = random_to_key(enctype, SEED)
    return (
        MessageProtection(key, Role.INITIATOR, **options),
        MessageProtection(key, Role.ACCEPTOR, **options),
    )


def refusal(action: Callable[..., object], *arguments: object) -> Code:
    with pytest.raises(RemoteProtocolError) as refused:
        action(*arguments)
    return refused.value.code


def rotated(token: bytes, count: int) -> bytes:
    """The token with its body rotated to the right, as a sender may (RFC 4121 section 4.2.5)."""
    body = token[HEADER_SIZE:]
    start = -count % len(body)
    return token[:6] + struct.pack(">H", count) + token[8:16] + body[start:] + body[:start]


def with_field(token: bytes, offset: int, octets: bytes) -> bytes:
    return token[:offset] + octets + token[offset + len(octets) :]


# Recorded exchanges of an independent implementation

RECORDED = [
    exchange
    for path in sorted(VECTORS.glob("*.json"))
    if "protection" in (exchange := json.loads(path.read_bytes()))
]
recorded = pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["name"])


class Confounders:
    """A random source that is told what to give."""

    def __init__(self) -> None:
        self.octets = b""

    def __call__(self, size: int) -> bytes:
        assert size == len(self.octets)
        return self.octets


def recorded_ends(exchange: dict[str, Any], random: Confounders) -> dict[str, MessageProtection]:
    enctype = int(exchange["oid"].rpartition(".")[2])
    root_keys = [row["key"] for row in exchange["derived"] if row["name"] == "CRK"]
    key = random_to_key(enctype, bytes.fromhex(root_keys[-1]))
    options: dict[str, Any] = {
        "acceptor_subkey": "xrt" in exchange["name"],
        "dce": bool(exchange["acceptor_flags"] & 0x1000),
        "random": random,
    }
    return {role.name.lower(): MessageProtection(key, role, **options) for role in Role}


def confounder_of(exchange: dict[str, Any], sealed: bytes, usage: int) -> bytes:
    """The first plaintext block, decrypted without help of what is tested here."""
    row = ENCTYPES[int(exchange["oid"].rpartition(".")[2])]
    root_keys = [row["key"] for row in exchange["derived"] if row["name"] == "CRK"]
    base_key = bytes.fromhex(root_keys[-1])[: row.key_size]
    key = row.profile.derive(base_key, struct.pack(">IB", usage, 0xAA), row.key_size)
    ciphertext = sealed[: -row.mac_size]
    first = ciphertext[16:32] if len(ciphertext) == 32 else ciphertext[:16]
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(first)


@recorded
def test_recorded_tokens_are_opened(exchange: dict[str, Any]) -> None:
    both = recorded_ends(exchange, Confounders())
    assert exchange["protection"]
    for row in exchange["protection"]:
        receiver = both["acceptor" if row["from"] == "initiator" else "initiator"]
        token, message = base64.b64decode(row["token"]), row["msg"].encode()
        if row["op"] == "mic":
            assert receiver.verify_mic(message, token) is TokenStatus.IN_ORDER
        else:
            confidential = row["op"] == "wrap_conf"
            expected = Unwrapped(message, confidential, TokenStatus.IN_ORDER)
            assert receiver.unwrap(token) == expected


@recorded
def test_recorded_tokens_are_made(exchange: dict[str, Any]) -> None:
    random = Confounders()
    both = recorded_ends(exchange, random)
    usages = {"initiator": Role.INITIATOR.seal_usage, "acceptor": Role.ACCEPTOR.seal_usage}
    for row in exchange["protection"]:
        sender, usage = both[row["from"]], usages[row["from"]]
        token, message = base64.b64decode(row["token"]), row["msg"].encode()
        if row["op"] == "mic":
            assert sender.get_mic(message) == token
        elif row["op"] == "wrap":
            assert sender.wrap(message, confidential=False) == token
        else:
            random.octets = confounder_of(exchange, token[HEADER_SIZE:], usage)
            assert sender.wrap(message) == token


def test_the_recordings_cover_every_kind_of_context() -> None:
    kinds = {
        (
            exchange["mechanism"],
            "xrt" in exchange["name"],
            bool(exchange["acceptor_flags"] & 0x1000),
        )
        for exchange in RECORDED
    }
    assert kinds >= {
        ("BROWSERID-AES128", False, False),
        ("BROWSERID-AES256", False, False),
        ("BROWSERID-AES128", True, True),
        ("BROWSERID-AES256", True, True),
    }


# What tokens look like


@enctypes
def test_layout_of_a_sealed_token(enctype: EncType) -> None:
    initiator, _ = ends(enctype.number)
    token = initiator.wrap(b"hello")
    assert token[:HEADER_SIZE].hex() == "050402ff000000000000000000000000"
    assert len(token) == HEADER_SIZE + BLOCK_SIZE + 5 + HEADER_SIZE + enctype.mac_size


@enctypes
def test_layout_of_a_clear_token(enctype: EncType) -> None:
    _, acceptor = ends(enctype.number)
    token = acceptor.wrap(b"hello", confidential=False)
    assert token[:HEADER_SIZE].hex() == f"050401ff00{enctype.mac_size:02x}00000000000000000000"
    assert token[HEADER_SIZE : -enctype.mac_size] == b"hello"


@enctypes
def test_layout_of_a_mic_token(enctype: EncType) -> None:
    initiator, _ = ends(enctype.number)
    token = initiator.get_mic(b"hello")
    assert token[:HEADER_SIZE].hex() == "040400ffffffffff0000000000000000"
    assert len(token) == HEADER_SIZE + enctype.mac_size


def test_an_extra_round_trip_shows_in_the_flags() -> None:
    for end, flags in zip(ends(acceptor_subkey=True), (0x04, 0x05), strict=True):
        assert end.wrap(b"")[2] == flags | 0x02
        assert end.wrap(b"", confidential=False)[2] == flags
        assert end.get_mic(b"")[2] == flags


def test_dce_style_pads_what_the_acceptor_seals() -> None:
    initiator, acceptor = ends(dce=True)
    assert initiator.wrap(b"")[4:6] == b"\x00\x00"
    token = acceptor.wrap(b"hello")
    assert token[4:6] == b"\x00\x10"
    keys = random_to_key(17, SEED).for_usage(Role.ACCEPTOR.seal_usage)
    plaintext = keys.unseal((memoryview(token)[HEADER_SIZE:],))
    assert plaintext == b"hello" + b"\xff" * 16 + token[:HEADER_SIZE]
    assert acceptor.wrap(b"", confidential=False)[4:6] == b"\x00\x0c"


def test_wrap_and_mic_count_together() -> None:
    for end in ends():
        tokens = [end.wrap(b""), end.get_mic(b""), end.wrap(b"", confidential=False)]
        assert [token[15] for token in tokens] == [0, 1, 2]


def test_a_message_that_could_not_be_wrapped_is_not_counted() -> None:
    def broken(_: int) -> bytes:
        raise OSError("no random numbers")

    end = MessageProtection(random_to_key(17, SEED), Role.INITIATOR, random=broken)
    with pytest.raises(OSError, match="no random numbers"):
        end.wrap(b"")
    assert end.get_mic(b"")[15] == 0


@enctypes
@sealed_or_not
@pytest.mark.parametrize("dce", [False, True])
def test_size_limit(enctype: EncType, confidential: bool, dce: bool) -> None:
    for end in ends(enctype.number, dce=dce):
        empty = len(end.wrap(b"", confidential))
        for room in (empty, empty + 1, 4096):
            limit = end.wrap_size_limit(room, confidential)
            assert len(end.wrap(bytes(limit), confidential)) == room
        assert end.wrap_size_limit(empty - 1, confidential) == 0
        assert end.wrap_size_limit(0, confidential) == 0


# Round trips


@given(data=st.data())
def test_round_trip(data: st.DataObject) -> None:
    choice = st.booleans()
    initiator, acceptor = ends(
        data.draw(st.sampled_from(sorted(ENCTYPES))),
        acceptor_subkey=data.draw(choice),
        dce=data.draw(choice),
    )
    for _ in range(data.draw(st.integers(1, 3))):
        sender, receiver = (initiator, acceptor) if data.draw(choice) else (acceptor, initiator)
        message = data.draw(st.binary(max_size=100))
        associated = data.draw(st.binary(max_size=40))
        confidential = data.draw(choice)
        token = sender.wrap_aead(message, associated, confidential)
        token = rotated(token, data.draw(st.integers(0, 0xFFFF)))
        expected = Unwrapped(message, confidential, TokenStatus.IN_ORDER)
        assert receiver.unwrap_aead(token, associated) == expected
        mic = sender.get_mic(message)
        assert receiver.verify_mic(message, mic) is TokenStatus.IN_ORDER


@enctypes
@sealed_or_not
def test_every_size_around_the_blocks(enctype: EncType, confidential: bool) -> None:
    initiator, acceptor = ends(enctype.number)
    for size in (*range(65), 4095, 4096, 4097, 70_000):
        message = os.urandom(size)
        assert acceptor.unwrap(initiator.wrap(message, confidential)).data == message


@sealed_or_not
def test_no_associated_data_is_a_plain_token(confidential: bool) -> None:
    initiator, acceptor = ends()
    assert acceptor.unwrap(initiator.wrap_aead(b"message", b"", confidential)).data == b"message"


@sealed_or_not
@pytest.mark.parametrize(
    "kind", [bytearray, memoryview, lambda octets: memoryview(array("I", octets))]
)
def test_any_bytes_like_object_will_do(kind: Callable[[bytes], Any], confidential: bool) -> None:
    initiator, acceptor = ends()
    message = bytes(range(32))
    token = initiator.wrap_aead(kind(message), kind(message), confidential)
    assert acceptor.unwrap_aead(bytearray(token), kind(message)).data == message
    mic = initiator.get_mic(kind(message))
    assert acceptor.verify_mic(kind(message), memoryview(mic)) is TokenStatus.IN_ORDER


@enctypes
@sealed_or_not
def test_a_large_message_is_copied_twice_at_most(enctype: EncType, confidential: bool) -> None:
    initiator, acceptor = ends(enctype.number)
    size = 16 << 20
    message = os.urandom(size)

    def peak(action: Callable[[], Any]) -> tuple[Any, float]:
        tracemalloc.start()
        try:
            result = action()
            return result, tracemalloc.get_traced_memory()[1] / size
        finally:
            tracemalloc.stop()

    token, copies = peak(lambda: initiator.wrap(message, confidential))
    assert copies < 2.01
    token = rotated(token, 28)
    unwrapped, copies = peak(lambda: acceptor.unwrap(token))
    assert copies < 2.01
    assert unwrapped.data == message
    mic, copies = peak(lambda: initiator.get_mic(message))
    assert copies < 0.01
    assert acceptor.verify_mic(message, mic) is TokenStatus.IN_ORDER


def test_messages_are_not_shown() -> None:
    initiator, acceptor = ends()
    assert "secret" not in repr(acceptor.unwrap(initiator.wrap(b"secret")))


# Altered tokens


@enctypes
@sealed_or_not
def test_a_truncated_wrap_token(enctype: EncType, confidential: bool) -> None:
    initiator, acceptor = ends(enctype.number)
    token = initiator.wrap(b"hello", confidential)
    overhead = HEADER_SIZE + enctype.mac_size + (BLOCK_SIZE if confidential else 0)
    for size in range(len(token)):
        expected = Code.TOKEN_TRUNCATED if size < overhead else Code.INVALID_SIGNATURE
        assert refusal(acceptor.unwrap, token[:size]) is expected
    assert acceptor.unwrap(token).data == b"hello"


@enctypes
def test_a_truncated_mic_token(enctype: EncType) -> None:
    initiator, acceptor = ends(enctype.number)
    token = initiator.get_mic(b"hello")
    for size in range(len(token)):
        expected = Code.TOKEN_TRUNCATED if size < HEADER_SIZE else Code.WRONG_SIZE
        assert refusal(acceptor.verify_mic, b"hello", token[:size]) is expected
    assert acceptor.verify_mic(b"hello", token) is TokenStatus.IN_ORDER


@enctypes
@pytest.mark.parametrize("kind", ["sealed", "clear", "MIC"])
def test_a_longer_token(enctype: EncType, kind: str) -> None:
    initiator, acceptor = ends(enctype.number)
    if kind == "MIC":
        assert refusal(acceptor.verify_mic, b"", initiator.get_mic(b"") + b"\0") is Code.WRONG_SIZE
    else:
        token = initiator.wrap(b"", kind == "sealed") + b"\0"
        assert refusal(acceptor.unwrap, token) is Code.INVALID_SIGNATURE


@enctypes
@sealed_or_not
def test_every_flipped_bit_of_a_wrap_token_is_noticed(enctype: EncType, confidential: bool) -> None:
    initiator, acceptor = ends(enctype.number)
    token = initiator.wrap(b"hello", confidential)
    for bit in range(8 * len(token)):
        altered = bytearray(token)
        altered[bit // 8] ^= 1 << bit % 8
        refusal(acceptor.unwrap, altered)
    assert acceptor.unwrap(token).status is TokenStatus.IN_ORDER


@enctypes
def test_every_flipped_bit_of_a_mic_token_is_noticed(enctype: EncType) -> None:
    initiator, acceptor = ends(enctype.number)
    token = initiator.get_mic(b"hello")
    for bit in range(8 * len(token)):
        altered = bytearray(token)
        altered[bit // 8] ^= 1 << bit % 8
        refusal(acceptor.verify_mic, b"hello", altered)
    assert acceptor.verify_mic(b"hello", token) is TokenStatus.IN_ORDER


def test_a_mic_of_another_message() -> None:
    initiator, acceptor = ends()
    token = initiator.get_mic(b"hello")
    assert refusal(acceptor.verify_mic, b"hullo", token) is Code.INVALID_SIGNATURE


@sealed_or_not
@pytest.mark.parametrize("received", [b"", b"to: bob", b"to: alice "])
def test_other_associated_data(received: bytes, confidential: bool) -> None:
    initiator, acceptor = ends()
    token = initiator.wrap_aead(b"hello", b"to: alice", confidential)
    assert refusal(acceptor.unwrap_aead, token, received) is Code.INVALID_SIGNATURE


@enctypes
@sealed_or_not
def test_every_rotation_is_read(enctype: EncType, confidential: bool) -> None:
    initiator, _ = ends(enctype.number)
    token = initiator.wrap(b"hello", confidential)
    for count in (*range(len(token) + 2), 0xFFFF):
        acceptor = ends(enctype.number)[1]
        assert acceptor.unwrap(rotated(token, count)).data == b"hello"


@sealed_or_not
def test_a_rotation_that_did_not_take_place(confidential: bool) -> None:
    initiator, acceptor = ends()
    token = with_field(initiator.wrap(b"hello", confidential), 6, b"\x00\x01")
    assert refusal(acceptor.unwrap, token) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("extra_count", [1, 5, 16, 0xFFFF])
def test_an_extra_count_that_would_cut_the_message(extra_count: int) -> None:
    """The outer header's EC is not covered by the checksum of a sealed token (CVE-2024-37370)."""
    initiator, acceptor = ends()
    token = with_field(initiator.wrap(b"hello"), 4, struct.pack(">H", extra_count))
    assert refusal(acceptor.unwrap, token) is Code.INVALID_SIGNATURE


def test_filler_that_was_not_announced() -> None:
    initiator, acceptor = ends(dce=True)
    token = with_field(acceptor.wrap(b"hello"), 4, b"\x00\x00")
    assert refusal(initiator.unwrap, token) is Code.INVALID_SIGNATURE


def sealed_by_hand(message: bytes, extra_count: int) -> bytes:
    """A token an initiator with the key could make, of whatever it likes."""
    header = struct.pack(">HBBHHQ", 0x0504, 0x02, 0xFF, extra_count, 0, 0)
    return header + random_to_key(17, SEED).encrypt(24, message + header)


@pytest.mark.parametrize("filler", [0, 1, 15, 16, 70, 0xFFFF])
def test_filler_of_any_size_is_taken_off(filler: int) -> None:
    _, acceptor = ends()
    assert acceptor.unwrap(sealed_by_hand(b"hello" + bytes(filler), filler)).data == b"hello"


def test_more_filler_than_there_is() -> None:
    _, acceptor = ends()
    assert refusal(acceptor.unwrap, sealed_by_hand(b"hello", 6)) is Code.WRONG_SIZE
    assert acceptor.unwrap(sealed_by_hand(b"hello", 5)).data == b""


def test_a_sealed_token_without_a_copy_of_its_header() -> None:
    _, acceptor = ends()
    token = sealed_by_hand(b"", 0)[:HEADER_SIZE] + random_to_key(17, SEED).encrypt(24, b"hello")
    assert refusal(acceptor.unwrap, token) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("checksum_size", [0, 11, 13, 0xFFFF])
def test_a_clear_token_with_a_checksum_of_another_size(checksum_size: int) -> None:
    initiator, acceptor = ends()
    token = initiator.wrap(b"hello", confidential=False)
    token = with_field(token, 4, struct.pack(">H", checksum_size))
    assert refusal(acceptor.unwrap, token) is Code.WRONG_SIZE


def test_a_token_is_not_of_the_other_kind() -> None:
    initiator, acceptor = ends()
    assert refusal(acceptor.unwrap, initiator.get_mic(b"")) is Code.WRONG_TOKEN_ID
    assert refusal(acceptor.verify_mic, b"", initiator.wrap(b"")) is Code.WRONG_TOKEN_ID


def test_a_clear_token_is_not_a_mic() -> None:
    """Their checksums are made with keys of different usages."""
    initiator, acceptor = ends()
    token = initiator.wrap(b"", confidential=False)
    relabelled = bytes.fromhex("040400ffffffffff") + token[8:]
    assert refusal(acceptor.verify_mic, b"", relabelled) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("token_id", ["0101", "0201", "0404", "0405", "6082", "0000"])
def test_tokens_of_other_mechanisms(token_id: str) -> None:
    initiator, acceptor = ends()
    token = with_field(initiator.wrap(b""), 0, bytes.fromhex(token_id))
    assert refusal(acceptor.unwrap, token) is Code.WRONG_TOKEN_ID


@pytest.mark.parametrize("position", [3, 4, 5, 6, 7])
def test_the_filler_in_a_mic_header(position: int) -> None:
    initiator, acceptor = ends()
    token = with_field(initiator.get_mic(b""), position, b"\x00")
    assert refusal(acceptor.verify_mic, b"", token) is Code.BAD_TOKEN_HEADER


def test_the_filler_in_a_wrap_header() -> None:
    initiator, acceptor = ends()
    token = with_field(initiator.wrap(b""), 3, b"\x00")
    assert refusal(acceptor.unwrap, token) is Code.BAD_TOKEN_HEADER


def test_a_mic_is_never_sealed() -> None:
    initiator, acceptor = ends()
    token = with_field(initiator.get_mic(b""), 2, b"\x02")
    assert refusal(acceptor.verify_mic, b"", token) is Code.BAD_TOKEN_HEADER


def test_reflected_tokens() -> None:
    for end in ends():
        assert refusal(end.unwrap, end.wrap(b"")) is Code.BAD_DIRECTION
        assert refusal(end.verify_mic, b"", end.get_mic(b"")) is Code.BAD_DIRECTION


@enctypes
@sealed_or_not
def test_reflected_tokens_that_deny_it(enctype: EncType, confidential: bool) -> None:
    """The direction is also in the choice of the key."""
    initiator, _ = ends(enctype.number)
    token = bytearray(initiator.wrap(b"", confidential))
    token[2] ^= 0x01
    assert refusal(initiator.unwrap, token) is Code.INVALID_SIGNATURE
    mic = bytearray(initiator.get_mic(b""))
    mic[2] ^= 0x01
    assert refusal(initiator.verify_mic, b"", mic) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("sender_had_one", [True, False])
def test_disagreement_on_the_extra_round_trip(sender_had_one: bool) -> None:
    initiator, _ = ends(acceptor_subkey=sender_had_one)
    _, acceptor = ends(acceptor_subkey=not sender_had_one)
    assert refusal(acceptor.unwrap, initiator.wrap(b"")) is Code.BAD_TOKEN_HEADER
    assert refusal(acceptor.verify_mic, b"", initiator.get_mic(b"")) is Code.BAD_TOKEN_HEADER


@enctypes
@sealed_or_not
def test_another_key(enctype: EncType, confidential: bool) -> None:
    initiator, _ = ends(enctype.number)
    stranger = MessageProtection(Key(enctype, bytes(enctype.key_size)), Role.ACCEPTOR)
    assert refusal(stranger.unwrap, initiator.wrap(b"", confidential)) is Code.INVALID_SIGNATURE
    assert refusal(stranger.verify_mic, b"", initiator.get_mic(b"")) is Code.INVALID_SIGNATURE


def test_a_sealed_token_is_not_passed_off_as_clear() -> None:
    initiator, acceptor = ends()
    token = initiator.wrap(b"hello")
    opened = with_field(token, 2, bytes.fromhex("00ff000c"))
    assert refusal(acceptor.unwrap, opened) is Code.INVALID_SIGNATURE


# Sequence numbers


def sequence_refusal(action: Callable[..., object], *arguments: object) -> TokenStatus:
    with pytest.raises(SequenceError) as refused:
        action(*arguments)
    assert refused.value.code is Code.BAD_TOKEN_HEADER
    return refused.value.status


def test_a_token_is_taken_once() -> None:
    initiator, acceptor = ends()
    token, mic = initiator.wrap(b""), initiator.get_mic(b"")
    acceptor.unwrap(token)
    acceptor.verify_mic(b"", mic)
    assert sequence_refusal(acceptor.unwrap, token) is TokenStatus.DUPLICATE
    assert sequence_refusal(acceptor.verify_mic, b"", mic) is TokenStatus.DUPLICATE


def test_a_wrap_token_and_a_mic_of_the_same_number() -> None:
    acceptor = ends()[1]
    acceptor.unwrap(ends()[0].wrap(b""))
    assert sequence_refusal(acceptor.verify_mic, b"", ends()[0].get_mic(b"")) is (
        TokenStatus.DUPLICATE
    )


def test_a_rotated_copy_is_a_duplicate() -> None:
    initiator, acceptor = ends()
    token = initiator.wrap(b"")
    acceptor.unwrap(token)
    assert sequence_refusal(acceptor.unwrap, rotated(token, 7)) is TokenStatus.DUPLICATE


def test_gap_and_late_arrival() -> None:
    initiator, acceptor = ends()
    tokens = [initiator.wrap(b"") for _ in range(4)]
    order = [0, 2, 3, 1]
    assert [acceptor.unwrap(tokens[number]).status for number in order] == [
        TokenStatus.IN_ORDER,
        TokenStatus.GAP,
        TokenStatus.IN_ORDER,
        TokenStatus.UNSEQUENCED,
    ]
    for token in tokens:
        assert sequence_refusal(acceptor.unwrap, token) is TokenStatus.DUPLICATE


def test_the_window_remembers_64_tokens() -> None:
    initiator, acceptor = ends()
    tokens = [initiator.get_mic(b"") for _ in range(67)]
    assert acceptor.verify_mic(b"", tokens[65]) is TokenStatus.GAP
    assert acceptor.verify_mic(b"", tokens[2]) is TokenStatus.UNSEQUENCED
    assert sequence_refusal(acceptor.verify_mic, b"", tokens[2]) is TokenStatus.DUPLICATE
    assert sequence_refusal(acceptor.verify_mic, b"", tokens[1]) is TokenStatus.OLD
    assert acceptor.verify_mic(b"", tokens[66]) is TokenStatus.IN_ORDER
    assert sequence_refusal(acceptor.verify_mic, b"", tokens[2]) is TokenStatus.OLD


@given(st.lists(st.integers(0, 200), max_size=100))
def test_no_order_makes_a_token_come_twice(order: list[int]) -> None:
    """Whatever the order, accepted tokens are distinct; refused ones were seen, or are old."""
    key = random_to_key(17, SEED)
    acceptor = MessageProtection(key, Role.ACCEPTOR)
    accepted: set[int] = set()
    highest = -1
    for number in order:
        token = MessageProtection(key, Role.INITIATOR, sequence=SequenceState(send=number)).get_mic(
            b""
        )
        if number <= highest - 64:
            assert sequence_refusal(acceptor.verify_mic, b"", token) is TokenStatus.OLD
        elif number in accepted:
            assert sequence_refusal(acceptor.verify_mic, b"", token) is TokenStatus.DUPLICATE
        else:
            status = acceptor.verify_mic(b"", token)
            assert status is (
                TokenStatus.IN_ORDER
                if number == highest + 1
                else TokenStatus.GAP
                if number > highest
                else TokenStatus.UNSEQUENCED
            )
            accepted.add(number)
            highest = max(highest, number)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_forged_token_does_not_move_the_window(sealed: bool) -> None:
    initiator, acceptor = ends()
    token = initiator.wrap(b"hello", sealed)
    refusal(acceptor.unwrap, with_field(token, 8, struct.pack(">Q", 1000)))
    refusal(acceptor.unwrap, with_field(token, len(token) - 1, bytes([token[-1] ^ 1])))
    assert acceptor.unwrap(token).status is TokenStatus.IN_ORDER


def test_the_largest_gap() -> None:
    key = random_to_key(17, SEED)
    acceptor = MessageProtection(key, Role.ACCEPTOR)
    last = MessageProtection(key, Role.INITIATOR, sequence=SequenceState(send=LAST_SEQUENCE))
    token = last.wrap(b"")
    assert acceptor.unwrap(token).status is TokenStatus.GAP
    assert sequence_refusal(acceptor.unwrap, token) is TokenStatus.DUPLICATE


@pytest.mark.parametrize("action", ["wrap", "get_mic"])
def test_sequence_numbers_are_used_up(action: str) -> None:
    key = random_to_key(17, SEED)
    end = MessageProtection(key, Role.INITIATOR, sequence=SequenceState(send=LAST_SEQUENCE))
    end.wrap(b"")
    with pytest.raises(LocalProtocolError) as refused:
        getattr(end, action)(b"")
    assert refused.value.code is Code.UNAVAILABLE


def test_where_a_context_has_got_to() -> None:
    initiator, acceptor = ends()
    tokens = [initiator.wrap(b"") for _ in range(4)]
    for number in (0, 1, 3):
        acceptor.unwrap(tokens[number])
    assert initiator.sequence == SequenceState(send=4)
    state = acceptor.sequence
    assert (state.send, state.receive, state.received & 0b1111) == (0, 4, 0b1101)
    moved = MessageProtection(random_to_key(17, SEED), Role.ACCEPTOR, sequence=state)
    assert sequence_refusal(moved.unwrap, tokens[3]) is TokenStatus.DUPLICATE
    assert moved.unwrap(tokens[2]).status is TokenStatus.UNSEQUENCED
    assert moved.unwrap(initiator.wrap(b"")).status is TokenStatus.IN_ORDER


def test_numbers_before_the_first_are_refused() -> None:
    key = random_to_key(17, SEED)
    acceptor = MessageProtection(key, Role.ACCEPTOR, sequence=SequenceState(receive=100))
    for number, status in ((99, TokenStatus.DUPLICATE), (0, TokenStatus.OLD)):
        earlier = MessageProtection(key, Role.INITIATOR, sequence=SequenceState(send=number))
        assert sequence_refusal(acceptor.unwrap, earlier.wrap(b"")) is status


def test_statuses_are_those_of_gss_api() -> None:
    """RFC 2744 section 3.9.1 numbers them."""
    assert [status.value for status in TokenStatus] == [2, 4, 8, 16]
