"""Keeps private keys, and what renews certificates, in the desktop's keyring.

A keyring may ask its owner something, hang, be locked or be gone. So it is asked by a process of
its own that is given three seconds, and what it does not take stays in the store, which only its
owner can read. It is reached over the session's D-Bus, and where there is none, none is started:
then there is no keyring.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from browserid_sasl.agent.own_programs import own_program
from browserid_sasl.config.sections import Keys
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore

SERVICE: Final = "browserid"
LIMIT_S: Final = 3.0

_ABSENT_FOR_S: Final = 60.0
_MOST_KNOWN: Final = 64
_BUS: Final = "DBUS_SESSION_BUS_ADDRESS"

Verb = Literal["put", "get", "delete"]


def has_bus(environment: Mapping[str, str]) -> bool:
    """Whether there is a D-Bus of the session's that would not have to be started."""
    address = environment.get(_BUS, "")
    return bool(address) and not address.startswith("autolaunch:")


class Keyring:
    """The desktop's keyring. Safe for threads.

    :param limit: seconds that it may take; `LIMIT_S` when None.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = LIMIT_S if limit is None else limit
        self._absent_until = 0.0

    def ask(self, verb: Verb, name: str, secret: str = "") -> str | None:
        """Have it put, get or delete a secret.

        :returns: the secret, empty where there is none to tell; None if the keyring did not do it.
        """
        if time.monotonic() < self._absent_until:
            return None
        answer = self._ask(verb, name, secret)
        if answer is None:
            # One that hangs is not waited for again by the next who asks.
            self._absent_until = time.monotonic() + _ABSENT_FOR_S
        return answer

    def _ask(self, verb: Verb, name: str, secret: str) -> str | None:
        if sys.platform == "linux" and not has_bus(os.environ):
            return None
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                (*own_program("browserid_sasl.agent.keyring_access"), verb, name),
                input=secret.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._limit,
                check=True,
            )
            return done.stdout.decode()
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None


@dataclass(frozen=True, slots=True)
class _Secret:
    """What of a record is in the keyring."""

    key: str = field(repr=False)
    renewal: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> _Secret | None:
        try:
            members = json.loads(text)
            key, renewal = members["key"], members["renewal"]
        except (ValueError, TypeError, KeyError):
            return None
        return cls(key, renewal) if isinstance(key, str) and isinstance(renewal, str) else None

    @property
    def text(self) -> str:
        return json.dumps({"key": self.key, "renewal": self.renewal})


class KeyringIdentityStore:
    """An `IdentityStore` whose secrets are in the keyring, as far as it takes them.

    A record whose secrets are there has no private key in the store. In what `all` gives it has
    none either; `get` asks for it, and gives None where the keyring does not answer.

    :param store: has everything else.
    :param keyring: has the secrets.
    :param place: tells the secrets of one store from those of another.
    :param use: whether new ones go there.
    """

    def __init__(self, store: IdentityStore, keyring: Keyring, place: str, *, use: bool) -> None:
        self._store = store
        self._keyring = keyring
        self._place = place
        self._use = use
        self._known: dict[tuple[str, str], _Secret] = {}
        self._lock = threading.Lock()
        self._warned = False

    def put(self, record: IdentityRecord) -> None:
        """See `IdentityStore.put`."""
        secret = _Secret(record.private_key_pem.decode(), record.renewal)
        before = self._store.get(record.identity)
        if self._use and self._ask("put", record.identity, secret.text) is not None:
            self._know(record, secret)
            record = replace(record, private_key_pem=b"", renewal="")
        elif self._use:
            self._warn()
        self._store.put(record)
        if before is not None and not before.private_key_pem and record.private_key_pem:
            self._ask("delete", record.identity)

    def get(self, identity: str) -> IdentityRecord | None:
        """See `IdentityStore.get`."""
        record = self._store.get(identity)
        if record is None or record.private_key_pem:
            return record
        secret = self._secret(record)
        if secret is None:
            return None
        return _with(record, secret)

    def at_hand(self, identity: str) -> IdentityRecord | None:
        """The same without asking the keyring: None as well if that would be needed."""
        record = self._store.get(identity)
        if record is None or record.private_key_pem:
            return record
        secret = self._known_secret(record)
        return _with(record, secret) if secret is not None else None

    def delete(self, identity: str) -> bool:
        """See `IdentityStore.delete`."""
        record = self._store.get(identity)
        if record is not None and not record.private_key_pem:
            self._ask("delete", identity)
        return self._store.delete(identity)

    def all(self) -> Iterable[IdentityRecord]:
        """See `IdentityStore.all`."""
        return self._store.all()

    def _ask(self, verb: Verb, identity: str, secret: str = "") -> str | None:
        return self._keyring.ask(verb, f"{identity} ({self._place})", secret)

    def _secret(self, record: IdentityRecord) -> _Secret | None:
        known = self._known_secret(record)
        if known is not None:
            return known
        secret = _Secret.parse(self._ask("get", record.identity) or "")
        if secret is not None:
            self._know(record, secret)
        return secret

    def _known_secret(self, record: IdentityRecord) -> _Secret | None:
        with self._lock:
            return self._known.get((record.identity, record.certificate))

    def _know(self, record: IdentityRecord, secret: _Secret) -> None:
        with self._lock:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[record.identity, record.certificate] = secret

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            print(
                "browserid: the desktop's keyring does not take keys just now: they are kept in"
                " the store, which only you can read",
                file=sys.stderr,
                flush=True,
            )


def _with(record: IdentityRecord, secret: _Secret) -> IdentityRecord:
    return replace(record, private_key_pem=secret.key.encode(), renewal=secret.renewal)


def at_hand(store: IdentityStore, identity: str) -> IdentityRecord | None:
    """A record with its key as far as nobody has to be waited for, None if it is not there."""
    if isinstance(store, KeyringIdentityStore):
        return store.at_hand(identity)
    return store.get(identity)


def with_keyring(store: IdentityStore, file: Path, keys: Keys) -> IdentityStore:
    """A store that looks into the keyring for what is there, and puts new secrets where it is told.

    :param file: of the store.
    :param keys: the option `keys`.
    """
    return KeyringIdentityStore(store, Keyring(), str(file), use=keys == "keyring")
