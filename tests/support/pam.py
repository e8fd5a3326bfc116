"""PAM as the system has it, with accounts, services and secrets of a test's own.

A process sees them that has a view of the machine with another /etc. What it loads, pam_unix and
pam_oath (Debian: libpam-oath), is the system's.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.patience import PATIENCE

PASSWORD: Final = "a password at the desk"
SERVICE: Final = "browserid-idp"
LEAST_UID: Final = 1000

_OWN_ETC: Final = 'set -e; mount --bind "$1" /etc; shift; exec "$@"'
_LONG_AGO: Final = 18_000
_SECRET: Final = b"12345678901234567890"

_PASSWORD_ALONE: Final = """\
auth required pam_unix.so nodelay
account required pam_unix.so
password required pam_unix.so yescrypt
"""


def with_codes(secrets: Path) -> str:
    """A service that asks for a one-time password after the password."""
    return f"""\
auth requisite pam_unix.so nodelay
auth required pam_oath.so usersfile={secrets} window=5
account required pam_unix.so
password required pam_unix.so yescrypt
"""


def _line_of(name: str, uid: int) -> str:
    return f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin"


@dataclass
class Accounts:
    """The accounts of a system that is not this one.

    :param etc: for its /etc.
    """

    etc: Path
    people: dict[str, int] = field(default_factory=dict)
    shadow: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    added: int = 0

    def __post_init__(self) -> None:
        (self.etc / "pam.d").mkdir(parents=True)
        (self.etc / "security").mkdir()
        for name in ("ld.so.cache", "login.defs"):
            shutil.copy(Path("/etc", name), self.etc / name)
        (self.etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\n")
        self.serve(_PASSWORD_ALONE)
        self.secrets = self.etc / "oath"
        self.secrets.touch(0o600)
        self.add("root", uid=0)
        self.add("daemon", uid=1)

    @property
    def program_before(self) -> Sequence[str]:
        """What runs another program on that system."""
        return ("unshare", "--mount", "sh", "-c", _OWN_ETC, "sh", str(self.etc))

    def serve(self, text: str, service: str = SERVICE) -> None:
        """Have a service of PAM."""
        (self.etc / "pam.d" / service).write_text(text)

    def serve_codes(self) -> None:
        """Ask for a password, and for a one-time password after it."""
        self.serve(with_codes(Path("/etc/oath")))

    def add(self, name: str, uid: int | None = None, password: str = PASSWORD) -> str:
        """Add somebody, with the next number of a person's if none is given.

        :returns: their name.
        """
        self.added += 1
        self.people[name] = LEAST_UID + self.added if uid is None else uid
        hashed = _hashed(password)
        self.shadow[name] = [name, hashed, str(_LONG_AGO), "0", "99999", "7", "", "", ""]
        self._write()
        return name

    def remove(self, name: str) -> None:
        """Have nobody of the name."""
        del self.people[name], self.shadow[name]
        self._write()

    def expire_password(self, name: str) -> None:
        """Ask for a new password at the next sign-in."""
        self.shadow[name][2] = "0"
        self._write()

    def expire(self, name: str) -> None:
        """Let an account be none any more since yesterday's yesterday."""
        self.shadow[name][7] = "1"
        self._write()

    def renumber(self, name: str, uid: int) -> None:
        """Give the name to another account."""
        self.people[name] = uid
        self._write()

    def put_in_group(self, group: str, *names: str) -> None:
        """Have a group of these."""
        self.groups[group] = list(names)
        self._write()

    def give_secret(self, name: str) -> None:
        """Have somebody use one-time passwords."""
        with self.secrets.open("a") as file:
            file.write(f"HOTP {name} - {_SECRET.hex()}\n")

    def _write(self) -> None:
        def write(name: str, lines: list[str], mode: int = 0o644) -> None:
            path = self.etc / name
            path.touch(mode)
            path.write_text("".join(f"{line}\n" for line in lines))

        write("passwd", [_line_of(name, uid) for name, uid in self.people.items()])
        own = [f"{name}:x:{uid}:" for name, uid in self.people.items()]
        more = [f"{name}:x:{60_000 + n}:{','.join(m)}" for n, (name, m) in self._groups()]
        write("group", [*own, "shadow:x:42:", *more])
        write("shadow", [":".join(fields) for fields in self.shadow.values()], 0o600)

    def _groups(self) -> list[tuple[int, tuple[str, list[str]]]]:
        return list(enumerate(self.groups.items()))


def code(count: int) -> str:
    """A one-time password of those that `give_secret` has given, by its place (RFC 4226)."""
    secret = base64.b32encode(_SECRET).decode()
    command = ("oathtool", "--base32", "--hotp", f"--counter={count}", secret)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout.strip()


def _hashed(password: str) -> str:
    done = subprocess.run(
        ("openssl", "passwd", "-6", "-stdin"),
        input=password,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout.strip()
