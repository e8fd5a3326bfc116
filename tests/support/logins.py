"""Mail programs in somebody's home, and servers that see who logs in, and let nobody."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from browserid_sasl.proxy.accounts import Kind
from tests.support.patience import PATIENCE

SECRET: Final = "vEryRand0mPassw0rd123456"
"""What the command `browserid` in these homes says is the password."""


class LoginServer:
    """Takes one login after another, and refuses what is asked after it.

    :param kind: IMAP, POP or SMTP.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.logins: list[tuple[str, str]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            with connection, connection.makefile("rwb", buffering=0) as file, suppress(OSError):
                self._talk(file)

    def _talk(self, file: object) -> None:
        lines = {Kind.IMAP: self._imap, Kind.POP: self._pop, Kind.SUBMISSION: self._smtp}
        lines[self._kind](file)

    def _imap(self, file: object) -> None:
        say, hear = _ends(file)
        say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready")
        while line := hear():
            tag, _, rest = line.partition(" ")
            verb = rest.partition(" ")[0].upper()
            if verb == "CAPABILITY":
                say("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR")
                say(f"{tag} OK done")
            elif verb == "LOGIN":
                self.logins.append(_login_of(rest[6:], say, hear))
                say(f"{tag} NO no more")
            elif verb == "AUTHENTICATE":
                self._plain(rest, lambda: say("+ "), hear)
                say(f"{tag} NO no more")
            else:
                say(f"{tag} BAD no")
                return

    def _pop(self, file: object) -> None:
        say, hear = _ends(file)
        say("+OK ready")
        user = ""
        while line := hear():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "CAPA":
                say("+OK\r\nUSER\r\n.")
            elif verb.upper() == "USER":
                user = rest
                say("+OK")
            elif verb.upper() == "PASS":
                self.logins.append((user, rest))
                say("-ERR no more")
            else:
                say("-ERR no")

    def _smtp(self, file: object) -> None:
        say, hear = _ends(file)
        say("220 ready")
        while line := hear():
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO":
                say("250-here\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                self._plain(line, lambda: say("334 "), hear)
                say("535 no more")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("502 no")

    def _plain(self, line: str, ask: Callable[[], None], hear: Callable[[], str]) -> None:
        words = line.split()
        if len(words) < 3:
            ask()
        message = base64.b64decode(words[2] if len(words) > 2 else hear()).decode()
        _, user, password = message.split("\0")
        self.logins.append((user, password))


def _ends(file: object) -> tuple[Callable[[str], None], Callable[[], str]]:
    def say(text: str) -> None:
        file.write(f"{text}\r\n".encode())  # type: ignore[attr-defined]

    def hear() -> str:
        line: bytes = file.readline(8192)  # type: ignore[attr-defined]
        return line.decode().rstrip("\r\n")

    return say, hear


def _login_of(text: str, say: Callable[[str], None], hear: Callable[[], str]) -> tuple[str, str]:
    """The two strings of IMAP's LOGIN: atoms, quoted, or literals (RFC 9051 section 4.3)."""
    strings: list[str] = []
    while len(strings) < 2:
        text = text.lstrip(" ")
        if text.startswith("{"):
            size = int(text[1:].rstrip("}+"))
            say("+ go on")
            octets = hear().encode()
            strings.append(octets[:size].decode())
            text = octets[size:].decode()
        elif text.startswith('"'):
            end, found = 1, ""
            while text[end] != '"':
                end += text[end] == "\\"
                found += text[end]
                end += 1
            strings.append(found)
            text = text[end + 1 :]
        else:
            atom, _, text = text.partition(" ")
            strings.append(atom)
    return strings[0], strings[1]


class Desk:
    """Somebody's home, and the programs in it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._programs = folder / "bin"
        for each in (self.home, self._programs, self.home / "Mail"):
            each.mkdir(mode=0o700)

    def knows(self, name: str) -> None:
        """Have a command `browserid` that gives the password of this account, and of no other."""
        file = self._programs / "browserid"
        wanted = repr(["mail", "password", name])
        file.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"print({SECRET!r}) if sys.argv[1:] == {wanted} else sys.exit('who?')\n"
        )
        file.chmod(0o755)

    def write(self, name: str, octets: bytes) -> Path:
        """A file that only its owner can read."""
        file = self.home / name
        file.write_bytes(octets)
        file.chmod(0o600)
        return file

    def run(self, *command: str) -> str:
        """Run a program, whatever comes of it."""
        done = subprocess.run(
            command,
            env={
                "HOME": str(self.home),
                "PATH": f"{self._programs}:{os.environ['PATH']}",
                "LANG": "C.UTF-8",
                "TERM": "vt100",
            },
            input=b"Subject: a\n\nb\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            check=False,
        )
        return done.stdout.decode(errors="replace")


def serving(kind: Kind) -> Iterator[LoginServer]:
    server = LoginServer(kind)
    try:
        yield server
    finally:
        server.close()


def primary_password(profile: Path) -> None:
    """Give a profile of Thunderbird's one."""
    (profile / "new").write_text("a primary password\n")
    command = ("certutil", "-N", "-d", f"sql:{profile}", "-f", profile / "new")
    subprocess.run(command, check=True, capture_output=True)
