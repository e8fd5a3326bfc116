"""The keys a provider signs certificates with: made, published, replaced and retired.

A folder has one PEM file for each key and a manifest, `keys.json`, that says from when each key
signs and until when it is published. Everything else follows from the manifest and the clock: the
key that signs is the one that began last, and a key that was replaced stays published until every
certificate it signed has expired. The manifest is replaced as a whole, so a rotation either took
place or did not, and a running provider notices it at its next request.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    LocalProtocolError,
    StoreError,
)
from browserid_sasl.identity.support import MAX_KEYS
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from browserid_sasl.private_files import create_private, make_private_folder, write_atomically
from browserid_sasl.records import Record, field, replace

Algorithm = Literal["RS256", "ES256"]
"""What a provider's key can sign with."""

MAX_CERTIFICATE_LIFE_MS: Final = 24 * 3_600_000
"""The longest life of a certificate (PROTOCOL.md section 1.3)."""

_GRACE_MS: Final = 300_000
"""Verifiers' clocks may be this slow, and so take a certificate for valid for longer."""

_MANIFEST: Final = "keys.json"


class SigningKey(Record):
    """A key of the provider.

    :param name: of its file, without suffix: the start of its thumbprint.
    :param private_key: the key, secret.
    :param signs_from: ms from which it is the one that signs, until a later key takes over.
    :param published_until: ms after which nobody needs it, None as long as it is not replaced.
    """

    name: str
    private_key: PrivateKey = field(repr=False)
    signs_from: int
    published_until: int | None = None

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return "ES256" if self.private_key.algorithm.name == "ES256" else "RS256"

    def is_published(self, now: int) -> bool:
        """Whether the support document has it at `now` (ms)."""
        return self.published_until is None or now < self.published_until


class SigningKeys:
    """The keys in a folder.

    :param folder: only its owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Keys with the version of the manifest they were read by, set together for threads' sake.
        self._loaded: tuple[tuple[int, ...], tuple[SigningKey, ...]] = ((), ())

    def create(self, algorithm: Algorithm, now: int) -> None:
        """Make the first key, unless there is one.

        :param now: ms.
        :raises ConfigurationError: the folder can not be written.
        """
        with self._locked():
            if not (self._folder / _MANIFEST).exists():
                self._write([self._generate(algorithm, now)])

    def rotate(
        self, algorithm: Algorithm | None, now: int, *, lead: int = 0, withdraw: bool = False
    ) -> SigningKey:
        """Make a new key, which is published at once and signs from `lead` ms after `now`.

        Keys that nobody needs any more are deleted.

        :param algorithm: of the new key; None for that of the present one.
        :param now: ms.
        :param withdraw: the other keys are deleted too: what they signed is void.
        :raises LocalProtocolError: invalid-keyset: a support document can not have more keys.
        :raises ConfigurationError: the folder can not be written.
        """
        with self._locked():
            before = self._load()
            present = _active(before, now)
            new = self._generate(algorithm or present.algorithm, now + lead)
            until = new.signs_from + MAX_CERTIFICATE_LIFE_MS + _GRACE_MS
            kept = [] if withdraw else list(_still_needed(before, present, until, now))
            if len(kept) >= MAX_KEYS:
                raise LocalProtocolError(
                    Code.INVALID_KEYSET,
                    f"{len(kept)} keys have to stay published, a document can not have more",
                    "wait until the certificates signed by the oldest have expired",
                )
            self._write([*kept, new])
            return new

    def active(self, now: int) -> SigningKey:
        """The key that signs at `now` (ms).

        :raises StoreError: bad keys, or none.
        """
        return _active(self._load(), now)

    def published(self, now: int) -> tuple[PublicKey, ...]:
        """The keys for the support document at `now` (ms), the one that signs first.

        :raises StoreError: bad keys, or none.
        """
        keys = self._load()
        active = _active(keys, now)
        others = [key for key in keys if key is not active and key.is_published(now)]
        return tuple(key.private_key.public_key for key in (active, *others))

    def _generate(self, algorithm: Algorithm, signs_from: int) -> SigningKey:
        key = PrivateKey.generate(algorithm)
        name = key.public_key.thumbprint.hex()[:16]
        return SigningKey(name, key, signs_from)

    def _write(self, keys: Sequence[SigningKey]) -> None:
        for key in keys:
            path = self._path(key.name)
            if not path.exists():
                write_atomically(path, key.private_key.to_pem())
        write_atomically(self._folder / _MANIFEST, _manifest(keys))
        kept = {self._path(key.name) for key in keys}
        for path in self._folder.glob("*.pem"):
            if path not in kept:
                path.unlink()

    def _load(self) -> tuple[SigningKey, ...]:
        try:
            status = os.stat(self._folder / _MANIFEST)
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._loaded[0] != version:
                self._loaded = (version, tuple(self._read()))
        except OSError as error:
            raise _unreadable(self._folder, error.strerror) from None
        except BrowserIDError as error:
            raise _unreadable(self._folder, error.message) from None
        return self._loaded[1]

    def _read(self) -> Iterator[SigningKey]:
        octets = (self._folder / _MANIFEST).read_bytes()
        entries = strict_json.parse_object(octets, _MANIFEST).get("keys")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise StoreError(Code.INVALID_KEYSET, f"{_MANIFEST} has no list of keys")
        for entry in entries:
            name = strict_json.string(entry, "name", _MANIFEST)
            yield SigningKey(
                name,
                PrivateKey.from_pem(self._path(name).read_bytes()),
                strict_json.time(entry, "signs-from", _MANIFEST),
                strict_json.optional_time(entry, "published-until", _MANIFEST),
            )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time changes the folder."""
        lock = self._folder / ".lock"
        try:
            make_private_folder(self._folder)
            create_private(lock)
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise ConfigurationError(
                f"the signing keys in {self._folder} can not be changed ({error.strerror})",
                "run this as the user the provider runs as",
            ) from None


def _active(keys: Sequence[SigningKey], now: int) -> SigningKey:
    if not keys:
        raise StoreError(Code.NO_KEY, "the provider has no signing key")
    begun = [key for key in keys if key.signs_from <= now]
    # None has begun only if the clock was set back: then the oldest has to do.
    return max(reversed(begun), key=_signs_from) if begun else min(keys, key=_signs_from)


def _signs_from(key: SigningKey) -> int:
    return key.signs_from


def _still_needed(
    keys: Sequence[SigningKey], present: SigningKey, until: int, now: int
) -> Iterator[SigningKey]:
    """The keys besides a new one; those that were announced and never signed are not among them.

    :param present: the one that signs until the new one does.
    :param until: ms when the last certificate it signs has expired.
    """
    for key in keys:
        if key is present:
            yield replace(key, published_until=until)
        elif key.signs_from <= now and key.is_published(now):
            yield key


def _manifest(keys: Sequence[SigningKey]) -> bytes:
    entries = []
    for key in keys:
        entry: dict[str, Any] = {"name": key.name, "signs-from": key.signs_from}
        if key.published_until is not None:
            entry["published-until"] = key.published_until
        entries.append(entry)
    return strict_json.dumps({"keys": entries}) + b"\n"


def _unreadable(folder: Path, why: str | None) -> StoreError:
    return StoreError(
        Code.KEY_FILE_UNREADABLE,
        f"the signing keys in {folder} can not be read ({why})",
        "run `browserid-idp init`, or this as the user the provider runs as",
    )
