"""Who the service runs as: it begins as root, or with some of root's rights, and gives them up."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from browserid_sasl.acceptor import capabilities
from browserid_sasl.config import Config


@dataclass(frozen=True, slots=True)
class Account:
    """Who the service runs as.

    :param name: of the account.
    :param uid: its number.
    :param gid: its group's.
    """

    name: str
    uid: int
    gid: int


def account_of(config: Config) -> Account:
    """Who the service is to run as.

    :raises ConfigurationError: if there is no such account, or it is not ours to become.
    """
    name = config.acceptor.user
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:
        if not name:
            return Account(str(os.geteuid()), os.geteuid(), os.getegid())
        raise config.error(
            "acceptor.user",
            f"there is no account {name}",
            f"adduser --system --group --no-create-home {name}",
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise config.error(
            "acceptor.user", f"only root can become {name}", "start it as root, or leave it out"
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def become(account: Account) -> None:
    """Give up root's rights for good.

    :raises OSError: if that is not possible.
    """
    if os.geteuid() == account.uid:
        if account.uid != 0:
            capabilities.give_up()
        return
    os.initgroups(account.name, account.gid)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Do without root's rights within the block.

    What is in the account's own folders may be put there to have root open or give away another
    file than it means to.
    """
    if os.geteuid() == account.uid:
        with nullcontext() if account.uid == 0 else capabilities.do_without():
            yield
        return
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
