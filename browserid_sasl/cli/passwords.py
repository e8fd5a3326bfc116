"""Passwords from a person or, for scripts, from a file or a file descriptor.

They are never taken from the command line or the environment, where other processes see them.
"""

from __future__ import annotations

import getpass
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from browserid_sasl.errors import Code, CredentialError

_MAX_LENGTH: Final = 4096
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where a password comes from: the terminal if there is neither a file nor a descriptor.

    :param file: whose first line it is.
    :param descriptor: an open one; what is read from it up to the end of the line.
    :param known: what was read before, secret.
    """

    file: Path | None = None
    descriptor: int | None = None
    known: str | None = field(default=None, repr=False)

    def opened(self) -> PasswordSource:
        """The same with its file read, for a process that is about to become another user.

        :raises CredentialError: interact-failure when there is no password in the file.
        """
        return replace(self, known=self.read("")) if self.file is not None else self

    def read(self, prompt: str, *, confirm: bool = False) -> str:
        """The password.

        :param prompt: what a person is asked for.
        :param confirm: whether a person has to type it twice.
        :raises CredentialError: interact-unavailable when there is no terminal to ask at,
            interact-failure when what was given is no password.
        """
        if self.known is not None:
            return self.known
        if self.file is not None:
            return _text(_read_file(self.file), str(self.file))
        if self.descriptor is not None:
            return _text(_read_line(self.descriptor), f"file descriptor {self.descriptor}")
        return _ask(prompt, confirm=confirm)


def password_options(function: F) -> F:
    """Add ``--password-file`` and ``--password-fd``."""
    file = click.option(
        "--password-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="File with the password in its first line, which only you can read.",
    )
    descriptor = click.option(
        "--password-fd",
        metavar="N",
        type=click.IntRange(min=0),
        help="Open file descriptor to read the password from, up to the end of the line.",
    )
    return file(descriptor(function))


def password_source(file: Path | None, descriptor: int | None) -> PasswordSource:
    """What the options of `password_options` say.

    :raises click.UsageError: both are given.
    """
    if file is not None and descriptor is not None:
        raise click.UsageError("--password-file and --password-fd exclude each other")
    return PasswordSource(file, descriptor)


def _read_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(f"the password file {path} cannot be read ({error.strerror})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(
                f"the password file {path} is not an ordinary file",
                "to read from a pipe, use --password-fd",
            )
        if status.st_mode & _OF_OTHERS:
            raise _unusable(
                f"others than its owner may use the password file {path}", f"chmod 600 {path}"
            )
        return _read_line(descriptor)
    finally:
        os.close(descriptor)


def _read_line(descriptor: int) -> bytes:
    line = b""
    try:
        while b"\n" not in line and len(line) <= _MAX_LENGTH:
            octets = os.read(descriptor, _MAX_LENGTH + 1 - len(line))
            if not octets:
                break
            line += octets
    except OSError as error:
        raise _unusable(
            f"no password can be read from file descriptor {descriptor} ({error.strerror})",
            f"open it, as a shell does with {descriptor}< FILE",
        ) from None
    return line.partition(b"\n")[0].removesuffix(b"\r")


def _text(octets: bytes, where: str) -> str:
    try:
        # Some editors write a mark before the first character, which nobody has typed.
        password = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unusable(f"the password in {where} is not UTF-8") from None
    if not password or len(octets) > _MAX_LENGTH:
        raise _unusable(f"there is no password in the first line of {where}")
    return password


def _ask(prompt: str, *, confirm: bool) -> str:
    try:
        with warnings.catch_warnings():
            # What getpass warns of is that it cannot switch the echo off.
            warnings.simplefilter("error", getpass.GetPassWarning)
            password = getpass.getpass(f"{prompt}: ")
            again = getpass.getpass(f"{prompt} again: ") if confirm else password
    except (getpass.GetPassWarning, EOFError, OSError):
        raise CredentialError(
            Code.INTERACT_UNAVAILABLE,
            "there is no terminal to ask for the password at",
            "use --password-file or --password-fd",
        ) from None
    if not password:
        raise _unusable("no password was given")
    if password != again:
        raise _unusable("the two passwords differ")
    return password


def _unusable(message: str, remedy: str = "") -> CredentialError:
    return CredentialError(Code.INTERACT_FAILURE, message, remedy)
