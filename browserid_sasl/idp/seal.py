"""What the secrets in a provider's database are sealed with: a key that the database does not have.

Who reads the database, or a copy of it, can sign nothing and make no codes. The key is in a file
that the administrator gives each host. A secret is sealed under its row's name, so nobody can put
it into the place of another.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError, StoreError
from browserid_sasl.jose import b64
from browserid_sasl.private_files import read_private

_KEY: Final = 32
_NONCE: Final = 12
_MOST_KEYS: Final = 8

_MARK: Final = "sealed:"
"""What a text begins with that is sealed. No secret of ours does."""


class Seal:
    """Seals secrets, and opens them.

    :param keys: 32 octets each. The first seals; any opens.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    @classmethod
    def read(cls, file: Path) -> Seal:
        """That of a file with a key on each line, 32 octets in base64.

        :raises ConfigurationError: it cannot be read, others can read it, or it is none.
        """
        try:
            lines = read_private(file).split()
            keys = [base64.b64decode(line, validate=True) for line in lines]
        except OSError as error:
            raise _unfit(file, error.strerror or "it cannot be read") from None
        except binascii.Error:
            raise _unfit(file, "a line is not base64") from None
        if not 0 < len(keys) <= _MOST_KEYS or any(len(key) != _KEY for key in keys):
            raise _unfit(file, f"it has not 1 to {_MOST_KEYS} keys of {_KEY} octets")
        return cls(keys)

    def close(self, name: str, secret: bytes) -> str:
        """Nonce and AES-256-GCM of a secret, in base64url.

        :param name: which nobody can exchange for another's.
        """
        nonce = secrets.token_bytes(_NONCE)
        return b64.encode(nonce + self._ciphers[0].encrypt(nonce, secret, name.encode()))

    def open(self, name: str, sealed: str) -> bytes:
        """What `close` was called with.

        :raises StoreError: key-file-unreadable: another key has sealed it, or it was changed.
        """
        octets = _octets(sealed)
        nonce, rest = octets[:_NONCE], octets[_NONCE:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, name.encode())
            except (InvalidTag, ValueError):
                continue
        raise _unreadable(name, "cannot be opened", _GIVE_FILE)


class Secrets:
    """Texts of rows that nobody but the provider is to read, as its database has them.

    :param seal: what they are sealed with; None: nothing, they are as they are.
    """

    def __init__(self, seal: Seal | None) -> None:
        self._seal = seal

    def keep(self, name: str, secret: str) -> str:
        """A secret as the database has it.

        :param name: its row's, see `database.name_of_secret`.
        """
        if self._seal is None:
            return secret
        return _MARK + self._seal.close(name, secret.encode())

    def read(self, name: str, kept: str) -> str:
        """What `keep` was called with.

        :raises StoreError: key-file-unreadable: this provider has not kept it like that.
        """
        # What is not sealed may be of anybody who can write to the database.
        if self._seal is not None and not kept.startswith(_MARK):
            raise _unreadable(name, "is not sealed", "seal what there is: `browserid-idp reseal`")
        return self._opened(name, kept)

    def keep_again(self, name: str, kept: str) -> str:
        """A secret as the database is to have it, whether or not it was sealed before.

        :raises StoreError: key-file-unreadable: it is sealed with a key that is not here.
        """
        return self.keep(name, self._opened(name, kept))

    def _opened(self, name: str, kept: str) -> str:
        if not kept.startswith(_MARK):
            return kept
        if self._seal is None:
            raise _unreadable(name, "is sealed", _NAME_FILE)
        return self._seal.open(name, kept.removeprefix(_MARK)).decode()


def _octets(sealed: str) -> bytes:
    try:
        return b64.decode(sealed, "a sealed secret")
    except BrowserIDError:
        # It was changed, as what has another key is.
        return b""


_GIVE_FILE: Final = "give this host the `key_encryption_file` that it was sealed with"
_NAME_FILE: Final = "name the file that it was sealed with, `key_encryption_file` in [idp]"


def _unreadable(name: str, why: str, remedy: str) -> StoreError:
    return StoreError(Code.KEY_FILE_UNREADABLE, f"the secret {name} in the database {why}", remedy)


def _unfit(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the key file {file} cannot be used ({why})",
        "make one for all hosts with `openssl rand -base64 32`, mode 600, of the user the provider"
        " runs as",
    )
