"""What is kept in a database that others can read and write: names that say nothing, sealed values.

A site's key file, the same on all its hosts, has a line ``names KEY`` and one or more lines
``key KEY``; a KEY is 64 hexadecimal digits, and a line that begins with ``#`` says nothing.

*Names* are HMAC-SHA-256 of what they stand for, cut to 16 octets, so that nobody learns from the
database whose ticket is whose, nor makes one that fits. *Values* are sealed with AES-256-GCM, under
a key made of the first ``key`` and the entry's name, with the name as associated data: a value that
is moved to another name, or another realm, cannot be opened. Further lines ``key`` open what was
sealed before they were replaced.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from browserid_sasl.errors import Code, ConfigurationError, StoreError
from browserid_sasl.private_files import (
    Stamp,
    read_private,
    stamp_if_there,
    write_atomically,
)

_KEY_SIZE: Final = 32
NAME_SIZE: Final = 16
_ID_SIZE: Final = 4
_NONCE_SIZE: Final = 12
_MAC_SIZE: Final = 32
_MAX_FILE: Final = 16_384
_MAX_KEYS: Final = 16
_LINE: Final = re.compile(r"(names|key) ([0-9a-f]{64})")
_HEADING: Final = (
    "# Keys of the store that the hosts of this site share: the same file on all of them.",
    "# `browserid store-key` makes it and changes it; see docs/several-hosts.md.",
)


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The keys of a site.

    :param names: of what entries are called, 32 octets.
    :param values: of what is in them; the first seals, all open.
    """

    names: bytes = field(repr=False)
    values: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def generate(cls) -> SiteKeys:
        """New ones."""
        return cls(secrets.token_bytes(_KEY_SIZE), (secrets.token_bytes(_KEY_SIZE),))

    def name(self, realm: str, kind: str, what: bytes) -> bytes:
        """What an entry is called in the database, 16 octets.

        :param realm: of the site.
        :param kind: of the entry.
        """
        text = f"{realm}\0{kind}\0".encode() + what
        return hmac.digest(self.names, text, "sha256")[:NAME_SIZE]

    def seal(self, name: bytes, value: bytes) -> bytes:
        """A value as it is kept under a name."""
        key, nonce = self.values[0], os.urandom(_NONCE_SIZE)
        return _id(key) + nonce + _cipher(key, name).encrypt(nonce, value, name)

    def open(self, name: bytes, sealed: bytes) -> bytes | None:
        """What was sealed for this name; None if nothing was, or with no key that is here."""
        nonce, text = sealed[_ID_SIZE:][:_NONCE_SIZE], sealed[_ID_SIZE + _NONCE_SIZE :]
        for key in self.values:
            if hmac.compare_digest(sealed[:_ID_SIZE], _id(key)) and len(nonce) == _NONCE_SIZE:
                try:
                    return _cipher(key, name).decrypt(nonce, text, name)
                except InvalidTag:
                    return None
        return None

    def sign(self, realm: str, text: bytes) -> bytes:
        """A text that anybody can read, and nobody else can write."""
        return hmac.digest(self.names, f"{realm}\0mark\0".encode() + text, "sha256") + text

    def signed(self, realm: str, octets: bytes) -> bytes | None:
        """The text that was signed, None if it was not signed so."""
        text = octets[_MAC_SIZE:]
        return text if hmac.compare_digest(self.sign(realm, text), octets) else None

    def with_new_key(self) -> SiteKeys:
        """These and a new key for values, behind the others."""
        return SiteKeys(self.names, (*self.values, secrets.token_bytes(_KEY_SIZE)))

    def with_last_first(self) -> SiteKeys:
        """These with the last key for values as the first."""
        return SiteKeys(self.names, (self.values[-1], *self.values[:-1]))

    def without_old(self) -> SiteKeys:
        """These with the key alone that seals."""
        return SiteKeys(self.names, self.values[:1])

    def lines(self) -> str:
        """The text of their file."""
        keys = [f"names {self.names.hex()}", *(f"key {each.hex()}" for each in self.values)]
        return "\n".join((*_HEADING, *keys, ""))


class SiteKeyFile:
    """A site's keys in a file, which is read again when it has changed.

    :param path: of the file.
    :raises ConfigurationError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[Stamp | None, SiteKeys] = self._load()

    def keys(self) -> SiteKeys:
        """The keys as they are now.

        :raises StoreError: the file has changed, and cannot be used any more.
        """
        if stamp_if_there(self.path) != self._read[0]:
            try:
                self._read = self._load()
            except ConfigurationError as error:
                raise StoreError(Code.CACHE_ERROR, error.message, error.remedy) from None
        return self._read[1]

    def _load(self) -> tuple[Stamp | None, SiteKeys]:
        stamp = stamp_if_there(self.path)
        return stamp, read_site_keys(self.path)


def read_site_keys(path: Path) -> SiteKeys:
    """The keys in a file.

    :raises ConfigurationError: there is no such file, others can read it, or it is none.
    """
    try:
        text = read_private(path).decode()
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no key of the shared store: {path}",
            "make one with `browserid store-key new`, or copy it from another host of the site",
        ) from None
    except (OSError, UnicodeDecodeError, StoreError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no key file"
        if isinstance(error, StoreError):
            raise ConfigurationError(error.message, error.remedy) from None
        raise ConfigurationError(
            f"the key of the shared store cannot be read from {path}: {reason}",
            "see that the account that runs this owns it, with mode 600",
        ) from None
    return _parsed(path, text)


def write_site_keys(path: Path, keys: SiteKeys) -> None:
    """Put a key file in place, for its owner alone.

    :raises OSError: it cannot be written.
    """
    write_atomically(path, keys.lines().encode())


def _parsed(path: Path, text: str) -> SiteKeys:
    found: dict[str, list[bytes]] = {"names": [], "key": []}
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    matches = [_LINE.fullmatch(line) for line in lines]
    for match in matches:
        if match is not None:
            found[match[1]].append(bytes.fromhex(match[2]))
    names, keys = found["names"], found["key"]
    sound = None not in matches and len(names) == 1 and 0 < len(keys) <= _MAX_KEYS
    if not sound or len(text) > _MAX_FILE or _repeats([*names, *keys]):
        raise ConfigurationError(
            f"{path} is no key file of a shared store",
            "it has one line `names` and one to sixteen lines `key`, all with different keys: copy"
            " it from another host of the site again, or make one with `browserid store-key new`",
        )
    return SiteKeys(names[0], tuple(keys))


def _repeats(keys: Iterable[bytes]) -> bool:
    listed = list(keys)
    return len(set(listed)) < len(listed)


def _id(key: bytes) -> bytes:
    """By what a value says which key it is sealed with."""
    return hmac.digest(key, b"id", "sha256")[:_ID_SIZE]


def _cipher(key: bytes, name: bytes) -> AESGCM:
    # A key for each name: nonces are drawn for few values each, however many entries there are.
    return AESGCM(hmac.digest(key, b"entry\0" + name, "sha256"))
