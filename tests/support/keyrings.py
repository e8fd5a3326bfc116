"""Keyrings for tests, by the name that `PYTHON_KEYRING_BACKEND` takes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class Working(KeyringBackend):
    """Keeps secrets in the file that `TEST_KEYRING` names."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        secret: str | None = self._read().get(f"{service} {username}")
        return secret

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write(self._read() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        secrets = self._read()
        if secrets.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError
        self._write(secrets)

    def _read(self) -> dict[str, str]:
        file = Path(os.environ["TEST_KEYRING"])
        secrets: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return secrets

    def _write(self, secrets: dict[str, str]) -> None:
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps(secrets))


class Hanging(Working):
    """Waits for somebody who does not come."""

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(120)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        time.sleep(120)


class Locked(Working):
    """Is locked."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked


class Broken(Working):
    """Raises what nobody expects."""

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError


class Forgetful(Working):
    """Takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return
