"""Servers and clients made from the configuration, and made anew when it changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from browserid_sasl.config import Config, ServerConfig, candidate_files, load, options_of
from browserid_sasl.cyrus.interface import Connection
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.records import Record, replace

if TYPE_CHECKING:
    from browserid_sasl.api import Client, Server

PREFIX: Final = "browserid_"
CONFIG: Final = PREFIX + "config"

OPTIONS: Final = (CONFIG, *(PREFIX + name for name in options_of(ServerConfig)))
"""Options of a program's SASL configuration: the file, and what stands in for its [server]."""

_MECHANISMS: Final = "mechanisms"
_MOST_KEPT: Final = 16

Facade = TypeVar("Facade", "Server", "Client")
_Stamp = tuple[int, ...]


class Made(Record, Generic[Facade]):
    """A server or client, and what it was made from.

    :param facade: the server or client.
    :param config: its configuration.
    :param files: what has to be as it was for it to be as it is.
    """

    facade: Facade
    config: Config
    files: Mapping[Path, _Stamp | None]


class Kept(Generic[Facade]):
    """The servers or clients of this process, each made anew when a file it was made from changes.

    A daemon so takes up a corrected configuration file, or a renewed certificate, with the next
    login.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], Made[Facade]] = {}

    def get(
        self,
        key: tuple[str, ...],
        sources: Set[Path],
        configure: Callable[[], Config],
        make: Callable[[Config], Facade],
    ) -> Made[Facade]:
        """What was made under this key, if nothing has changed since, or what is made now.

        :param key: everything else that the configuration and the facade depend on.
        :param sources: the configuration files.
        :param configure: reads them.
        :param make: makes a server or client.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept.files == _stamps(kept.files.keys() | sources):
            return kept
        # Before anything is read: what changes meanwhile is seen to have changed the next time.
        stamps = _stamps(sources)
        config = configure()
        stamps |= _stamps(_files_of(config))
        made = Made(make(config), config, stamps)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = made
        return made


def _files_of(config: Config) -> Iterator[Path]:
    server = config.server
    files = [server.allow_file, server.x509_certificate, server.x509_key]
    files += [config.discovery.ca_file, config.client.trust_anchors]
    for authority in config.authorities.values():
        files += [authority.ca_file, authority.keys_file]
    files += [authority.certificate_file for authority in config.saml.values()]
    return (file for file in files if file is not None)


def _stamps(files: Iterable[Path]) -> dict[Path, _Stamp | None]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> _Stamp | None:
    """What changes whenever a file, its owner or its mode does; None if it can not be looked at."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


_servers: Final[Kept[Server]] = Kept()
_clients: Final[Kept[Client]] = Kept()


def server(connection: Connection) -> Made[Server]:
    """The server for a connection.

    :raises BrowserIDError: when its configuration can not be put to use.
    """
    # Hardly a process is both server and client: each loads its own half.
    from browserid_sasl.api.server import Server  # noqa: PLC0415

    file = connection.options.get(CONFIG)
    path = Path(file) if file else None
    options = (text for option in sorted(connection.options.items()) for text in option)
    return _servers.get(
        (*_common_key(connection), str(connection.binding_critical), *options),
        candidate_files(path, user=False),
        lambda: _server_config(connection, path),
        lambda config: Server(config, connection.service, connection.host),
    )


def client(connection: Connection, name: str) -> Made[Client]:
    """The client for a connection.

    :param name: who logs in, see `agent.naming.choose`; empty for the default identity.
    :raises BrowserIDError: when its configuration can not be put to use.
    """
    from browserid_sasl.api.client import Client  # noqa: PLC0415

    host = connection.host or ""
    return _clients.get(
        (*_common_key(connection), name),
        candidate_files(),
        lambda: _client_config(connection),
        lambda config: Client(config, connection.service, host, identity=name),
    )


def _common_key(connection: Connection) -> tuple[str, ...]:
    host = connection.host or ""
    return connection.mechanism, connection.service, host, str(connection.mutual)


def _server_config(connection: Connection, file: Path | None) -> Config:
    """The file's configuration with the program's options on top.

    Which mechanisms are offered was settled when libsasl2 loaded the plugin, from the program's
    options alone. The file's list is heeded where there is one, its default is not.
    """
    config = load(file, user=False).with_options(
        {
            name.removeprefix(PREFIX): text
            for name, text in connection.options.items()
            if name != CONFIG
        },
        prefix=PREFIX,
    )
    section = config.server
    listed = PREFIX + _MECHANISMS in connection.options
    if not listed and f"server.{_MECHANISMS}" not in config.origins:
        section = replace(section, mechanisms=(connection.mechanism,))
    if connection.binding_critical:
        section = replace(section, require_channel_binding=True)
    if connection.mutual and section.x509_certificate is None:
        raise ConfigurationError(
            "the program demands mutual authentication, and the server has no certificate",
            f"set {PREFIX}x509_certificate and {PREFIX}x509_key",
        )
    return replace(config, server=section)


def _client_config(connection: Connection) -> Config:
    """The user's configuration with what the program decided on top."""
    config = load()
    section = replace(config.client, mechanisms=(connection.mechanism,))
    if connection.mutual:
        section = replace(section, mutual="required")
    return replace(config, client=section)
