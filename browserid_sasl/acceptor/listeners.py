"""The sockets that programs connect to.

A socket belongs to one acceptor, and that is settled by a lock on a file in the folder of the
stores: it is held as long as any process of the acceptor lives. Who has the lock may replace a
socket's file that a dead acceptor left behind. A socket that somebody answers at, who cannot be
an acceptor then, is an error.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import hashlib
import os
import pwd
import socket
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from browserid_sasl.config import Config, ListenerConfig
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.private_files import PRIVATE_FILE, make_folders
from browserid_sasl.records import Record, replace

DEFAULT_PATH: Final = "/run/browserid/acceptor"
BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel may have a lower limit (somaxconn)."""

_LOCK_PATIENCE: Final = 10.0
"""Seconds that an acceptor which is on its way out has for it."""

_FIRST_DESCRIPTOR: Final = 3
"""See sd_listen_fds(3)."""


class Account(Record):
    """Who the service runs as.

    :param name: of the account.
    :param uid: its number.
    :param gid: its group's.
    """

    name: str
    uid: int
    gid: int


class Listener(Record):
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
        return
    os.initgroups(account.name, account.gid)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def wanted(config: Config) -> Mapping[str, ListenerConfig]:
    """The sockets that the configuration names."""
    return config.listeners or {DEFAULT_PATH: ListenerConfig()}


def inherited(config: Config) -> list[Listener]:
    """The sockets that systemd has made for us (sd_listen_fds(3)).

    :raises ConfigurationError: if one is not a Unix socket that listens.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return [_inherit(config, _FIRST_DESCRIPTOR + each) for each in range(count)]


def _inherit(config: Config, descriptor: int) -> Listener:
    os.set_inheritable(descriptor, False)
    listening = socket.socket(fileno=descriptor)
    if listening.family != socket.AF_UNIX or not listening.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise ConfigurationError(
            f"descriptor {descriptor} from systemd is not a Unix socket that listens",
            "use ListenStream= with a path in the .socket unit",
        )
    listening.setblocking(False)
    path = listening.getsockname()
    return Listener(path, listening, config.listeners.get(path, ListenerConfig()))


def bind(config: Config, path: str, options: ListenerConfig, account: Account) -> Listener:
    """Make a socket.

    :raises ConfigurationError: if that is not possible.
    """
    owner, group = _owner(config, path, options, account)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _provide_folder(Path(path).parent, account)
        _remove_dead(config, path)
        # Nobody gets in before owner, group and mode are what they shall be.
        old = os.umask(0o777)
        try:
            listening.bind(path)
        finally:
            os.umask(old)
        if (owner, group) != (os.geteuid(), os.getegid()):
            os.chown(path, owner, group)
        os.chmod(path, int(options.mode, 8))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _section_error(
            config,
            path,
            f"the socket {path} cannot be made: {error.strerror}",
            "its folder has to be there, and writable for who starts the service",
        ) from None
    listening.setblocking(False)
    return Listener(path, listening, options, _file_at(path))


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def change(
    config: Config, listener: Listener, options: ListenerConfig, account: Account
) -> Listener:
    """Give a socket other options.

    :raises ConfigurationError: if owner, group or mode cannot be changed.
    """
    owner, group = _owner(config, listener.path, options, account)
    try:
        status = os.stat(listener.path)
        if (status.st_uid, status.st_gid) != (owner, group):
            os.chown(listener.path, owner, group)
        if stat.S_IMODE(status.st_mode) != int(options.mode, 8):
            os.chmod(listener.path, int(options.mode, 8))
    except OSError as error:
        raise _section_error(
            config,
            listener.path,
            f"owner, group and mode of {listener.path} cannot be changed: {error.strerror}",
            "restart the service",
        ) from None
    return replace(listener, options=options)


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
        raise _section_error(
            config,
            path,
            f"there is no such account or group: {error.args[0]}",
            "correct `owner` or `group`",
        ) from None
    return owner, group


def _remove_dead(config: Config, path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _section_error(
            config, path, f"{path} is there, and is no socket", "name another path, or remove it"
        )
    if _is_alive(path):
        raise _section_error(
            config,
            path,
            f"somebody else listens on {path}",
            "stop the other service (fuser tells which), or name another path",
        )
    os.unlink(path)


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        error = caller.connect_ex(path)
    return error not in (errno.ECONNREFUSED, errno.ENOENT)


def remove(listener: Listener) -> None:
    """Close a socket, and remove its file if it is ours still and we may."""
    listener.socket.close()
    if listener.file is not None and listener.file == _file_at(listener.path):
        with suppress(OSError):
            os.unlink(listener.path)


def lock(config: Config, path: str, account: Account) -> int:
    """Claim a socket for this acceptor; what is claimed ends with the last of its processes.

    :returns: a descriptor to keep open.
    :raises ConfigurationError: if another acceptor has it, or the folder cannot be used.
    """
    folder = config.store.server_directory
    name = hashlib.sha256(path.encode()).hexdigest()[:16]
    file = folder / f"acceptor-{name}.lock"
    try:
        _provide_private(folder, account)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(file, flags, PRIVATE_FILE)
        if os.geteuid() == 0:
            os.fchown(descriptor, account.uid, account.gid)
    except OSError as error:
        raise config.error(
            "store.server_directory",
            f"{file} cannot be made: {error.strerror}",
            "the folder has to belong to the account that the service runs as",
        ) from None
    _wait_for(config, descriptor, path)
    return descriptor


def _provide_private(folder: Path, account: Account) -> None:
    if folder.is_dir():
        return
    make_folders(folder)
    if os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid)


def _wait_for(config: Config, descriptor: int, path: str) -> None:
    end = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise _section_error(
                    config,
                    path,
                    f"another browserid-acceptor has the socket {path}",
                    "stop it first, or name another path",
                ) from None
            time.sleep(0.05)


def _section_error(config: Config, path: str, message: str, remedy: str) -> ConfigurationError:
    """An error about a listener, with the place of whichever of its options was given."""
    prefix = f"listeners.{path}."
    option = next((name for name in config.origins if name.startswith(prefix)), "")
    return config.error(option, message, remedy)
