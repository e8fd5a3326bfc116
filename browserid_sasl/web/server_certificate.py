"""The TLS certificate that the server presents: read from its files, and again when they change."""

from __future__ import annotations

import logging
import os
import ssl
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from browserid_sasl.errors import ConfigurationError

_LOOK_EVERY_S: Final = 1.0

_Version = tuple[tuple[int, int, int, int], ...]

_logger = logging.getLogger(__name__)


class ServerCertificate:
    """A certificate with its private key.

    :param certificate: PEM file with the certificate and its chain.
    :param key: PEM file with the private key.
    :raises ConfigurationError: they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._version = self._present_version()
        self._looked = time.monotonic()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """What a new connection is made with.

        A renewed certificate counts within a second. One that cannot be used is no reason to
        stop: the one before goes on to be presented, and the log says why.
        """
        now = time.monotonic()
        if now >= self._looked + _LOOK_EVERY_S:
            self._looked = now
            version = self._present_version()
            if version != self._version:
                self._version = version
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = self._load()
        except ConfigurationError as error:
            _logger.error("the TLS certificate of before goes on to be used: %s", error)

    def _present_version(self) -> _Version:
        return tuple(map(_version_of, (self._certificate, self._key)))

    def _load(self) -> ssl.SSLContext:
        _check_readable(self._certificate, "certificate")
        _check_private(self._key, _check_readable(self._key, "key"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the TLS certificate {self._certificate} with the key {self._key} cannot be used "
                f"({getattr(error, 'strerror', None) or error})",
                "give PEM files that belong together, the key not encrypted",
            ) from None
        return context


class HostCertificates:
    """Certificates for several hosts, chosen by the name that a client asks for (RFC 6066, SNI).

    :param default: for whoever asks for no name, or for another one.
    :param hosts: the others, by host in lower case.
    """

    def __init__(self, default: ServerCertificate, hosts: Mapping[str, ServerCertificate]) -> None:
        self._default = default
        self._hosts = hosts

    def context(self) -> ssl.SSLContext:
        """What a new connection is made with. See `ServerCertificate`."""
        context = self._default.context()
        # A renewed certificate has another context, which does not know of this yet.
        context.sni_callback = self._choose
        return context

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        found = self._hosts.get((name or "").lower().removesuffix("."))
        if found is not None:
            connection.context = found.context()


def _version_of(file: Path) -> tuple[int, int, int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return (0, 0, 0, 0)
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _check_readable(file: Path, what: str) -> os.stat_result:
    try:
        with file.open("rb") as stream:
            return os.fstat(stream.fileno())
    except OSError as error:
        raise ConfigurationError(
            f"the TLS {what} {file} cannot be read ({error.strerror})",
            "name one that the user this runs as may read",
        ) from None


def _check_private(file: Path, status: os.stat_result) -> None:
    # Others of the key's group may be meant to read it: the group that Debian calls ssl-cert.
    if status.st_mode & stat.S_IRWXO:
        raise ConfigurationError(
            f"every user of this machine has access to the TLS key {file}", f"chmod o= {file}"
        )


def _no_password() -> str:
    raise ValueError("the key is encrypted")
