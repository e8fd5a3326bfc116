"""Passwords that Thunderbird keeps in a profile, which it does not run with meanwhile.

They are in ``logins.json``, encrypted with a key that NSS keeps in ``key4.db``. Without a primary
password of the profile's whoever can read both files has them, as with every file of a person's.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from browserid_sasl.errors import Code, LocalProtocolError, StoreError
from browserid_sasl.private_files import PRIVATE_FILE, write_atomically

_LIBRARY: Final = "libnss3.so"
_FILE: Final = "logins.json"
_KEYS: Final = "key4.db"
_MAX_SIZE: Final = 16_777_216
_VERSION: Final = 3
"""Of ``logins.json`` (Thunderbird's ``LoginStore.sys.mjs``)."""
_ENCRYPTED_BY_NSS: Final = 1


class Logins:
    """The passwords in a profile.

    :param folder: of the profile.
    :param library: the file of NSS's library.
    """

    def __init__(self, folder: Path, library: str = _LIBRARY) -> None:
        self._folder = folder
        self._path = folder / _FILE
        self._library = library

    def put(self, places: tuple[str, ...], user: str, password: str) -> None:
        """Have a user's password in it for some places, instead of what it has for them.

        :param places: each the beginning of a URL, as Thunderbird names a server: without a port.
        :raises LocalProtocolError: it has a primary password, or there is no libnss3.
        :raises StoreError: it cannot be read or written; the passwords in it are as they were.
        """
        known = self._read()
        with _vault(self._folder, self._library) as vault:
            kept = [each for each in known["logins"] if not _is_of(each, places, user, vault)]
            first = max(
                [_number(known.get("nextId")), *(_number(each.get("id")) + 1 for each in kept)]
            )
            new = [
                _login(number, place, vault.encrypt(user), vault.encrypt(password))
                for number, place in enumerate(places, first)
            ]
        after = known | {"logins": [*kept, *new], "nextId": first + len(new)}
        try:
            (self._folder / _KEYS).chmod(PRIVATE_FILE)
            write_atomically(self._path, json.dumps(after).encode())
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from None

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                octets = file.read(_MAX_SIZE + 1)
        except FileNotFoundError:
            return {"nextId": 1, "logins": [], "version": _VERSION}
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from None
        try:
            known = json.loads(octets) if len(octets) <= _MAX_SIZE else None
        except (ValueError, RecursionError):
            known = None
        if not isinstance(known, dict) or not _are_logins(known.get("logins")):
            raise _unusable(self._path, "it is not what Thunderbird writes")
        return known


def _are_logins(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1


def _login(number: int, place: str, user: str, password: str) -> dict[str, object]:
    now = int(time.time() * 1000)
    times = dict.fromkeys(("timeCreated", "timeLastUsed", "timePasswordChanged"), now)
    return {
        "id": number,
        "hostname": place,
        "httpRealm": place,
        "formSubmitURL": None,
        "usernameField": "",
        "passwordField": "",
        "encryptedUsername": user,
        "encryptedPassword": password,
        "guid": f"{{{uuid.uuid4()}}}",
        "encType": _ENCRYPTED_BY_NSS,
        "timesUsed": 1,
        **times,
    }


def _is_of(login: Mapping[str, object], places: tuple[str, ...], user: str, vault: _Vault) -> bool:
    if login.get("hostname") not in places:
        return False
    return vault.decrypt(str(login.get("encryptedUsername"))) == user


class _Item(ctypes.Structure):
    """``SECItem`` of NSS's ``seccomon.h``."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_uint),
    )

    @classmethod
    def of(cls, octets: bytes) -> _Item:
        buffer = ctypes.create_string_buffer(octets, len(octets))
        item = cls(0, ctypes.cast(buffer, ctypes.c_void_p), len(octets))
        item.buffer = buffer  # which lives as long
        return item


class _Vault:
    """NSS, with the profile's key."""

    def __init__(self, nss: ctypes.CDLL) -> None:
        self._nss = nss

    def encrypt(self, text: str) -> str:
        """:raises StoreError: the key cannot be used."""
        key, given, made = _Item(), _Item.of(text.encode()), _Item()
        call = self._nss.PK11SDR_Encrypt
        if call(ctypes.byref(key), ctypes.byref(given), ctypes.byref(made), None):
            raise _unusable(Path(_KEYS), "NSS does not encrypt with it")
        return base64.b64encode(self._taken(made)).decode()

    def decrypt(self, text: str) -> str | None:
        """None for what was not encrypted with this key."""
        try:
            given, made = _Item.of(base64.b64decode(text, validate=True)), _Item()
        except ValueError:
            return None
        if self._nss.PK11SDR_Decrypt(ctypes.byref(given), ctypes.byref(made), None):
            return None
        return self._taken(made).decode(errors="replace")

    def _taken(self, item: _Item) -> bytes:
        octets = ctypes.string_at(item.data, item.length) if item.data else b""
        self._nss.SECITEM_ZfreeItem(ctypes.byref(item), 0)
        return octets


@contextmanager
def _vault(folder: Path, library: str) -> Iterator[_Vault]:
    nss = _loaded(library)
    if nss.NSS_InitReadWrite(b"sql:" + os.fsencode(folder)):
        raise _unusable(folder / _KEYS, "NSS cannot open it")
    try:
        _open_slot(nss, folder)
        yield _Vault(nss)
    finally:
        nss.NSS_Shutdown()


def _loaded(library: str) -> ctypes.CDLL:
    try:
        nss = ctypes.CDLL(library)
    except OSError:
        raise LocalProtocolError(
            Code.UNAVAILABLE,
            f"there is no {library}, by which Thunderbird keeps passwords",
            "install the package libnss3",
        ) from None
    nss.PK11_GetInternalKeySlot.restype = ctypes.c_void_p
    for name in ("PK11_NeedUserInit", "PK11_NeedLogin", "PK11_FreeSlot"):
        getattr(nss, name).argtypes = [ctypes.c_void_p]
    nss.PK11_InitPin.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    nss.PK11_CheckUserPassword.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return nss


def _open_slot(nss: ctypes.CDLL, folder: Path) -> None:
    slot = nss.PK11_GetInternalKeySlot()
    try:
        if nss.PK11_NeedUserInit(slot):
            if nss.PK11_InitPin(slot, None, b""):
                raise _unusable(folder / _KEYS, "NSS cannot begin it")
        elif nss.PK11_NeedLogin(slot) and nss.PK11_CheckUserPassword(slot, b""):
            raise LocalProtocolError(
                Code.UNAVAILABLE,
                f"the profile {folder} has a primary password",
                "give Thunderbird the password when it asks, and let it keep it",
            )
    finally:
        nss.PK11_FreeSlot(slot)


def _unusable(path: Path, reason: str) -> StoreError:
    return StoreError(
        Code.CACHE_ERROR,
        f"{path} cannot be used ({reason})",
        "give Thunderbird the password when it asks, and see what has become of the profile",
    )
