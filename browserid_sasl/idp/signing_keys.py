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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from browserid_sasl.errors import (
    Code,
    ConfigurationError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.identity.support import MAX_KEYS
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey, PublicKey
from browserid_sasl.private_files import (
    create_private,
    make_private_folder,
    read_private,
    write_atomically,
)

Algorithm = Literal["RS256", "ES256"]
"""What a provider's key can sign with."""

MAX_CERTIFICATE_LIFE_MS: Final = 24 * 3_600_000
"""The longest life of a certificate (PROTOCOL.md section 1.3)."""

_GRACE_MS: Final = 300_000
"""Verifiers' clocks may be this slow, and so take a certificate for valid for longer."""

_MANIFEST: Final = "keys.json"


@dataclass(frozen=True, slots=True)
class SigningKey:
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the manifest has of a key, see `SigningKey`."""

    name: str
    signs_from: int
    published_until: int | None = None


class SigningKeys:
    """The keys in a folder.

    :param folder: only its owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = folder / _MANIFEST
        # Keys with the version of the manifest they were read by, set together for threads' sake.
        self._loaded: tuple[tuple[int, ...], tuple[SigningKey, ...]] = ((), ())

    def create(self, algorithm: Algorithm, now: int) -> SigningKey | None:
        """Make a key, unless there is one that signs. Keys whose files are missing are given up.

        :param now: ms.
        :returns: the key that was made, None if none had to be.
        :raises ConfigurationError: the folder cannot be written.
        :raises StoreError: what is there cannot be read.
        """
        with self._locked():
            listed = self._listed_or_found(now)
            present = [each for each in listed if self._path(each.name).exists()]
            keys = list(map(self._signing_key, present))
            made = None
            if not listed or _active(listed, now) not in present:
                made = self._generate(algorithm, now)
                keys.append(made)
            if made or len(present) < len(listed) or not self._manifest.exists():
                self._write(keys)
            return made

    def rotate(
        self, algorithm: Algorithm | None, now: int, *, lead: int = 0, withdraw: bool = False
    ) -> SigningKey:
        """Make a new key, which is published at once and signs from `lead` ms after `now`.

        Keys that nobody needs any more are deleted.

        :param algorithm: of the new key; None for that of the present one.
        :param now: ms.
        :param withdraw: the other keys are deleted too: what they signed is void.
        :raises LocalProtocolError: invalid-keyset: a support document cannot have more keys.
        :raises ConfigurationError: the folder cannot be written.
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
                    f"{len(kept)} keys have to stay published, a document cannot have more",
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
        write_atomically(self._manifest, _manifest(keys))
        kept = {self._path(key.name) for key in keys}
        for path in self._folder.glob("*.pem"):
            if path not in kept:
                path.unlink()

    def _load(self) -> tuple[SigningKey, ...]:
        try:
            status = os.stat(self._manifest)
        except OSError as error:
            raise _unreadable(self._manifest, error) from None
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._loaded[0] != version:
            self._loaded = (version, tuple(map(self._signing_key, self._listed())))
        return self._loaded[1]

    def _listed(self) -> list[_Entry]:
        """What the manifest lists."""
        try:
            members = strict_json.parse_object(read_private(self._manifest), _MANIFEST)
            return _entries(members)
        except OSError as error:
            raise _unreadable(self._manifest, error) from None
        except RemoteProtocolError as error:
            raise _damaged(self._manifest, error.message) from None

    def _listed_or_found(self, now: int) -> list[_Entry]:
        if self._manifest.exists():
            return self._listed()
        # Whoever has lost the manifest has not lost the keys: the last one made signs.
        found = sorted(self._folder.glob("*.pem"), key=lambda path: path.stat().st_mtime_ns)
        until = now + MAX_CERTIFICATE_LIFE_MS + _GRACE_MS
        entries = [_Entry(path.stem, now, until) for path in found]
        return [*entries[:-1], replace(entries[-1], published_until=None)] if entries else []

    def _signing_key(self, entry: _Entry) -> SigningKey:
        path = self._path(entry.name)
        try:
            key = PrivateKey.from_pem(read_private(path))
        except OSError as error:
            raise _unreadable(path, error) from None
        except LocalProtocolError as error:
            raise _damaged(path, error.message) from None
        return SigningKey(entry.name, key, entry.signs_from, entry.published_until)

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
                f"the signing keys in {self._folder} cannot be changed ({error.strerror})",
                "run this as the user the provider runs as",
            ) from None


_T = TypeVar("_T", "_Entry", SigningKey)


def _active(keys: Sequence[_T], now: int) -> _T:
    if not keys:
        raise StoreError(Code.NO_KEY, "the provider has no signing key")
    begun = [key for key in keys if key.signs_from <= now]
    # None has begun only if the clock was set back: then the oldest has to do.
    return max(reversed(begun), key=_signs_from) if begun else min(keys, key=_signs_from)


def _signs_from(key: _Entry | SigningKey) -> int:
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


def _entries(members: strict_json.Object) -> list[_Entry]:
    listed = members.get("keys")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise RemoteProtocolError(Code.INVALID_KEYSET, f"{_MANIFEST} has no list of keys")
    return [
        _Entry(
            strict_json.string(entry, "name", _MANIFEST),
            strict_json.time(entry, "signs-from", _MANIFEST),
            strict_json.optional_time(entry, "published-until", _MANIFEST),
        )
        for entry in listed
    ]


def _unreadable(path: Path, error: OSError) -> StoreError:
    missing = isinstance(error, FileNotFoundError)
    return StoreError(
        Code.KEY_FILE_UNREADABLE,
        f"the provider's signing keys cannot be read: {path} ({error.strerror})",
        "put it back from the backup, or have `browserid-idp init` make what is missing"
        if missing
        else "run this as the user the provider runs as",
    )


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        Code.KEY_FILE_UNREADABLE,
        f"the provider's signing keys cannot be read: {path} is damaged ({why})",
        "put it back from the backup, or move it away and run `browserid-idp init`",
    )
