"""Servers and clients made from the configuration, and made anew when it changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from browserid_sasl.config import Config, ServerConfig, load, options_of
from browserid_sasl.cyrus.interface import Connection
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.records import replace

if TYPE_CHECKING:
    from browserid_sasl.api import Client, Server

PREFIX: Final = "browserid_"
CONFIG: Final = PREFIX + "config"

OPTIONS: Final = (CONFIG, *(PREFIX + name for name in options_of(ServerConfig)))
"""Options of a program's SASL configuration: the file, and what stands in for its [server]."""

_MECHANISMS: Final = "mechanisms"
_MOST_KEPT: Final = 16

Facade = TypeVar("Facade", "Server", "Client")


class Kept(Generic[Facade]):
    """The servers or clients of this process, each made anew when what it was made from changes.

    A daemon so takes up a corrected configuration file, or a renewed certificate, with the next
    login.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[object, Facade]] = {}

    def get(self, key: tuple[str, ...], config: Config, make: Callable[[], Facade]) -> Facade:
        """What was made under this key from an equal configuration, or what `make` makes."""
        made_from = (config, _stamps(config))
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept[0] == made_from:
                return kept[1]
        facade = make()
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (made_from, facade)
        return facade


def _stamps(config: Config) -> list[tuple[int, int, int] | None]:
    files = [config.server.x509_certificate, config.server.x509_key, config.discovery.ca_file]
    for authority in config.authorities.values():
        files += [authority.ca_file, authority.keys_file]
    return [_stamp(file) for file in files if file is not None]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


servers: Final[Kept[Server]] = Kept()
clients: Final[Kept[Client]] = Kept()


def server_config(connection: Connection) -> Config:
    """The file's configuration with the program's options on top.

    Which mechanisms are offered was settled when libsasl2 loaded the plugin, from the program's
    options alone. The file's list is heeded where there is one, its default is not.
    """
    options = dict(connection.options)
    file = options.pop(CONFIG, "")
    config = load(Path(file) if file else None, user=False)
    config = config.with_options(
        {name.removeprefix(PREFIX): text for name, text in options.items()}, prefix=PREFIX
    )
    section = config.server
    listed = PREFIX + _MECHANISMS in options or f"server.{_MECHANISMS}" in config.origins
    if not listed:
        section = replace(section, mechanisms=(connection.mechanism,))
    if connection.binding_critical:
        section = replace(section, require_channel_binding=True)
    if connection.mutual and section.x509_certificate is None:
        raise ConfigurationError(
            "the program demands mutual authentication, and the server has no certificate",
            f"set {PREFIX}x509_certificate and {PREFIX}x509_key",
        )
    return replace(config, server=section)


def client_config(connection: Connection) -> Config:
    """The user's configuration with what the program decided on top."""
    config = load()
    section = replace(config.client, mechanisms=(connection.mechanism,))
    if connection.mutual:
        section = replace(section, mutual="required")
    return replace(config, client=section)
