"""What `root` does in a folder of another user, it does as that user.

So everything it leaves there belongs to the user the provider runs as, and a link that this user
has put there leads `root` to nothing that the user could not have reached.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from browserid_sasl.errors import ConfigurationError


def become_owner_of(path: Path) -> None:
    """Where this process runs as root, go on as the owner of a folder, for good.

    :param path: of the folder. If it is not there, the owner of the one it would be made in counts.
    :raises ConfigurationError: the process may not become another user.
    """
    if os.geteuid() != 0:
        return
    owner = _owner_of(path)
    if owner.st_uid == 0:
        return
    try:
        _become(owner.st_uid, owner.st_gid)
    except OSError as error:
        raise ConfigurationError(
            f"{path} belongs to the user with number {owner.st_uid}, and this process may not"
            f" become that user ({error.strerror})",
            "run this as the user the provider runs as",
        ) from None


def _owner_of(path: Path) -> os.stat_result:
    for folder in (path, *path.parents):
        try:
            return os.stat(folder)
        except OSError:
            continue
    return os.stat("/")


def _become(user: int, group_of_folder: int) -> None:
    try:
        entry = pwd.getpwuid(user)
        group, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        group, groups = group_of_folder, []
    # The user last: after that the others could not be changed any more.
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
