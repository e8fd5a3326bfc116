"""Folders and files of stores: whose they are, whether they can be written, and their room."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from browserid_sasl.doctor.findings import Finding, bad, doubtful, good
from browserid_sasl.store.base import AcceptorStores, InitiatorStores

_LITTLE: Final = 50 << 20
_TOO_LITTLE: Final = 2 << 20
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

Look = Callable[[], AcceptorStores | InitiatorStores]


def store(check: str, file: Path, account: str, look: Look) -> Iterator[Finding]:
    """A store: its folder, and then what is in it.

    :param file: of the store, which need not be there yet.
    :param account: who has to own it.
    :param look: opens it to read from.
    """
    problems = list(folder(check, file.parent, account))
    yield from problems
    if any(each.verdict for each in problems):
        return
    # One that was there and is gone is missed.
    stores = look()
    for kept in (stores.tickets.all(0), stores.authorities.all(0)):
        list(kept)
    if file.exists():
        yield good(check, f"{file} is sound")


def folder(check: str, path: Path, account: str) -> Iterator[Finding]:
    """A folder that has to be one account's alone, and have room."""
    if not path.exists():
        yield from _missing(check, path)
        return
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        yield bad(check, f"{path} is no folder", f"mv {path} {path}.old")
    elif _name_of(status.st_uid) != account:
        yield bad(
            check,
            f"{path} belongs to {_name_of(status.st_uid)}, and has to belong to {account}",
            f"chown -R {account} {path}",
        )
    elif status.st_mode & _OF_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        yield bad(
            check, f"{path} is accessible to other users (mode {mode:o})", f"chmod 700 {path}"
        )
    elif _is_read_only(path, account):
        yield bad(
            check,
            f"{path} cannot be written to",
            f"chmod u+rwx {path}, or mount its file system read-write",
        )
    else:
        yield room(check, path)


def room(check: str, path: Path) -> Finding:
    """How much may still be written in a folder."""
    free = shutil.disk_usage(path).free
    said = f"{free >> 20} MB are free on the disk of {path}"
    if free < _TOO_LITTLE:
        return bad(check, said, "make room there: without it, nobody can log in")
    if free < _LITTLE:
        return doubtful(check, said, "make room there before there is none")
    return good(check, f"{path} can be written to, {said}")


def account_name() -> str:
    """The account that this runs as."""
    return _name_of(os.geteuid())


def _missing(check: str, path: Path) -> Iterator[Finding]:
    above = next((each for each in path.parents if each.exists()), Path("/"))
    if not above.is_dir():
        yield bad(check, f"{path} cannot be made: {above} is no folder", f"mv {above} {above}.old")
    elif os.access(above, os.W_OK):
        yield good(check, f"{path} is not there yet, and can be made")
    else:
        yield bad(
            check,
            f"{path} is not there, and {above} cannot be written to",
            f"install -d -m 700 {path}",
        )


def _is_read_only(path: Path, account: str) -> bool:
    read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    owner_may = path.stat().st_mode & stat.S_IRWXU == stat.S_IRWXU
    return (
        read_only or not owner_may or (account == account_name() and not os.access(path, os.W_OK))
    )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
