"""A program that talks to PAM about one person once, and ends.

Modules of PAM are other people's code: they wait, hang, crash, and keep what they are told in their
memory. So each conversation has a process of its own, this one, which the provider starts, bounds
and kills (`child_process`). It loads nothing but the standard library, and is started by its path.

Libraries that are there do less than it takes. python-pam answers every question with the one
password, whatever is asked, and pamela changes an expired password in a conversation of its own,
which does not know the one that was just given. What is left is seven functions of libpam, called
by ctypes: if that goes wrong, it is this process that crashes.

It is spoken to on the socket that is its standard input, by lines of JSON: what to do comes in,
then questions go out and answers come in by turns, then the result goes out.
"""

from __future__ import annotations

import ctypes
import grp
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import IO, Any, Final, NoReturn

# Results of security/_pam_types.h of Linux-PAM.
SUCCESS: Final = 0
NEW_AUTHTOK_REQD: Final = 12
_CONV_ERR: Final = 19
_ABORT: Final = 26

HIDDEN: Final = 1
SHOWN: Final = 2
ERROR: Final = 3
INFO: Final = 4
"""How a message is meant."""

_CHANGE_EXPIRED: Final = 0x20
_USER: Final = 2
_TTY: Final = 3

_MOST_MESSAGES: Final = 16
_MOST_CHARACTERS: Final = 512
_MOST_LINE: Final = 65_536
_FOLDERS: Final = ("/etc/pam.d", "/usr/etc/pam.d", "/usr/lib/pam.d")
NOBODY: Final = "(nobody)"
"""Whom modules are asked about in place of somebody who may not get in: they take as long then, and
ask for the same. No account can have this name."""


class _Message(ctypes.Structure):
    _fields_ = [("style", c_int), ("text", c_char_p)]


class _Response(ctypes.Structure):
    _fields_ = [("text", c_void_p), ("unused", c_int)]


_CONVERSE = CFUNCTYPE(
    c_int, c_int, POINTER(POINTER(_Message)), POINTER(POINTER(_Response)), c_void_p
)


class _Conversation(ctypes.Structure):
    _fields_ = [("function", _CONVERSE), ("data", c_void_p)]


class _Account(ctypes.Structure):
    """`struct passwd` of glibc and musl."""

    _fields_ = [
        *(("name", c_char_p), ("password", c_char_p)),
        *(("uid", c_uint32), ("gid", c_uint32)),
        *(("gecos", c_char_p), ("home", c_char_p), ("shell", c_char_p)),
    ]


class _UnavailableError(Exception):
    """It cannot be found out."""


class _Provider:
    """Who has started this program.

    :param lines: from and to it.
    :param step: s that it takes at the most until modules say something.
    :param patience: s that a person has for an answer.
    """

    def __init__(self, lines: IO[str], step: int, patience: int) -> None:
        self._lines = lines
        self._step = step
        self._patience = patience

    def ask(self, messages: Sequence[tuple[int, str]]) -> list[str]:
        """Show messages; what was answered to those that ask for something.

        Whoever does not answer has gone away, and so do we.
        """
        # The provider has the same limits, and kills. These are for when it is not there any more.
        asks = any(style in (HIDDEN, SHOWN) for style, _ in messages)
        signal.alarm(self._patience if asks else self._step)
        self.say(messages=messages)
        if not asks:
            return []
        answers: list[str] = json.loads(self._read())["answers"]
        signal.alarm(self._step)
        return answers

    def say(self, **members: object) -> None:
        self._lines.write(json.dumps(members) + "\n")
        self._lines.flush()

    def _read(self) -> str:
        line = self._lines.readline(_MOST_LINE)
        if not line.endswith("\n"):
            os._exit(1)
        return line


class _Pam:
    """A transaction of libpam with one service about one user."""

    def __init__(self, service: str, user: str, provider: _Provider) -> None:
        self._library = ctypes.CDLL("libpam.so.0")
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = c_void_p
        self._libc.calloc.argtypes = [c_size_t, c_size_t]
        self._library.pam_strerror.restype = c_char_p
        self._provider = provider
        # Kept for as long as libpam may call it.
        self._conversation = _Conversation(_CONVERSE(self._converse), None)
        self._handle = c_void_p()
        self._need(
            self._library.pam_start(
                service.encode(), user.encode(), byref(self._conversation), byref(self._handle)
            )
        )
        # Some modules look for a terminal, and fail where there is no name of one.
        self._need(self._library.pam_set_item(self._handle, _TTY, b"browserid"))

    def authenticate(self) -> int:
        return int(self._library.pam_authenticate(self._handle, 0))

    def account(self) -> int:
        return int(self._library.pam_acct_mgmt(self._handle, 0))

    def change_expired(self) -> int:
        return int(self._library.pam_chauthtok(self._handle, _CHANGE_EXPIRED))

    def user(self) -> str:
        """Whom modules have found, which may be another one than was asked for."""
        item = c_char_p()
        self._need(self._library.pam_get_item(self._handle, _USER, byref(item)))
        return (item.value or b"").decode("utf-8", "replace")

    def end(self, result: int) -> None:
        self._library.pam_end(self._handle, result)

    def meaning(self, result: int) -> str:
        text: bytes = self._library.pam_strerror(self._handle, result)
        return text.decode("utf-8", "replace")

    def _need(self, result: int) -> None:
        if result != SUCCESS:
            raise _UnavailableError(f"libpam does not begin ({result})")

    def _converse(self, count: int, messages: Any, responses: Any, _: object) -> int:
        try:
            if not 0 < count <= _MOST_MESSAGES:
                return _CONV_ERR
            read = [(messages[n].contents.style, _text(messages[n].contents)) for n in range(count)]
            if any(style not in (HIDDEN, SHOWN, ERROR, INFO) for style, _ in read):
                return _CONV_ERR
            answers = self._provider.ask(read)
            responses[0] = self._responses([style for style, _ in read], answers)
        except (OSError, ValueError, LookupError):
            return _CONV_ERR
        return SUCCESS

    def _responses(self, styles: Sequence[int], answers: list[str]) -> Any:
        """Memory of malloc's, which libpam's caller frees."""
        made = self._libc.calloc(len(styles), ctypes.sizeof(_Response))
        array = ctypes.cast(made, POINTER(_Response))
        left = iter(answers)
        for place, style in enumerate(styles):
            if style in (HIDDEN, SHOWN):
                octets = next(left, "").encode() + b"\0"
                array[place].text = self._libc.calloc(len(octets), 1)
                ctypes.memmove(array[place].text, octets, len(octets))
        return array


def _text(message: _Message) -> str:
    return (message.text or b"").decode("utf-8", "replace")[:_MOST_CHARACTERS]


def _account(user: str) -> tuple[int, int] | None:
    """Number and group of an account, None if there is none of exactly this name.

    Python's `pwd` has the same error for an account that is not there and for a database that
    cannot be asked, which would end what somebody has.
    """
    libc = ctypes.CDLL(None)
    found, buffer = POINTER(_Account)(), (c_char * _MOST_LINE)()
    account = _Account()
    status = libc.getpwnam_r(
        user.encode(), byref(account), buffer, c_size_t(len(buffer)), byref(found)
    )
    if status != 0:
        raise _UnavailableError(f"the system's accounts cannot be asked ({os.strerror(status)})")
    if not found or account.name != user.encode():
        return None
    return account.uid, account.gid


def _is_admitted(user: str, gid: int, groups: Sequence[str]) -> bool:
    try:
        admitted = [grp.getgrnam(group).gr_gid for group in groups]
    except KeyError as error:
        raise _UnavailableError(f"a group cannot be found: {error.args[0]}") from None
    return not groups or not set(admitted).isdisjoint(os.getgrouplist(user, gid))


def _check_service(service: str) -> None:
    # Without one libpam takes the service `other`, which may let in whom nobody has thought of.
    if not any(os.path.isfile(os.path.join(folder, service)) for folder in _FOLDERS):
        raise _UnavailableError(f"there is no file {_FOLDERS[0]}/{service}")


def _decide(task: dict[str, Any], provider: _Provider) -> dict[str, object]:
    """What has come of it: up to which step, with what result, and about which account."""
    user = task["user"]
    _check_service(task["service"])
    account = _account(user) if user else None
    able = account is not None and account[0] >= task["least_uid"]
    if not able and task["check"]:
        return {"step": "account", "known": False}
    provider.say(known=able)
    pam = _Pam(task["service"], user if able else NOBODY, provider)
    step, result = _ask(pam, check=task["check"])
    said = {"step": step, "result": result, "meaning": pam.meaning(result), "known": able}
    if account is None or not able:
        # Whatever modules say of nobody.
        return said | {"step": "password", "result": result or _ABORT}
    if result == SUCCESS:
        # A module may have put somebody else in the place of who was asked about.
        said["same"] = pam.user() == user
        said["admitted"] = _is_admitted(user, account[1], task["groups"])
        said["uid"] = account[0]
    pam.end(result)
    return said


def _ask(pam: _Pam, *, check: bool) -> tuple[str, int]:
    # The password comes first: without it nobody learns what else is wrong.
    if not check and (result := pam.authenticate()) != SUCCESS:
        return "password", result
    result = pam.account()
    if result != NEW_AUTHTOK_REQD or check:
        return "account", result
    if (result := pam.change_expired()) != SUCCESS:
        return "change", result
    return "account", pam.account()


def _quietly(work: Callable[[], dict[str, object]]) -> dict[str, object]:
    try:
        return work()
    except (_UnavailableError, OSError) as error:
        return {"unavailable": str(error)}


def main() -> NoReturn:
    """Do what the provider says on standard input, and end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own = socket.socket(fileno=os.dup(0))
    # Programs that modules start have no part in this, and what they print is no answer.
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.set_inheritable(own.fileno(), False)
    lines = own.makefile("rw", encoding="utf-8", newline="\n")
    task = json.loads(lines.readline(_MOST_LINE))
    signal.alarm(task["step"])
    provider = _Provider(lines, task["step"], task["patience"])
    provider.say(**_quietly(lambda: _decide(task, provider)))
    # Without the work of modules that would be unloaded now, and may hang in it.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
