"""Encryption types: the RFCs' own vectors, and what a receiver refuses."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.krb5.enctypes import (
    BLOCK_SIZE,
    ENCTYPES,
    OUTPUT_SLACK,
    EncType,
    Key,
    decrypt_stealing,
    encrypt_stealing,
    n_fold,
    random_to_key,
)

enctypes = pytest.mark.parametrize("enctype", ENCTYPES.values(), ids=lambda row: row.name)


def new_key(enctype: EncType) -> Key:
    return Key(enctype, os.urandom(enctype.key_size))


# RFC 3961 appendix A.1

N_FOLD = [
    (b"012345", 8, "be072631276b1955"),
    (b"password", 7, "78a07b6caf85fa"),
    (b"Rough Consensus, and Running Code", 8, "bb6ed30870b7f0e0"),
    (b"password", 21, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"),
    (
        b"MASSACHVSETTS INSTITVTE OF TECHNOLOGY",
        24,
        "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b",
    ),
    (b"Q", 21, "518a54a215a8452a518a54a215a8452a518a54a215"),
    (b"ba", 21, "fb25d531ae8974499f52fd92ea9857c4ba24cf297e"),
    (b"kerberos", 8, "6b65726265726f73"),
    (b"kerberos", 16, "6b65726265726f737b9b5b2b93132b93"),
    (b"kerberos", 21, "8372c236344e5f1550cd0747e15d62ca7a5a3bcea4"),
    (b"kerberos", 32, "6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4"),
]


@pytest.mark.parametrize(("data", "size", "folded"), N_FOLD)
def test_n_fold(data: bytes, size: int, folded: str) -> None:
    assert n_fold(data, size).hex() == folded


# RFC 3962 appendix B

STEALING_KEY = b"chicken teriyaki"
STEALING_TEXT = b"I would like the General Gau's Chicken, please, and wonton soup."
STEALING = {
    17: "c6353568f2bf8cb4d8a580362da7ff7f97",
    31: "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5",
    32: "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584",
    47: (
        "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e"
        "39312523a78662d5be7fcbcc98ebf5"
    ),
    48: (
        "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd8"
        "39312523a78662d5be7fcbcc98ebf5a8"
    ),
    64: (
        "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8"
        "4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8"
    ),
}
CHAIN = Cipher(algorithms.AES(STEALING_KEY), modes.CBC(bytes(BLOCK_SIZE)))
BLOCKS = Cipher(algorithms.AES(STEALING_KEY), modes.ECB())


@pytest.mark.parametrize("size", STEALING)
def test_ciphertext_stealing(size: int) -> None:
    output = bytearray(size + OUTPUT_SLACK)
    plaintext, ciphertext = STEALING_TEXT[:size], bytes.fromhex(STEALING[size])
    assert encrypt_stealing(CHAIN, (plaintext,), memoryview(output)) == size
    assert output[:size] == ciphertext
    assert decrypt_stealing(CHAIN, BLOCKS, (memoryview(ciphertext),), size) == plaintext


@given(st.lists(st.binary(max_size=40)), st.binary(min_size=BLOCK_SIZE, max_size=BLOCK_SIZE))
def test_pieces_are_as_good_as_the_whole(pieces: list[bytes], first: bytes) -> None:
    pieces = [first, *pieces]
    whole = b"".join(pieces)
    in_pieces, at_once = (bytearray(len(whole) + OUTPUT_SLACK) for _ in range(2))
    size = encrypt_stealing(CHAIN, pieces, memoryview(in_pieces))
    encrypt_stealing(CHAIN, (whole,), memoryview(at_once))
    assert in_pieces[:size] == at_once[:size]
    parts, offset = [], 0
    for piece in pieces:
        parts.append(memoryview(at_once)[offset : offset + len(piece)])
        offset += len(piece)
    assert decrypt_stealing(CHAIN, BLOCKS, parts, size) == whole


# RFC 8009 appendix A

SHA2_KEYS = {
    19: "3705d96080c17728a0e800eab6e0d23c",
    20: "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
}
SHA2_USAGE = 2
SHA2_DERIVED = [
    (19, 0x99, "b31a018a48f54776f403e9a396325dc3"),
    (19, 0xAA, "9b197dd1e8c5609d6e67c3e37c62c72e"),
    (19, 0x55, "9fda0e56ab2d85e1569a688696c26a6c"),
    (20, 0x99, "ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d"),
    (20, 0xAA, "56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49"),
    (20, 0x55, "69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f"),
]
SHA2_ENCRYPTED = [
    (
        19,
        0,
        "7e5895eaf2672435bad817f545a37148",
        "ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718",
    ),
    (
        19,
        6,
        "7bca285e2fd4130fb55b1a5c83bc5b24",
        "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c",
    ),
    (
        19,
        16,
        "56ab21713ff62c0a1457200f6fa9948f",
        "3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc295fb4852e7d83e1e"
        "7c48c37eebe6b0d3",
    ),
    (
        19,
        21,
        "a7a4e29a4728ce10664fb64e49ad3fac",
        "720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c186b39a"
        "413c2f92ca9b8334a287ffcbfc",
    ),
    (
        20,
        0,
        "f764e9fa15c276478b2c7d0c4e5f58e4",
        "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c",
    ),
    (
        20,
        6,
        "b80d3251c1f6471494256ffe712d0b9a",
        "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9f559c7f664f69eab7b6092237526ea0d1f61"
        "cb20d69d10f2",
    ),
    (
        20,
        16,
        "53bf8a0d105265d4e276428624ce5e63",
        "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f68cf51f14d798c227"
        "3f35df574d1f932e40c4ff255b36a266",
    ),
    (
        20,
        21,
        "763e65367e864f02f55153c7e3b58af1",
        "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86fef6ec"
        "b647d6295fae077a1feb517508d2c16b4192e01f62",
    ),
]
SHA2_CHECKSUMS = [
    (19, "d78367186643d67b411cba9139fc1dee"),
    (20, "45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a"),
]
SHA2_PRF = [
    (19, "9d188616f63852fe86915bb840b4a886ff3e6bb0f819b49b893393d393854295"),
    (
        20,
        "9801f69a368c2bf675e59521e177d9a07f67efe1cfde8d3c8d6f6a0256e3b17d"
        "b3c1b62ad1b8553360d17367eb1514d2",
    ),
]
COUNTING = bytes(range(21))


def sha2_key(number: int) -> Key:
    return Key(ENCTYPES[number], bytes.fromhex(SHA2_KEYS[number]))


@pytest.mark.parametrize(("number", "label", "derived"), SHA2_DERIVED)
def test_sha2_key_derivation(number: int, label: int, derived: str) -> None:
    base_key = bytes.fromhex(SHA2_KEYS[number])
    constant = bytes([0, 0, 0, SHA2_USAGE, label])
    octets = bytes.fromhex(derived)
    assert ENCTYPES[number].profile.derive(base_key, constant, len(octets)) == octets


@pytest.mark.parametrize(("number", "size", "confounder", "sealed"), SHA2_ENCRYPTED)
def test_sha2_encryption(number: int, size: int, confounder: str, sealed: str) -> None:
    key = sha2_key(number)
    octets = key.encrypt(SHA2_USAGE, COUNTING[:size], random=lambda _: bytes.fromhex(confounder))
    assert octets.hex() == sealed
    assert key.decrypt(SHA2_USAGE, octets) == COUNTING[:size]


@pytest.mark.parametrize(("number", "checksum"), SHA2_CHECKSUMS)
def test_sha2_checksum(number: int, checksum: str) -> None:
    assert sha2_key(number).checksum(SHA2_USAGE, COUNTING).hex() == checksum


@pytest.mark.parametrize(("number", "output"), SHA2_PRF)
def test_sha2_prf(number: int, output: str) -> None:
    assert sha2_key(number).prf(b"test").hex() == output


# Every encryption type


@enctypes
@given(data=st.data())
def test_what_is_encrypted_decrypts(enctype: EncType, data: st.DataObject) -> None:
    key = new_key(enctype)
    plaintext = data.draw(st.binary(max_size=200))
    usage = data.draw(st.integers(0, 2**32 - 1))
    sealed = key.encrypt(usage, plaintext)
    assert len(sealed) == BLOCK_SIZE + len(plaintext) + enctype.mac_size
    assert key.decrypt(usage, sealed) == plaintext


@enctypes
def test_encryption_is_randomised(enctype: EncType) -> None:
    key = new_key(enctype)
    assert key.encrypt(1, b"the same") != key.encrypt(1, b"the same")


@enctypes
@pytest.mark.parametrize("size", [0, 1, 16, 17])
def test_every_flipped_bit_is_noticed(enctype: EncType, size: int) -> None:
    key = new_key(enctype)
    sealed = key.encrypt(1, bytes(size))
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError) as refused:
            key.decrypt(1, altered)
        assert refused.value.code is Code.INVALID_SIGNATURE


@enctypes
def test_every_truncation_is_noticed(enctype: EncType) -> None:
    key = new_key(enctype)
    sealed = key.encrypt(1, bytes(40))
    for size in range(len(sealed)):
        with pytest.raises(RemoteProtocolError) as refused:
            key.decrypt(1, sealed[:size])
        too_short = size < BLOCK_SIZE + enctype.mac_size
        assert refused.value.code is (Code.TOKEN_TRUNCATED if too_short else Code.INVALID_SIGNATURE)


@enctypes
def test_usages_do_not_open_each_other(enctype: EncType) -> None:
    key = new_key(enctype)
    with pytest.raises(RemoteProtocolError) as refused:
        key.decrypt(2, key.encrypt(1, b"message"))
    assert refused.value.code is Code.INVALID_SIGNATURE


@enctypes
def test_checksums(enctype: EncType) -> None:
    key = new_key(enctype)
    checksum = key.checksum(1, b"in ", b"pieces")
    assert checksum == key.checksum(1, b"in pieces")
    assert len(checksum) == enctype.mac_size
    key.verify_checksum(1, checksum, b"in pieces")
    for usage, message in ((2, b"in pieces"), (1, b"in peices")):
        with pytest.raises(RemoteProtocolError) as refused:
            key.verify_checksum(usage, checksum, message)
        assert refused.value.code is Code.INVALID_SIGNATURE


@enctypes
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_key_of_another_size_is_refused(enctype: EncType, difference: int) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        Key(enctype, bytes(enctype.key_size + difference))
    assert refused.value.code is Code.CONTEXT_KEY_TOO_SHORT


def test_random_to_key_takes_the_first_octets() -> None:
    seed = os.urandom(32)
    for number, enctype in ENCTYPES.items():
        key = random_to_key(number, seed)
        assert key.enctype is enctype
        assert key.prf(b"x") == Key(enctype, seed[: enctype.key_size]).prf(b"x")


def test_random_to_key_wants_enough_octets() -> None:
    with pytest.raises(LocalProtocolError) as refused:
        random_to_key(18, bytes(31))
    assert refused.value.code is Code.CONTEXT_KEY_TOO_SHORT


@pytest.mark.parametrize("number", [0, 16, 23])
def test_other_encryption_types_are_not_known(number: int) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        random_to_key(number, bytes(32))
    assert refused.value.code is Code.NO_SESSION_KEY


def test_a_key_is_not_shown() -> None:
    assert repr(Key(ENCTYPES[17], b"0123456789abcdef")) == "<Key aes128-cts-hmac-sha1-96>"


def test_derived_keys_are_kept() -> None:
    key = new_key(ENCTYPES[17])
    assert key.for_usage(22) is key.for_usage(22)
    assert key.for_usage(22) is not key.for_usage(23)
