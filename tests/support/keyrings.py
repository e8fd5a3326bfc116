"""Keyrings for tests, by the name that `PYTHON_KEYRING_BACKEND` takes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

SetVariable = Callable[[str, str], None]

_ROOT = Path(__file__).parents[2]


def variables(folder: Path, name: str = "Working") -> Mapping[str, str]:
    """The environment of a program that finds one of these, and a bus that it could be at.

    :param folder: where it keeps its secrets, in `keyring.json`.
    """
    return {
        "TEST_KEYRING": str(folder / "keyring.json"),
        "PYTHONPATH": str(_ROOT),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "PYTHON_KEYRING_BACKEND": f"{__name__}.{name}",
    }


def use(setenv: SetVariable, folder: Path) -> Path:
    """Have this process use the one that works; the file that it keeps its secrets in."""
    for name, value in variables(folder).items():
        setenv(name, value)
    return folder / "keyring.json"


def choose(setenv: SetVariable, name: str) -> None:
    """Have this process use another one of these."""
    setenv("PYTHON_KEYRING_BACKEND", f"{__name__}.{name}")


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
