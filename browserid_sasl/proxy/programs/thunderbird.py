"""An account put into a profile of Thunderbird's, which does not run meanwhile.

Thunderbird keeps its accounts in ``prefs.js`` and writes that file when it ends. ``user.js`` would
be read over it at each start, and take away whatever account is added later by hand; so the account
goes where Thunderbird itself would put it, and so does its password. Where that cannot be,
Thunderbird asks for it once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, StoreError
from browserid_sasl.private_files import write_atomically
from browserid_sasl.proxy.accounts import Kind
from browserid_sasl.proxy.programs.logins import Logins
from browserid_sasl.proxy.programs.settings import LOOPBACK, Settings

_FILE: Final = "prefs.js"
_HEADER: Final = "// Mozilla User Preferences\n\n"
_MAX_SIZE: Final = 16_777_216
_PREF: Final = re.compile(r'^user_pref\("([^"\\]+)", (.*)\);\s*$', re.MULTILINE)
_NUMBERED: Final = re.compile(
    r"mail\.(?:account\.account|server\.server|identity\.id|smtpserver\.smtp)([0-9]{1,9})\."
)
_PASSWORD_IN_THE_CLEAR: Final = 3
"""nsMsgAuthMethod::passwordCleartext: a normal password, on a connection without TLS."""

_HOST: Final = re.compile(r"mail\.server\.server[0-9]+\.hostname")
_ACCOUNTS: Final = "mail.accountmanager.accounts"
_DEFAULT_ACCOUNT: Final = "mail.accountmanager.defaultaccount"
_SMTP_SERVERS: Final = "mail.smtpservers"
_DEFAULT_SMTP: Final = "mail.smtp.defaultserver"
_PROFILES: Final = (".thunderbird", "snap/thunderbird/common/.thunderbird")

Value = str | int | bool


class Profile:
    """A profile.

    :param folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Final = folder / _FILE
        self._folder = folder
        self._logins = Logins(folder)

    @classmethod
    def find(cls, home: Path) -> Profile:
        """The only profile of a person's, or the one that Thunderbird starts with.

        :raises LocalProtocolError: it is not clear which, or there is none.
        """
        places = [home / each for each in _PROFILES]
        found = sorted({each.parent for place in places for each in place.glob("*/prefs.js")})
        chosen = [each for each in found if each.name.endswith(".default-release")] or found
        if len(chosen) == 1:
            return cls(chosen[0])
        listed = ", ".join(map(str, chosen)) or f"{places[0]} has none"
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"it is not clear which profile of Thunderbird's is meant: {listed}",
            "start Thunderbird once if it never was, or name the folder by `--profile`",
        )

    def check(self, settings: Settings) -> None:
        """See that the account can be put into it.

        :raises LocalProtocolError: Thunderbird runs, it has the account already, or the account has
            no service that Thunderbird fetches from.
        :raises StoreError: it cannot be read.
        """
        with self._locked():
            self._added(settings)

    def add(self, settings: Settings) -> str:
        """Put the account into it, and its password; why Thunderbird asks for that, or nothing.

        :raises LocalProtocolError: see `check`.
        :raises StoreError: it cannot be written.
        """
        with self._locked():
            text = self._added(settings)
            asks = self._keep_password(settings)
            try:
                write_atomically(self.path, text.encode())
            except OSError as error:
                raise _unusable(self.path, error) from None
            return asks

    def _keep_password(self, settings: Settings) -> str:
        try:
            self._logins.put(_places(settings), settings.user, settings.ask())
        except BrowserIDError as error:
            return f"Thunderbird will ask for the password once: {error}"
        return ""

    def _added(self, settings: Settings) -> str:
        text = self._read()
        if _has(text, settings):
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{self.path} has an account {settings.user} at {LOOPBACK} already",
                "remove it in Thunderbird first",
            )
        return _with(text, settings)

    def _read(self) -> str:
        try:
            with self.path.open("rb") as file:
                octets = file.read(_MAX_SIZE + 1)
            if len(octets) > _MAX_SIZE:
                # What is not read would be lost when it is written.
                raise StoreError(
                    Code.BUFFER_TOO_LONG,
                    f"{self.path} has more than {_MAX_SIZE} octets",
                    "see what has become of the profile",
                )
            return octets.decode()
        except FileNotFoundError:
            return _HEADER
        except OSError as error:
            raise _unusable(self.path, error) from None
        except UnicodeDecodeError:
            raise StoreError(
                Code.CACHE_ERROR, f"{self.path} is no text", "see what has become of the profile"
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep Thunderbird from starting with it (nsProfileLock).

        :raises LocalProtocolError: it has the profile already, or there is no profile.
        """
        if not self._folder.is_dir():
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                f"{self._folder} is no folder of a profile",
                "name one that Thunderbird has made, or make the folder",
            )
        try:
            lock = os.open(
                self._folder / ".parentlock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _unusable(self._folder / ".parentlock", error) from None
        try:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise LocalProtocolError(
                    Code.UNAVAILABLE,
                    f"Thunderbird is running with the profile {self._folder}",
                    "close it first: it would write over what is put there",
                ) from None
            yield
        finally:
            os.close(lock)


def _known(text: str) -> dict[str, Value]:
    """The preferences in a file; values that nobody here writes are left out."""
    known: dict[str, Value] = {}
    for name, value in _PREF.findall(text):
        # Thunderbird escapes as JSON does.
        with suppress(ValueError):
            known[name] = json.loads(value)
    return known


def _has(text: str, settings: Settings) -> bool:
    known = _known(text)
    return any(
        known.get(name) == LOOPBACK
        and known.get(name.replace(".hostname", ".userName")) == settings.user
        for name in known
        if _HOST.fullmatch(name)
    )


def _with(text: str, settings: Settings) -> str:
    known = _known(text)
    number = max((int(each) for each in _NUMBERED.findall("\n".join(known))), default=0) + 1
    new = _lists(known, settings, number) | _prefs(settings, number)
    kept = [line for line in text.splitlines() if not _is_of(line, new)]
    added = (
        f"user_pref({json.dumps(name)}, {json.dumps(value)});"
        for name, value in sorted(new.items())
    )
    return "\n".join((*kept, *added, ""))


def _lists(known: Mapping[str, Value], settings: Settings, number: int) -> dict[str, Value]:
    """What names all accounts, with one more."""
    lists: dict[str, Value] = {
        _ACCOUNTS: _longer(known.get(_ACCOUNTS), f"account{number}"),
        "mail.account.lastKey": number,
    }
    if _DEFAULT_ACCOUNT not in known:
        lists[_DEFAULT_ACCOUNT] = f"account{number}"
    if settings.account.service(Kind.SUBMISSION) is not None:
        lists[_SMTP_SERVERS] = _longer(known.get(_SMTP_SERVERS), f"smtp{number}")
        if _DEFAULT_SMTP not in known:
            lists[_DEFAULT_SMTP] = f"smtp{number}"
    return lists


def _is_of(line: str, names: Mapping[str, object]) -> bool:
    match = _PREF.match(line)
    return match is not None and match.group(1) in names


def _longer(before: Value | None, key: str) -> str:
    return ",".join((*filter(None, str(before or "").split(",")), key))


def _prefs(settings: Settings, number: int) -> dict[str, Value]:
    imap = settings.account.service(Kind.IMAP) is not None
    kind = Kind.IMAP if imap else Kind.POP
    server, identity = f"mail.server.server{number}", f"mail.identity.id{number}"
    prefs: dict[str, Value] = {
        f"mail.account.account{number}.server": f"server{number}",
        f"mail.account.account{number}.identities": f"id{number}",
        f"{server}.type": "imap" if imap else "pop3",
        f"{server}.name": settings.user,
        f"{server}.hostname": LOOPBACK,
        f"{server}.port": settings.port(kind),
        f"{server}.userName": settings.user,
        f"{server}.socketType": 0,
        f"{server}.authMethod": _PASSWORD_IN_THE_CLEAR,
        f"{server}.login_at_startup": True,
        f"{server}.check_new_mail": True,
        f"{identity}.useremail": settings.account.identity,
        f"{identity}.fullName": settings.account.identity.rpartition("@")[0],
        f"{identity}.valid": True,
    }
    if settings.account.service(Kind.SUBMISSION) is None:
        return prefs
    smtp = f"mail.smtpserver.smtp{number}"
    return prefs | {
        f"{identity}.smtpServer": f"smtp{number}",
        f"{smtp}.hostname": LOOPBACK,
        f"{smtp}.port": settings.port(Kind.SUBMISSION),
        f"{smtp}.username": settings.user,
        f"{smtp}.try_ssl": 0,
        f"{smtp}.authMethod": _PASSWORD_IN_THE_CLEAR,
        f"{smtp}.description": settings.user,
    }


def _places(settings: Settings) -> tuple[str, ...]:
    """What Thunderbird calls the servers that it has passwords for."""
    imap = settings.account.service(Kind.IMAP) is not None
    incoming = f"{'imap' if imap else 'mailbox'}://{LOOPBACK}"
    if settings.account.service(Kind.SUBMISSION) is None:
        return (incoming,)
    return incoming, f"smtp://{LOOPBACK}"


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        Code.CACHE_ERROR,
        f"{path} cannot be used ({error.strerror or error})",
        "see that the folder is yours, and that there is room on the disk",
    )
