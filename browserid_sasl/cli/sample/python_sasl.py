"""python-sasl for the sample client: libsasl2, and with it the plugin, driven from Python.

The package is called `sasl`. It has no way to give libsasl2 channel binding data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from browserid_sasl.cli.sample.library import ClientExchange, LibraryError, Wishes
from browserid_sasl.config.files import VARIABLE
from browserid_sasl.errors import Code, LocalProtocolError

_NO_MECHANISM: Final = "-4"
"""SASL_NOMECH of sasl.h."""

_ERROR: Final = re.compile(r"Error in .*? \((-?\d+)\) (?:SASL\(-?\d+\): )?([^:]+)(?:: )?(.*)", re.S)
"""Number, libsasl2's text for it, and the detail: what `getError` puts together."""


class SaslClient(Protocol):
    """The part of `sasl.Client` that a login needs."""

    def setAttr(self, key: str, value: str) -> bool:
        """Set an attribute, before `init`."""

    def init(self) -> bool:
        """Get ready."""

    def start(self, mech_list: str) -> tuple[bool, bytes, bytes]:
        """Whether it went well, the mechanism, and the initial response."""

    def step(self, challenge: bytes) -> tuple[bool, bytes]:
        """Whether it went well, and the response."""

    def getUserId(self) -> tuple[bool, bytes]:
        """Whether the exchange is complete, and who one acts as."""

    def getError(self) -> bytes:
        """Why the last call failed."""


@dataclass(frozen=True, slots=True)
class PythonSasl:
    """A `SaslLibrary`.

    :param client: `sasl.Client`.
    :param service: the service's SASL name.
    :param host: the name the server knows itself by.
    :param identity: the e-mail address to log in as. Empty for the default one, but not where it is
        to act for another: libsasl2 takes one name for both if it is given one.
    """

    client: type[SaslClient]
    service: str
    host: str
    identity: str

    @classmethod
    def load(cls, service: str, host: str, identity: str, config_file: Path | None) -> PythonSasl:
        """Import the package.

        :param config_file: the configuration for the plugin, None for the usual places. It is
            named in this process's environment, where the plugin looks.
        :raises LocalProtocolError: unavailable when it cannot be imported.
        """
        try:
            # A package that is not ours to install.
            from sasl import Client  # type: ignore[import-not-found]  # noqa: PLC0415
        except ImportError as error:
            raise LocalProtocolError(
                Code.UNAVAILABLE,
                f"python-sasl cannot be used here ({error})",
                "install the package sasl 0.3.1, which Python 3.11 and later can only build with"
                " its .pyx file translated anew by Cython < 3 (plugin/README.md has the"
                " commands), and the plugin: by `make install`, or with its folder in SASL_PATH",
            ) from None
        if config_file is not None:
            os.environ[VARIABLE] = str(config_file.absolute())
        return cls(Client, service, host, identity)

    def start(self, offered: Sequence[str], wishes: Wishes) -> tuple[ClientExchange, bytes]:
        """See `SaslLibrary.start`. Channel binding data among the wishes are left aside."""
        client = self.client()
        for key, value in self._attributes(wishes.authzid).items():
            client.setAttr(key, value)
        if not client.init():
            raise _failure(client)
        went_well, name, initial = client.start(wishes.mechanism or " ".join(offered))
        if not went_well:
            raise _failure(client)
        return _PythonSaslExchange(client, name.decode("ascii")), initial

    def _attributes(self, authzid: str) -> dict[str, str]:
        """Those of `sasl.Client`, whose `username` is who to act as."""
        attributes = {"service": self.service, "host": self.host}
        if authzid:
            return attributes | {"username": authzid, "authname": self.identity}
        return attributes | ({"username": self.identity} if self.identity else {})


@dataclass(frozen=True, slots=True)
class _PythonSaslExchange:
    client: SaslClient
    name: str

    @property
    def complete(self) -> bool:
        # libsasl2 has the name from the moment that its mechanism is done, and not before.
        return self.client.getUserId()[0]

    def step(self, challenge: bytes) -> bytes:
        went_well, response = self.client.step(challenge)
        if not went_well:
            raise _failure(self.client)
        return response

    def describe(self) -> list[str]:
        return [f"mechanism: {self.name}", f"authorization identity: {self._user}"]

    def members(self) -> dict[str, object]:
        return {"authenticated": True, "mechanism": self.name, "authzid": self._user}

    @property
    def _user(self) -> str:
        return self.client.getUserId()[1].decode("utf-8", "replace")


def _failure(client: SaslClient) -> LibraryError:
    text = client.getError().decode("utf-8", "replace")
    found = _ERROR.fullmatch(text)
    if found is None:
        return LibraryError("generic failure", text)
    number, kind, detail = found.groups()
    if number == _NO_MECHANISM:
        return LibraryError(
            kind,
            detail,
            "if `saslpluginviewer -c` does not list the mechanism, sign in (`browserid login`);"
            " if `saslpluginviewer -s` does not either, install the plugin by `make install`, or"
            " name its folder in SASL_PATH",
        )
    return LibraryError(kind, detail or "libsasl2 gives no reason; the system log may have one")
