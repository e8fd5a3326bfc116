"""A provider's signing keys in a folder: one PEM file for each, and a manifest, `keys.json`.

The manifest says what each key is good for, and is replaced as a whole. Where several hosts serve a
domain, it is for their administrator to have the same folder on all of them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from browserid_sasl.errors import (
    Code,
    ConfigurationError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.idp.signing_keys import (
    GRACE_MS,
    MAX_CERTIFICATE_LIFE_MS,
    Found,
    SigningKey,
    Times,
)
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.private_files import (
    create_private,
    make_private_folder,
    read_private,
    write_atomically,
)

_MANIFEST: Final = "keys.json"


class KeyFolder:
    """The keys in a folder. See `KeyPlace`.

    :param folder: only its owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = folder / _MANIFEST
        # Keys with the version of the manifest they were read by, set together for threads' sake.
        self._loaded: tuple[tuple[int, ...], tuple[SigningKey, ...]] = ((), ())

    def find(self, now: int) -> Found:
        """The keys whose files are there."""
        listed = self._listed_or_found(now)
        present = [each for each in listed if self._path(each.name).exists()]
        keys = tuple(map(self._signing_key, present))
        return Found(listed, keys, len(present) == len(listed) and self._manifest.exists())

    def write(self, keys: Sequence[SigningKey]) -> None:
        """Write the files, and then the manifest that they count by."""
        for key in keys:
            path = self._path(key.name)
            if not path.exists():
                write_atomically(path, key.private_key.to_pem())
        write_atomically(self._manifest, _manifest(keys))
        kept = {self._path(key.name) for key in keys}
        for path in self._folder.glob("*.pem"):
            if path not in kept:
                path.unlink()

    def load(self) -> tuple[SigningKey, ...]:
        """The keys, read again when the manifest has changed."""
        try:
            status = os.stat(self._manifest)
        except OSError as error:
            raise _unreadable(self._manifest, error) from None
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._loaded[0] != version:
            self._loaded = (version, tuple(map(self._signing_key, self._listed())))
        return self._loaded[1]

    def _listed(self) -> list[Times]:
        """What the manifest lists."""
        try:
            members = strict_json.parse_object(read_private(self._manifest), _MANIFEST)
            return _entries(members)
        except OSError as error:
            raise _unreadable(self._manifest, error) from None
        except RemoteProtocolError as error:
            raise _damaged(self._manifest, error.message) from None

    def _listed_or_found(self, now: int) -> list[Times]:
        if self._manifest.exists():
            return self._listed()
        # Whoever has lost the manifest has not lost the keys: the last one made signs.
        found = sorted(self._folder.glob("*.pem"), key=lambda path: path.stat().st_mtime_ns)
        until = now + MAX_CERTIFICATE_LIFE_MS + GRACE_MS
        entries = [Times(path.stem, now, until) for path in found]
        return [*entries[:-1], replace(entries[-1], published_until=None)] if entries else []

    def _signing_key(self, entry: Times) -> SigningKey:
        path = self._path(entry.name)
        try:
            key = PrivateKey.from_pem(read_private(path))
        except OSError as error:
            raise _unreadable(path, error) from None
        except LocalProtocolError as error:
            raise _damaged(path, error.message) from None
        return SigningKey(entry.name, entry.signs_from, entry.published_until, private_key=key)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"

    @contextmanager
    def changing(self) -> Iterator[None]:
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


def _manifest(keys: Sequence[SigningKey]) -> bytes:
    entries = []
    for key in keys:
        entry: dict[str, Any] = {"name": key.name, "signs-from": key.signs_from}
        if key.published_until is not None:
            entry["published-until"] = key.published_until
        entries.append(entry)
    return strict_json.dumps({"keys": entries}) + b"\n"


def _entries(members: strict_json.Object) -> list[Times]:
    listed = members.get("keys")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise RemoteProtocolError(Code.INVALID_KEYSET, f"{_MANIFEST} has no list of keys")
    return [
        Times(
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
