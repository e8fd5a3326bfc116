"""The sockets that programs connect to.

Who has claimed a socket (see `claims`) may replace its file that a dead acceptor left behind.
Somebody who answers there then is no acceptor of this store, and that is an error.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import socket
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from browserid_sasl.acceptor import notify
from browserid_sasl.acceptor.accounts import Account
from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.errors import ConfigurationError

DEFAULT_PATH: Final = "/run/browserid/acceptor"
BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel may have a lower limit (somaxconn)."""

_FIRST_DESCRIPTOR: Final = 3
"""See sd_listen_fds(3)."""

_KEPT: Final = "kept-"
"""How the names of descriptors begin that systemd keeps for us."""

_NOBODY: Final = 0o777
_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens.

    :param path: where it is.
    :param socket: it.
    :param options: what it is for.
    :param file: device and inode of the file that was made for it, None if we have made none.
    """

    path: str
    socket: socket.socket
    options: ListenerConfig
    file: tuple[int, int] | None = None


def wanted(config: Config) -> Mapping[str, ListenerConfig]:
    """The sockets that the configuration names."""
    return config.listeners or {DEFAULT_PATH: ListenerConfig()}


def inherited(config: Config) -> list[Listener]:
    """The sockets that systemd has made, or kept, for us (sd_listen_fds(3)).

    Those that it has kept since an acceptor before this one made them have their `file`.

    :raises ConfigurationError: if one is not a Unix socket that listens.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    names += [""] * (int(count) - len(names))
    return [_inherit(config, _FIRST_DESCRIPTOR + each, names[each]) for each in range(int(count))]


def keep(listener: Listener) -> None:
    """Have systemd keep a socket that we have made, so that programs that connect can wait.

    While the service starts again, nobody accepts, and nobody is turned away.
    """
    if listener.file is not None:
        notify.keep(listener.socket.fileno(), _kept_name(listener.file))


def _kept_name(file: tuple[int, int]) -> str:
    return _KEPT + "-".join(map(str, file))


def _file_of(name: str) -> tuple[int, int] | None:
    """Device and inode in the name of a socket that was kept; None for another name."""
    found = re.fullmatch(_KEPT + r"([0-9]{1,20})-([0-9]{1,20})", name)
    return (int(found[1]), int(found[2])) if found else None


def _inherit(config: Config, descriptor: int, name: str) -> Listener:
    try:
        os.set_inheritable(descriptor, False)
        listening = socket.socket(fileno=descriptor)
        listens = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        raise _not_a_listener(descriptor) from None
    if listening.family != socket.AF_UNIX or not listens:
        raise _not_a_listener(descriptor)
    listening.setblocking(False)
    path = listening.getsockname()
    options = config.listeners.get(path, ListenerConfig())
    return Listener(path, listening, options, _file_of(name))


def _not_a_listener(descriptor: int) -> ConfigurationError:
    return ConfigurationError(
        f"descriptor {descriptor} from systemd is not a Unix socket that listens",
        "use ListenStream= with a path in the .socket unit",
    )


def bind(
    config: Config, path: str, options: ListenerConfig, account: Account, patience: float
) -> Listener:
    """Make a socket, which is claimed.

    :param patience: s to wait for somebody who is on its way out.
    :raises ConfigurationError: if that is not possible.
    """
    owner, group = _owner(config, path, options, account)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _provide_folder(Path(path).parent, account)
        _remove_dead(config, path, patience)
        # Nobody gets in before owner, group and mode are what they shall be.
        old = os.umask(_NOBODY)
        try:
            listening.bind(path)
        finally:
            os.umask(old)
        file = _settle(path, owner, group, options)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise section_error(
            config,
            path,
            f"the socket {path} cannot be made: {error.strerror}",
            "its folder has to be there, and writable for who starts the service",
        ) from None
    listening.setblocking(False)
    return Listener(path, listening, options, file)


def change(
    config: Config, listener: Listener, options: ListenerConfig, account: Account
) -> Listener:
    """Give a socket other options.

    :raises ConfigurationError: if owner, group or mode cannot be changed.
    """
    owner, group = _owner(config, listener.path, options, account)
    try:
        _settle(listener.path, owner, group, options)
    except OSError as error:
        raise section_error(
            config,
            listener.path,
            f"owner, group and mode of {listener.path} cannot be changed: {error.strerror}",
            "restart the service",
        ) from None
    return replace(listener, options=options)


def is_in_place(listener: Listener) -> bool:
    """Whether the file that was made for a socket is where it was made."""
    try:
        status = os.lstat(listener.path)
    except OSError:
        return False
    return listener.file == (status.st_dev, status.st_ino)


def remove(listener: Listener) -> None:
    """Close a socket, and remove its file if it is ours still and we may."""
    if listener.file is not None:
        notify.forget(_kept_name(listener.file))
    listener.socket.close()
    if is_in_place(listener):
        with suppress(OSError):
            os.unlink(listener.path)


def _settle(path: str, owner: int, group: int, options: ListenerConfig) -> tuple[int, int]:
    """Give a socket's file its owner, group and mode; its device and inode.

    The folder may be somebody else's, who could put another file in its place meanwhile: what is
    changed is what has been looked at, and it is a socket.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        place = f"/proc/self/fd/{descriptor}"
        if (status.st_uid, status.st_gid) != (owner, group):
            os.chown(place, owner, group)
        os.chmod(place, int(options.mode, 8))
        return status.st_dev, status.st_ino
    finally:
        os.close(descriptor)


def _provide_folder(folder: Path, account: Account) -> None:
    # Only what lies below /run is gone with each start of the machine; others are a mistake.
    if folder.parent == Path("/run") and not folder.exists():
        folder.mkdir()
        os.chown(folder, account.uid, account.gid)
        folder.chmod(0o755)


def _owner(config: Config, path: str, options: ListenerConfig, account: Account) -> tuple[int, int]:
    try:
        owner = pwd.getpwnam(options.owner).pw_uid if options.owner else account.uid
        group = grp.getgrnam(options.group).gr_gid if options.group else account.gid
    except KeyError as error:
        raise section_error(
            config,
            path,
            f"there is no such account or group: {error.args[0]}",
            "correct `owner` or `group`",
        ) from None
    return owner, group


def _remove_dead(config: Config, path: str, patience: float) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise section_error(
            config, path, f"{path} is there, and is no socket", "name another path, or remove it"
        )
    end = time.monotonic() + patience
    while _is_alive(path):
        if time.monotonic() >= end:
            raise section_error(
                config,
                path,
                f"somebody else listens on {path}",
                "stop the other service (fuser tells which), or name another path",
            )
        time.sleep(_PAUSE)
    with suppress(FileNotFoundError):
        os.unlink(path)


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        error = caller.connect_ex(path)
    return error not in (errno.ECONNREFUSED, errno.ENOENT)


def section_error(config: Config, path: str, message: str, remedy: str) -> ConfigurationError:
    """An error about a listener, with its place in the configuration."""
    prefix = f"listeners.{path}."
    option = next((name for name in config.origins if name.startswith(prefix)), "")
    return config.error(option, message, remedy)
