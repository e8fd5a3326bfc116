"""Kerberos encryption types: the cryptography under message protection and the PRF.

An encryption type (RFC 3961) is AES in CBC mode with ciphertext stealing, an HMAC cut to a number
of octets, and a way to derive from one base key separate keys for every use. `ENCTYPES` is the
table of those this package knows; the last arc of a mechanism's OID is the number of its row
(PROTOCOL.md section 4.1). A further AES type is a further row.

Two profiles cover the table. They differ in how keys are derived and in what the HMAC covers:

* RFC 3961 section 5.3 with the parameters of RFC 3962: keys by encryption of an n-folded constant,
  HMAC over the plaintext.
* RFC 8009: keys by the NIST SP 800-108 construction, HMAC over the ciphertext.

Encryption and decryption take the message in pieces and leave it where it is: the one pass that
writes the payload is the cipher's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from os import urandom
from typing import Final, Protocol, TypeAlias

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, Hash, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError

Octets: TypeAlias = bytes | bytearray | memoryview

BLOCK_SIZE: Final = 16
"""Octets in an AES block, and in the random confounder that precedes every plaintext."""

OUTPUT_SLACK: Final = 2 * BLOCK_SIZE
"""Octets that `UsageKeys.seal_into` may write behind its result, and then disregards."""

_ZERO_BLOCK: Final = bytes(BLOCK_SIZE)

_CHECKSUM_LABEL: Final = 0x99
_ENCRYPTION_LABEL: Final = 0xAA
_INTEGRITY_LABEL: Final = 0x55


# Key derivation


def n_fold(data: bytes, size: int) -> bytes:
    """Stretch or shrink `data` to `size` octets (RFC 3961 section 5.1).

    Copies of the input, each rotated 13 bits further to the right, are laid end to end up to a
    common multiple of both sizes, and cut into numbers of `size` octets that are added in ones'
    complement.
    """
    bits = 8 * len(data)
    value = int.from_bytes(data, "big")
    total_size = math.lcm(len(data), size)
    laid_out = b"".join(
        _rotate_right(value, bits, 13 * copy).to_bytes(len(data), "big")
        for copy in range(total_size // len(data))
    )
    total = sum(
        int.from_bytes(laid_out[start : start + size], "big")
        for start in range(0, total_size, size)
    )
    mask = (1 << 8 * size) - 1
    while total > mask:
        total = (total & mask) + (total >> 8 * size)
    return total.to_bytes(size, "big")


def _rotate_right(value: int, bits: int, by: int) -> int:
    by %= bits
    return (value >> by | value << bits - by) & (1 << bits) - 1


def _block_cipher(key: bytes) -> Cipher[modes.ECB]:
    """AES on one block at a time, for what is built from it here."""
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305


class Profile(Protocol):
    """What differs between the families of encryption types."""

    @property
    def hash(self) -> HashAlgorithm:
        """The hash under the HMAC."""

    @property
    def encrypt_then_mac(self) -> bool:
        """Whether the HMAC covers the ciphertext; it covers the plaintext otherwise."""

    def derive(self, key: bytes, label: bytes, size: int) -> bytes:
        """The key of `size` octets that `label` selects."""

    def prf(self, key: bytes, data: bytes) -> bytes:
        """The pseudo-random function's value for `data`."""


class SimplifiedProfile:
    """RFC 3961 section 5.3, with AES and SHA-1 (RFC 3962)."""

    # SHA-1 is not broken as the hash under an HMAC, and RFC 3962 has no other.
    hash: Final = SHA1()  # noqa: S303
    encrypt_then_mac: Final = False

    def derive(self, key: bytes, label: bytes, size: int) -> bytes:
        """DK of RFC 3961 section 5.1: the constant is encrypted, and the result again."""
        cipher = _block_cipher(key).encryptor()
        block = n_fold(label, BLOCK_SIZE)
        derived = b""
        while len(derived) < size:
            block = cipher.update(block)
            derived += block
        return derived[:size]

    def prf(self, key: bytes, data: bytes) -> bytes:
        """E(DK(key, "prf"), SHA-1(data) cut to one block), RFC 3961 section 5.3."""
        digest = Hash(self.hash)
        digest.update(data)
        prf_key = self.derive(key, b"prf", len(key))
        cipher = _block_cipher(prf_key).encryptor()
        return cipher.update(digest.finalize()[:BLOCK_SIZE])


@dataclass(frozen=True, slots=True)
class Sha2Profile:
    """RFC 8009: AES with SHA-2.

    :param hash: SHA-256 or SHA-384.
    """

    hash: HashAlgorithm

    @property
    def encrypt_then_mac(self) -> bool:
        """True: RFC 8009 section 5."""
        return True

    def derive(self, key: bytes, label: bytes, size: int) -> bytes:
        """KDF-HMAC-SHA2 of RFC 8009 section 3, without a context."""
        return self._kdf(key, label, b"", size)

    def prf(self, key: bytes, data: bytes) -> bytes:
        """KDF-HMAC-SHA2 with label ``prf`` and `data` as the context (RFC 8009 section 5)."""
        return self._kdf(key, b"prf", data, self.hash.digest_size)

    def _kdf(self, key: bytes, label: bytes, context: bytes, size: int) -> bytes:
        kdf = KBKDFHMAC(
            algorithm=self.hash,
            mode=Mode.CounterMode,
            length=size,
            rlen=4,
            llen=4,
            location=CounterLocation.BeforeFixed,
            label=label,
            context=context,
            fixed=None,
        )
        return kdf.derive(key)


# The table


@dataclass(frozen=True, slots=True)
class EncType:
    """A row of the table of encryption types.

    :param number: assigned number, and last arc of the mechanism's OID.
    :param name: registered name.
    :param key_size: octets in the base key and in the derived encryption keys.
    :param mac_key_size: octets in the derived HMAC keys.
    :param mac_size: octets of the HMAC that are kept.
    :param profile: key derivation, PRF, and what the HMAC covers.
    """

    number: int
    name: str
    key_size: int
    mac_key_size: int
    mac_size: int
    profile: Profile


_RFC3962: Final = SimplifiedProfile()

ENCTYPES: Final = {
    row.number: row
    for row in (
        EncType(17, "aes128-cts-hmac-sha1-96", 16, 16, 12, _RFC3962),
        EncType(18, "aes256-cts-hmac-sha1-96", 32, 32, 12, _RFC3962),
        EncType(19, "aes128-cts-hmac-sha256-128", 16, 16, 16, Sha2Profile(SHA256())),
        EncType(20, "aes256-cts-hmac-sha384-192", 32, 24, 24, Sha2Profile(SHA384())),
    )
}
"""Encryption types by number: 17 and 18 (RFC 3962), 19 and 20 (RFC 8009)."""


# Keys


class Key:
    """A base key: an encryption type and as many octets as it wants.

    Keys for a usage are derived when it is first asked for, and kept. Not shown in a repr.

    :param enctype: row of `ENCTYPES`.
    :param octets: the key, `EncType.key_size` octets.
    :raises LocalProtocolError: key-too-short (table B) when the size is another.
    """

    __slots__ = ("_octets", "_usages", "enctype")

    def __init__(self, enctype: EncType, octets: bytes) -> None:
        if len(octets) != enctype.key_size:
            raise LocalProtocolError(
                Code.CONTEXT_KEY_TOO_SHORT,
                f"a key for {enctype.name} has {enctype.key_size} octets, this one {len(octets)}",
            )
        self.enctype = enctype
        self._octets = octets
        self._usages: dict[int, UsageKeys] = {}

    def __repr__(self) -> str:
        return f"<Key {self.enctype.name}>"

    @property
    def octets(self) -> bytes:
        """The key itself, secret."""
        return self._octets

    def for_usage(self, usage: int) -> UsageKeys:
        """The keys derived for a key usage number (RFC 3961 section 7.5.1)."""
        keys = self._usages.get(usage)
        if keys is None:
            keys = self._usages[usage] = UsageKeys(self.enctype, self._octets, usage)
        return keys

    def encrypt(
        self, usage: int, plaintext: Octets, *, random: Callable[[int], bytes] = urandom
    ) -> bytes:
        """Encrypt and authenticate (RFC 3961 section 3, ``encrypt``).

        :param usage: key usage number.
        :param random: gives that many random octets, for the confounder.
        """
        keys = self.for_usage(usage)
        sealed = bytearray(keys.sealed_size(len(plaintext)) + OUTPUT_SLACK)
        with memoryview(sealed) as output:
            size = keys.seal_into(output, random(BLOCK_SIZE), (plaintext,))
            return bytes(output[:size])

    def decrypt(self, usage: int, ciphertext: Octets) -> bytes:
        """Verify and decrypt (RFC 3961 section 3, ``decrypt``).

        :raises RemoteProtocolError: token-truncated, or invalid-signature.
        """
        with memoryview(ciphertext) as view:
            return bytes(self.for_usage(usage).unseal((view,)))

    def checksum(self, usage: int, *pieces: Octets) -> bytes:
        """The checksum of the concatenated pieces (RFC 3961 section 4, ``get_mic``)."""
        return self.for_usage(usage).checksum(*pieces)

    def verify_checksum(self, usage: int, checksum: Octets, *pieces: Octets) -> None:
        """Compare with the checksum of the concatenated pieces, in constant time.

        :raises RemoteProtocolError: invalid-signature.
        """
        self.for_usage(usage).verify_checksum(checksum, *pieces)

    def prf(self, data: bytes) -> bytes:
        """The pseudo-random function of the encryption type (RFC 3961 section 3).

        16 octets for types 17 and 18, 32 for 19 and 48 for 20.
        """
        return self.enctype.profile.prf(self._octets, data)


def random_to_key(number: int, seed: bytes) -> Key:
    """The base key for an encryption type made of the first octets of a random string.

    RFC 3961 section 3; PROTOCOL.md section 5 makes CRK so, of 32 octets.

    :param number: number of the encryption type.
    :param seed: random octets, at least as many as the key has.
    :raises LocalProtocolError: no-session-key when there is no such encryption type, key-too-short
        (table B) when the seed is too short.
    """
    enctype = ENCTYPES.get(number)
    if enctype is None:
        raise LocalProtocolError(
            Code.NO_SESSION_KEY,
            f"there is no message protection with encryption type {number}",
            "choose a mechanism with key exchange, such as BROWSERID-AES128",
        )
    return Key(enctype, bytes(seed[: enctype.key_size]))


class UsageKeys:
    """The keys that one usage number derives from a base key (RFC 3961 section 5.3).

    Ke encrypts, Ki authenticates what is encrypted, Kc makes checksums. Nothing in here changes
    after construction, so several threads may use it.
    """

    __slots__ = ("_blocks", "_chain", "_checksum", "_encrypt_then_mac", "_integrity", "_mac_size")

    def __init__(self, enctype: EncType, base_key: bytes, usage: int) -> None:
        profile = enctype.profile

        def derive(label: int, size: int) -> bytes:
            return profile.derive(base_key, usage.to_bytes(4, "big") + bytes([label]), size)

        encryption_key = derive(_ENCRYPTION_LABEL, enctype.key_size)
        self._chain = Cipher(algorithms.AES(encryption_key), modes.CBC(_ZERO_BLOCK))
        self._blocks = _block_cipher(encryption_key)
        self._integrity = HMAC(derive(_INTEGRITY_LABEL, enctype.mac_key_size), profile.hash)
        self._checksum = HMAC(derive(_CHECKSUM_LABEL, enctype.mac_key_size), profile.hash)
        self._mac_size = enctype.mac_size
        self._encrypt_then_mac = profile.encrypt_then_mac

    def checksum(self, *pieces: Octets) -> bytes:
        """The checksum of the concatenated pieces."""
        return self._digest(self._checksum, pieces)

    def verify_checksum(self, checksum: Octets, *pieces: Octets) -> None:
        """Compare with the checksum of the concatenated pieces, in constant time.

        :raises RemoteProtocolError: invalid-signature.
        """
        _require_equal(self.checksum(*pieces), checksum)

    def sealed_size(self, size: int) -> int:
        """Octets that a plaintext of `size` octets has when sealed."""
        return BLOCK_SIZE + size + self._mac_size

    def seal_into(
        self,
        output: memoryview,
        confounder: bytes,
        pieces: Sequence[Octets],
        associated: Octets = b"",
    ) -> int:
        """Encrypt and authenticate the concatenated pieces.

        :param output: where to; has `sealed_size` octets and `OUTPUT_SLACK` more.
        :param confounder: a block of random octets.
        :param associated: authenticated between confounder and plaintext, not encrypted, not
            written: the place it has in the scatter and gather interfaces of MIT Kerberos.
        :returns: `sealed_size`, the octets written that count.
        """
        size = encrypt_stealing(self._chain, (confounder, *pieces), output)
        covered: Sequence[Octets]
        if self._encrypt_then_mac:
            covered = (_ZERO_BLOCK, output[:BLOCK_SIZE], associated, output[BLOCK_SIZE:size])
        else:
            covered = (confounder, associated, *pieces)
        end = size + self._mac_size
        output[size:end] = self._digest(self._integrity, covered)
        return end

    def unseal(self, pieces: Sequence[memoryview], associated: Octets = b"") -> memoryview:
        """Verify and decrypt the concatenated pieces.

        :param associated: as it was given to `seal_into`.
        :returns: the plaintext, in memory of its own.
        :raises RemoteProtocolError: token-truncated, or invalid-signature.
        """
        size = sum(map(len, pieces)) - self._mac_size
        if size < BLOCK_SIZE:
            raise RemoteProtocolError(
                Code.TOKEN_TRUNCATED,
                "the sealed message is too short to hold its confounder and its checksum",
            )
        ciphertext, mac = cut_pieces(pieces, size)
        received = b"".join(mac)
        if self._encrypt_then_mac:
            first, rest = cut_pieces(ciphertext, BLOCK_SIZE)
            covered = (_ZERO_BLOCK, *first, associated, *rest)
            _require_equal(self._digest(self._integrity, covered), received)
            return self._decrypt(ciphertext, size)[BLOCK_SIZE:]
        plaintext = self._decrypt(ciphertext, size)
        confounder, message = plaintext[:BLOCK_SIZE], plaintext[BLOCK_SIZE:]
        _require_equal(self._digest(self._integrity, (confounder, associated, message)), received)
        return message

    def _decrypt(self, pieces: Sequence[memoryview], size: int) -> memoryview:
        return decrypt_stealing(self._chain, self._blocks, pieces, size)

    def _digest(self, template: HMAC, pieces: Sequence[Octets]) -> bytes:
        context = template.copy()
        for piece in pieces:
            context.update(piece)
        return context.finalize()[: self._mac_size]


def _require_equal(expected: bytes, received: Octets) -> None:
    if not compare_digest(expected, received):
        raise RemoteProtocolError(
            Code.INVALID_SIGNATURE,
            "the message's checksum does not verify",
            "it was altered on the way, or the two sides do not have the same key",
        )


# AES in CBC mode with ciphertext stealing (RFC 3962 section 5)


def encrypt_stealing(chain: Cipher[modes.CBC], pieces: Sequence[Octets], output: memoryview) -> int:
    """Encrypt the concatenated pieces, of at least one block, and return their size.

    The last two blocks change places and the last octets, as many as the last block was padded
    with, are left off. `output` has room for `OUTPUT_SLACK` octets behind the result.
    """
    context = chain.encryptor()
    size = done = 0
    for piece in pieces:
        size += len(piece)
        done += context.update_into(piece, output[done:])
    padding = -size % BLOCK_SIZE
    if padding:
        context.update_into(_ZERO_BLOCK[:padding], output[done:])
    if size > BLOCK_SIZE:
        last = size + padding - BLOCK_SIZE
        previous = last - BLOCK_SIZE
        stolen = bytes(output[previous : previous + size - last])
        output[previous:last] = output[last : last + BLOCK_SIZE]
        output[last:size] = stolen
    return size


def decrypt_stealing(
    chain: Cipher[modes.CBC],
    blocks: Cipher[modes.ECB],
    pieces: Sequence[memoryview],
    size: int,
) -> memoryview:
    """Decrypt the concatenated pieces, of `size` octets and at least one block."""
    plaintext = memoryview(bytearray(size + OUTPUT_SLACK))
    last_size = (size - 1) % BLOCK_SIZE + 1
    bulk, ending = cut_pieces(pieces, max(0, size - last_size - BLOCK_SIZE))
    context = chain.decryptor()
    done = 0
    for piece in bulk:
        done += context.update_into(piece, plaintext[done:])
    tail = b"".join(ending)
    if size > BLOCK_SIZE:
        tail = _restore_order(blocks, tail)
    context.update_into(tail, plaintext[done:])
    return plaintext[:size]


def _restore_order(blocks: Cipher[modes.ECB], tail: bytes) -> bytes:
    """The last two blocks as plain CBC would have made them, of the two that stealing made.

    The octets the last block lacks are those its decryption has where the plaintext was padded
    with zeros.
    """
    whole, partial = tail[:BLOCK_SIZE], tail[BLOCK_SIZE:]
    stolen = blocks.decryptor().update(whole)[len(partial) :]
    return partial + stolen + whole


def cut_pieces(
    pieces: Sequence[memoryview], position: int
) -> tuple[list[memoryview], list[memoryview]]:
    """Divide pieces into those before and those after a position in their concatenation."""
    before: list[memoryview] = []
    after: list[memoryview] = []
    for piece in pieces:
        before.append(piece[:position])
        after.append(piece[position:])
        position = max(0, position - len(piece))
    return before, after
